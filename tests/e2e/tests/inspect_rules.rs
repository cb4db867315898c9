//! What inspection tells from a program's code alone where simpler rules err: notes of what the
//! processor has that are written in uncommon ways, C code in Go programs, 32-bit programs.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test, which fails by panicking"
)]

use std::collections::BTreeMap;

use metahub_e2e::corpus::{Answer, Corpus};
use metahub_e2e::require;

#[test]
fn notes_of_the_processor_are_followed_to_who_reads_them() {
    if !require::tools(&["gcc", "tar", "gzip", "qemu-x86_64"]) {
        return;
    }
    let corpus = Corpus::new();
    let mut truths = BTreeMap::new();
    for way in ["1", "2", "3"] {
        for (kind, flags) in [("full", ""), ("stripped", "-s"), ("fixed", "-s -no-pie")] {
            let name = format!("{way}-{kind}");
            let line = format!("gcc {flags} -Wa,--defsym,WAY={way} looks.s -o OUT");
            corpus.build(&name, &line);
            truths.insert(name.clone(), Corpus::truth(&corpus.file(&name)));
        }
    }
    assert!(truths.values().all(|truth| *truth == 0), "{truths:?}");
    corpus.hold(&truths);
    for (name, answer) in corpus.inspect() {
        let expected = Answer {
            required: 0,
            dispatched: 2,
            unknown: false,
        };
        assert_eq!(answer, expected, "{name}");
    }
}

#[test]
fn c_code_in_go_programs_counts() {
    if !require::tools(&["go", "gcc", "tar", "gzip", "qemu-x86_64"]) {
        return;
    }
    let corpus = Corpus::new();
    let mut truths = BTreeMap::new();
    for march in ["x86-64", "x86-64-v2", "haswell", "x86-64-v4"] {
        for (kind, flags) in [
            ("dynamic", ""),
            ("stripped", "-ldflags='-s -w'"),
            ("static", "-ldflags='-extldflags -static'"),
        ] {
            let name = format!("{march}-{kind}");
            corpus.build(
                &name,
                &format!(
                    "CGO_ENABLED=1 CGO_CFLAGS='-O3 -march={march}' go build {flags} -o OUT cgo.go"
                ),
            );
            truths.insert(name.clone(), Corpus::truth(&corpus.file(&name)));
        }
    }
    let levels: std::collections::BTreeSet<usize> = truths.values().copied().collect();
    assert_eq!(levels.len(), 4, "{truths:?}");
    corpus.hold(&truths);
    let answers = corpus.inspect();
    let plain = answers.get("x86-64-dynamic").copied().unwrap_or_default();
    assert_eq!(plain, Answer::default());
}

#[test]
fn programs_with_32_bit_addresses_are_plain_or_unknown() {
    if !require::tools(&["gcc", "tar", "gzip"]) {
        return;
    }
    let corpus = Corpus::new();
    for (name, flags) in [
        ("plain.so", "-m32 -march=pentium4"),
        ("wide.so", "-m32 -O3 -march=haswell"),
        ("maker.so", "-m32 -DMAKES_CODE"),
        ("long.so", ""),
    ] {
        let line = format!("gcc -w -fno-builtin -shared -fPIC -nostdlib {flags} narrow.c -o OUT");
        corpus.build(name, &line);
    }
    let answers = corpus.inspect();
    let unknown = |name: &str| answers.get(name).copied().unwrap_or_default().unknown;
    assert!(unknown("wide.so") && unknown("maker.so"), "{answers:?}");
    assert!(!unknown("plain.so") && !unknown("long.so"), "{answers:?}");
}

#[test]
fn what_ends_on_a_lesser_processor_is_not_taken_to_choose() {
    if !require::tools(&["gcc", "tar", "gzip", "qemu-x86_64"]) {
        return;
    }
    let corpus = Corpus::new();
    let mut truths = BTreeMap::new();
    for (march, need, level) in [("x86-64-v2", "sse4.2", 1), ("haswell", "avx2", 2)] {
        let part = corpus.folder.path().join("part.o");
        let part = part.display();
        let common = format!(
            "gcc -O3 -march={march} -fPIC -Dmain=other -c part.c -o {part}; \
             objcopy --weaken {part}; gcc -O2 -fPIC -DNEED='\"{need}\"'"
        );
        let name = format!("program-{march}");
        corpus.build(&name, &format!("{common} refuses.c {part} -o OUT"));
        truths.insert(name.clone(), Corpus::truth(&corpus.file(&name)));
        let name = format!("module-{march}.so");
        corpus.build(
            &name,
            &format!("{common} -DMODULE -shared refuses.c {part} -o OUT"),
        );
        truths.insert(name, level);
    }
    assert_eq!(truths["program-haswell"], 2);
    corpus.hold(&truths);
}
