//! Inspection of programs that its rule was not fitted to: the rule was frozen before they were
//! written. Other compilers and languages, another C library, link-time optimisation, other ways
//! of coming to code for another processor and of choosing it.
//!
//! With `METAHUB_TEST_HELD_OUT=1`, which `scripts/test --full` sets; it installs the compilers.
//! Nothing may be missed. The table that is printed says what was right, unknown and wrong.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test, which shows what it found"
)]

use std::collections::BTreeMap;

use metahub_e2e::corpus::{Answer, Corpus, LEVELS};
use metahub_e2e::process::Cmd;
use metahub_e2e::require;

const TOOLS: &[&str] = &[
    "gcc",
    "g++",
    "gfortran",
    "clang",
    "ld.lld",
    "musl-gcc",
    "objdump",
    "python3",
    "qemu-x86_64",
    "tar",
    "gzip",
];
const TARGETS: [&str; 7] = [
    "x86-64",
    "x86-64-v2",
    "x86-64-v3",
    "x86-64-v4",
    "haswell",
    "znver3",
    "skylake-avx512",
];

fn is_asked_for() -> bool {
    let asked = std::env::var_os("METAHUB_TEST_HELD_OUT").is_some_and(|value| value == "1");
    if !asked {
        println!("left out: METAHUB_TEST_HELD_OUT is not 1");
    }
    asked
}

/// Programs by their class.
struct HeldOut {
    corpus: Corpus,
    classes: BTreeMap<String, &'static str>,
    truths: BTreeMap<String, usize>,
}

impl HeldOut {
    fn new() -> Self {
        Self {
            corpus: Corpus::new(),
            classes: BTreeMap::new(),
            truths: BTreeMap::new(),
        }
    }

    fn add(&mut self, class: &'static str, name: &str, line: &str) {
        let name = format!("{class}-{name}");
        self.corpus.build(&name, &format!("cd ../held_out; {line}"));
        let truth = Corpus::truth(&self.corpus.file(&name));
        self.truths.insert(name.clone(), truth);
        self.classes.insert(name, class);
    }

    /// Prints the table; what is wrong.
    fn wrong(&self) -> Vec<String> {
        let answers = self.corpus.inspect();
        let mut table: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
        let mut wrong = Vec::new();
        for (name, truth) in &self.truths {
            let answer = answers.get(name).copied().unwrap_or_default();
            let kind = kind(answer, *truth);
            table.entry(self.classes[name]).or_default()[kind] += 1;
            let line = format!("{name}: needs {}, {answer:?}", LEVELS[*truth]);
            println!("{} {line}", ["right", "unknown", "OVER", "MISSED"][kind]);
            if kind >= 2 {
                wrong.push(line);
            }
        }
        println!("class | right | unknown | over-claimed | missed");
        for (class, [right, unknown, over, missed]) in &table {
            println!("{class} | {right} | {unknown} | {over} | {missed}");
        }
        wrong
    }
}

fn kind(answer: Answer, truth: usize) -> usize {
    if answer.required > truth {
        2
    } else if answer.unknown {
        1
    } else if answer.required < truth {
        3
    } else {
        0
    }
}

#[test]
fn nothing_is_missed_that_other_compilers_build() {
    if !is_asked_for() || !require::tools(TOOLS) {
        return;
    }
    let mut held = HeldOut::new();
    for target in TARGETS {
        let builds: [(&'static str, String); 14] = [
            ("gcc", format!("gcc -O3 -march={target} stencil.c")),
            (
                "gcc-stripped",
                format!("gcc -s -O2 -march={target} stencil.c"),
            ),
            (
                "static-pie",
                format!("gcc -static-pie -O3 -march={target} stencil.c"),
            ),
            (
                "gcc-lto",
                format!("gcc -flto -O3 -march={target} stencil.c"),
            ),
            (
                "templates",
                format!("g++ -std=c++17 -O2 -march={target} templates.cc"),
            ),
            (
                "templates",
                format!("g++ -s -static -std=c++17 -O3 -march={target} templates.cc"),
            ),
            ("clang", format!("clang -O3 -march={target} stencil.c")),
            (
                "clang-stripped",
                format!("clang -s -static -O2 -march={target} stencil.c"),
            ),
            (
                "clang-lto",
                format!("clang -flto -fuse-ld=lld -O3 -march={target} stencil.c"),
            ),
            (
                "clang",
                format!("clang++ -std=c++17 -O2 -march={target} templates.cc"),
            ),
            ("fortran", format!("gfortran -O3 -march={target} solve.f90")),
            (
                "fortran",
                format!("gfortran -s -O2 -static-libgfortran -march={target} solve.f90"),
            ),
            ("musl", format!("musl-gcc -O3 -march={target} stencil.c")),
            (
                "musl",
                format!("musl-gcc -s -static -O3 -march={target} stencil.c"),
            ),
        ];
        for (number, (class, line)) in builds.iter().enumerate() {
            held.add(
                class,
                &format!("{number}-{target}"),
                &format!("{line} -o OUT"),
            );
        }
    }
    let wrong = held.wrong();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nothing_is_missed_by_the_way_to_it() {
    if !is_asked_for() || !require::tools(TOOLS) {
        return;
    }
    let mut held = HeldOut::new();
    for target in ["haswell", "skylake-avx512", "x86-64-v2"] {
        for (kind, flags) in [
            ("dynamic", ""),
            ("static", "-static"),
            ("stripped", "-s -static-pie"),
        ] {
            for (compiler, level) in [("gcc", "-O3"), ("clang", "-O2")] {
                for way in 0..12 {
                    let object = format!(
                        "/tmp/held-out-{}-{target}-{kind}-{way}.o",
                        std::process::id()
                    );
                    held.add(
                        "ways",
                        &format!("{way}-{compiler}-{target}-{kind}"),
                        &format!(
                            "{compiler} {level} -march={target} -fPIC -c work.c -o {object}; \
                             {compiler} -O2 {flags} -DWAY={way} ways.c {object} -lpthread -o OUT; rm {object}"
                        ),
                    );
                }
            }
        }
    }
    for (target, need) in [("haswell", "avx2"), ("skylake-avx512", "avx512f")] {
        for (kind, flags) in [
            ("dynamic", ""),
            ("static", "-static"),
            ("stripped", "-s -no-pie"),
        ] {
            let object = format!("/tmp/held-out-{}-{target}-{kind}.o", std::process::id());
            let kernel = format!("gcc -O3 -march={target} -fPIC -c work.c -o {object}");
            held.add(
                "chooses",
                &format!("resolver-{target}-{kind}"),
                &format!("{kernel}; gcc -O2 {flags} -DNEED='\"{need}\"' resolver.c {object} -o OUT; rm {object}"),
            );
            held.add(
                "chooses",
                &format!("factory-{target}-{kind}"),
                &format!("{kernel}; g++ -O2 {flags} -DNEED='\"{need}\"' factory.cc {object} -o OUT; rm {object}"),
            );
        }
    }
    for (kind, flags) in [("dynamic", ""), ("stripped", "-s"), ("static", "-static")] {
        held.add(
            "chooses",
            &format!("specific-{kind}"),
            &format!("clang -O2 {flags} specific.c -o OUT"),
        );
    }
    let wrong = held.wrong();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn packed_programs_are_unknown() {
    if !is_asked_for() || !require::tools(TOOLS) {
        return;
    }
    let mut held = HeldOut::new();
    for target in ["x86-64", "haswell", "x86-64-v4"] {
        held.add("packed", target, &format!("sh pack {target} OUT"));
    }
    let wrong = held.wrong();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let answers = held.corpus.inspect();
    assert_eq!(answers.len(), 3);
    assert!(answers.values().all(|answer| answer.unknown), "{answers:?}");
}

#[test]
fn nothing_is_missed_that_is_built_for_arm() {
    let needs = &["aarch64-linux-gnu-gcc", "qemu-aarch64", "tar", "gzip"];
    if !is_asked_for() || !require::tools(needs) {
        return;
    }
    let corpus = Corpus::new();
    let mut runs_anywhere = BTreeMap::new();
    for target in [
        "-march=armv8-a",
        "-march=armv8-a -mno-outline-atomics",
        "-march=armv8.1-a",
        "-march=armv8.2-a+dotprod",
        "-mcpu=neoverse-n1",
        "-mcpu=neoverse-v1",
        "-mcpu=a64fx",
    ] {
        for level in ["-O2", "-O3"] {
            let name = format!("{target}{level}").replace(' ', "");
            let line = format!(
                "cd ../held_out; aarch64-linux-gnu-gcc {target} {level} -static stencil.c -o OUT"
            );
            corpus.build(&name, &line);
            let run = |processor: &str| {
                let emulated = Cmd::new("qemu-aarch64").args(["-cpu", processor]);
                emulated.arg(corpus.file(&name)).run().code == Some(0)
            };
            assert!(run("max"), "{name}");
            runs_anywhere.insert(name.clone(), run("cortex-a53"));
        }
    }
    assert!(runs_anywhere.values().any(|anywhere| !anywhere));
    let mut wrong = Vec::new();
    for (name, required, unknown) in corpus.requirements() {
        let anywhere = runs_anywhere[&name];
        println!("{name}: runs anywhere: {anywhere}, required {required:?}, unknown {unknown}");
        let over = anywhere && required.is_some();
        let missed = !anywhere && required.is_none() && !unknown;
        if over || missed {
            wrong.push(name.clone());
        }
        runs_anywhere.remove(&name);
    }
    // What is left has no answer: nothing is needed.
    wrong.extend(
        runs_anywhere
            .into_iter()
            .filter(|(_, anywhere)| !anywhere)
            .map(|(name, _)| name),
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
}
