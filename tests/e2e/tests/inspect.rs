//! `metahub inspect` on programs that are built here for many processors, beside the truth: the
//! emulated processors on which each of them runs.
//!
//! The one promise is that no need is missed: an answer lower than the truth that is not "unknown"
//! fails. One that is higher fails, too. How many are exact is counted with a bound.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test, which shows what it found"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use metahub_e2e::corpus::{Corpus, LEVELS, layout_of};
use metahub_e2e::metahub::{MetaHub, command};
use metahub_e2e::process::{Cmd, wait_until};
use metahub_e2e::pusher::Pusher;
use metahub_e2e::require;
use serde_json::{Value, json};

const NEEDS: &[&str] = &["gcc", "g++", "qemu-x86_64", "tar", "gzip"];

#[test]
fn no_need_of_programs_built_for_a_processor_is_missed() {
    if !require::tools(NEEDS) {
        return;
    }
    let corpus = Corpus::new();
    let mut truths = BTreeMap::new();
    for march in [
        "x86-64",
        "x86-64-v2",
        "x86-64-v3",
        "x86-64-v4",
        "sandybridge",
        "haswell",
        "znver3",
        "skylake-avx512",
    ] {
        for (kind, flags) in [
            ("dynamic", ""),
            ("static", "-static"),
            ("stripped", "-s -no-pie"),
        ] {
            let name = format!("{march}-{kind}");
            corpus.build(
                &name,
                &format!("gcc -O3 -march={march} {flags} main.c part.c -o OUT"),
            );
            truths.insert(name.clone(), Corpus::truth(&corpus.file(&name)));
        }
        let library = format!("{march}.so");
        corpus.build(
            &library,
            &format!("gcc -O3 -march={march} -shared -fPIC part.c -o OUT"),
        );
        let name = format!("{march}-dynamic");
        truths.insert(library, truths[&name]);
        let name = format!("{march}-objects");
        corpus.build(&name, &format!("g++ -O2 -march={march} objects.cc -o OUT"));
        truths.insert(name.clone(), Corpus::truth(&corpus.file(&name)));
    }
    // The emulator tells levels apart, so that the test can fail.
    let levels: std::collections::BTreeSet<usize> = truths.values().copied().collect();
    assert_eq!(levels.len(), LEVELS.len(), "{truths:?}");
    let (exact, all) = corpus.hold(&truths);
    assert!(exact * 10 >= all * 7, "only {exact} of {all} are exact");
}

#[test]
fn what_is_chosen_at_run_time_is_told_from_what_is_not() {
    if !require::tools(NEEDS) {
        return;
    }
    let corpus = Corpus::new();
    let mut truths = BTreeMap::new();
    for march in ["haswell", "x86-64-v4"] {
        for (kind, flags) in [
            ("dynamic", ""),
            ("static", "-static"),
            ("stripped", "-static -s"),
        ] {
            for source in [
                "table",
                "looks_for_another",
                "dispatch_builtin",
                "dispatch_pointer",
            ] {
                let name = format!("{source}-{march}-{kind}");
                let kernel = corpus.folder.path().join("kernel.o");
                let kernel = kernel.display();
                corpus.build(
                    &name,
                    &format!(
                        "gcc -O3 -march={march} -c kernel.c -o {kernel}; \
                         gcc -O2 {flags} {source}.c {kernel} -o OUT"
                    ),
                );
                truths.insert(name.clone(), Corpus::truth(&corpus.file(&name)));
            }
        }
    }
    corpus.build("clones", "gcc -O2 dispatch_clones.c -o OUT");
    truths.insert("clones".to_owned(), Corpus::truth(&corpus.file("clones")));
    corpus.hold(&truths);
    let answers = corpus.inspect();
    for name in [
        "clones",
        "dispatch_builtin-haswell-static",
        "dispatch_pointer-haswell-stripped",
    ] {
        let answer = answers[name];
        assert!(answer.dispatched >= 2, "{name}: {answer:?}");
        assert_eq!(answer.required, 0, "{name}: {answer:?}");
    }
}

#[test]
fn programs_that_make_code_or_are_packed_are_unknown() {
    if !require::tools(NEEDS) {
        return;
    }
    let corpus = Corpus::new();
    for (kind, flags) in [
        ("dynamic", ""),
        ("static", "-static"),
        ("stripped", "-static -s"),
    ] {
        corpus.build(
            &format!("generates-{kind}"),
            &format!("gcc -O2 {flags} generates.c -o OUT"),
        );
    }
    corpus.build("plain", "gcc -O2 -static main.c part.c -o OUT");
    let plain = std::fs::read(corpus.file("plain")).unwrap();
    let mut packed = plain.clone();
    packed[0x800..0x804].copy_from_slice(b"UPX!");
    std::fs::write(corpus.file("packed"), packed).unwrap();
    let mut dense = plain;
    let mut state = 1_u64;
    for byte in &mut dense[0x2000..0x60000] {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        *byte = (state >> 56) as u8;
    }
    std::fs::write(corpus.file("dense"), dense).unwrap();
    let answers = corpus.inspect();
    for name in [
        "generates-dynamic",
        "generates-static",
        "generates-stripped",
        "packed",
        "dense",
    ] {
        assert!(answers[name].unknown, "{name}: {:?}", answers[name]);
    }
    assert!(!answers["plain"].unknown, "{:?}", answers["plain"]);
}

#[test]
fn go_says_itself_what_it_needs() {
    if !require::tools(&["go", "qemu-x86_64", "tar", "gzip"]) {
        return;
    }
    let corpus = Corpus::new();
    let mut truths = BTreeMap::new();
    for level in ["v1", "v2", "v3", "v4"] {
        for (kind, flags) in [("full", ""), ("stripped", "-ldflags='-s -w'")] {
            let name = format!("{level}-{kind}");
            let line = format!("GOAMD64={level} go build {flags} -o OUT main.go");
            corpus.build(&name, &line);
            truths.insert(name.clone(), Corpus::truth(&corpus.file(&name)));
        }
    }
    let (exact, all) = corpus.hold(&truths);
    assert_eq!(exact, all);
}

#[test]
fn rust_for_a_processor_is_not_missed() {
    if !require::tools(&["rustc", "qemu-x86_64", "tar", "gzip", "gcc"]) {
        return;
    }
    let corpus = Corpus::new();
    let mut truths = BTreeMap::new();
    for target in ["x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4"] {
        let name = format!("rust-{target}");
        let line = format!("rustc --edition 2021 -O -C target-cpu={target} rust.rs -o OUT");
        corpus.build(&name, &line);
        truths.insert(name.clone(), Corpus::truth(&corpus.file(&name)));
    }
    corpus.hold(&truths);
}

#[test]
fn labels_stand_beside_what_the_code_needs() {
    if !require::tools(NEEDS) {
        return;
    }
    let corpus = Corpus::new();
    corpus.build("app", "gcc -O3 -march=haswell main.c part.c -o OUT");
    let layer = corpus.layer();
    for (claim, verdict) in [
        ("x86_64_v2", "claims-less"),
        ("x86_64_v3", "agrees"),
        ("haswell", "agrees"),
        ("x86_64_v4", "claims-more"),
    ] {
        let layout = corpus.folder.path().join(claim);
        let label = json!({"org.supercontainers.hardware.cpu.target.microarch": claim});
        let digest = layout_of(&layout, &[&layer], &label);
        let archive = corpus.folder.path().join(format!("{claim}.tar"));
        Cmd::new("tar")
            .arg("-cf")
            .arg(&archive)
            .arg("-C")
            .arg(&layout)
            .args(["."])
            .ok();
        for name in [
            format!("oci:{}", layout.display()),
            format!("oci-archive:{}", archive.display()),
        ] {
            let report = command(&["inspect", &name, "--format", "json"])
                .run()
                .ok_json();
            assert_eq!(report["verdict"], verdict, "{claim}: {report}");
            assert_eq!(report["cpu"]["required"], "x86_64_v3", "{report}");
            assert_eq!(report["digest"], digest.as_str(), "{report}");
            assert_eq!(report["c_library"], json!(["glibc"]), "{report}");
        }
    }
    let name = format!("oci:{}", corpus.folder.path().join("x86_64_v2").display());
    let text = command(&["inspect", &name, "--explain"]).ok();
    text.says("requires x86_64_v3")
        .says("claims less")
        .says("bin/app");
}

#[test]
fn collections_are_held_against_the_code_of_a_registrys_images() {
    if !require::tools(&["gcc", "tar", "gzip"]) {
        return;
    }
    let metahub = MetaHub::start(
        "anonymous: write\nallow_any_host: false\nupstreams: []\n",
        &[],
    );
    let pusher = Pusher {
        host: metahub.host(),
        repository: "lab/app",
        login: None,
    };
    for march in ["x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4"] {
        let corpus = Corpus::new();
        corpus.build(
            "app",
            &format!("gcc -O3 -march={march} main.c part.c -o OUT"),
        );
        let _ = pusher.image(march, "amd64", &corpus.layer());
    }
    let folder = tempfile::tempdir().unwrap();
    let document = folder.path().join("site.yaml");
    let check = |entries: &[(&str, &str)], format: &str| {
        let mut text = "manifests:\n- name: site/app\n  manifests:\n".to_owned();
        for (image, feature) in entries {
            text += &format!(
                "  - {{image: 'lab/app:{image}', platform: {{features: ['arch:{feature}']}}}}\n"
            );
        }
        std::fs::write(&document, text).unwrap();
        command(&[
            "check",
            document.to_str().unwrap(),
            "--verify",
            "--format",
            format,
        ])
        .args(["--server", &format!("http://{}", metahub.host())])
    };
    let right = [
        ("x86-64-v4", "x86_64_v4"),
        ("x86-64-v3", "zen2"),
        ("x86-64-v2", "nehalem"),
        ("x86-64", "x86_64"),
    ];
    let report = check(&right, "json").run().ok_json();
    assert_eq!(report["problems"], json!([]), "{report}");

    let wrong = [("x86-64-v4", "zen2"), ("x86-64-v2", "zen3")];
    let told = check(&wrong, "text").run();
    assert_eq!(told.code, Some(1), "{}", told.all());
    told.says("error: lab/app:x86-64-v4: its code requires x86_64_v4")
        .says("bin/app requires x86_64_v4")
        .says("built for zen3, needs only x86_64_v2");
}

#[test]
fn an_image_that_says_less_than_its_code_needs_is_warned_of_or_not_served() {
    if !require::tools(&["gcc", "tar", "gzip"]) {
        return;
    }
    let build = |march: &str| {
        let corpus = Corpus::new();
        let line = format!("gcc -O3 -march={march} main.c part.c -o OUT");
        corpus.build("app", &line);
        corpus.layer()
    };
    let (lying, honest) = (build("x86-64-v4"), build("x86-64"));
    for mode in ["enforce", "warn", "trust-labels"] {
        let metahub = MetaHub::start(
            &format!(
                "anonymous: write\nallow_any_host: false\nupstreams: []\n\
                 inspection: {mode}\ninspection_wait: 2m\n"
            ),
            &[],
        );
        let pusher = Pusher {
            host: metahub.host(),
            repository: "lab/app",
            login: None,
        };
        let lying = pusher.image("lying", "amd64", &lying);
        let honest = pusher.image("honest", "amd64", &honest);
        pusher.index("only", &[(&lying, "amd64", &["arch:x86_64_v2"])]);
        let both: [(&Value, &str, &[&str]); 2] = [
            (&lying, "amd64", &["arch:x86_64_v2"]),
            (&honest, "amd64", &["arch:x86_64"]),
        ];
        pusher.index("both", &both);
        let server = format!("http://{}", metahub.host());
        let resolve = |image: &str, login: &str| {
            let args = [
                "resolve",
                image,
                "--as",
                login,
                "--server",
                &server,
                "--explain",
            ];
            command(&args).run()
        };
        let gets = |image: &str, login: &str, expected: &Value| {
            let told = resolve(image, login);
            assert_eq!(told.code, Some(0), "{mode}: {}", told.all());
            told.says(expected["digest"].as_str().unwrap());
            told
        };
        // Who has what the code needs gets it in any case.
        gets("lab/app:both", "zen4", &lying).does_not_say("requires x86_64_v4");
        if mode == "enforce" {
            gets("lab/app:both", "x86_64_v2", &honest);
            let refused = resolve("lab/app:only", "x86_64_v2");
            assert_eq!(refused.code, Some(3), "{}", refused.all());
            refused
                .says("no image fits arch:x86_64_v2")
                .says("bin/app requires x86_64_v4");
            let path = "/v2/lab/app/manifests/only";
            let pulled = metahub.call("GET", path).login(Some(("x86_64_v2", "any")));
            let pulled = pulled.send();
            assert_eq!(pulled.status, 404, "{}", pulled.text());
            continue;
        }
        gets("lab/app:both", "x86_64_v2", &lying);
        if mode == "warn" {
            let warned = || {
                gets("lab/app:only", "x86_64_v2", &lying)
                    .all()
                    .contains("bin/app requires x86_64_v4")
            };
            assert!(
                wait_until(Duration::from_secs(120), warned),
                "{}",
                metahub.log()
            );
            assert!(
                metahub.log().contains("served all the same"),
                "{}",
                metahub.log()
            );
        }
    }
}
