//! `metahub inspect --run-on`: images on emulated processors, and what an operator lifts by it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test, which fails by panicking"
)]

use metahub_e2e::corpus::{Corpus, layout_of};
use metahub_e2e::metahub::{MetaHub, command};
use metahub_e2e::process::Outcome;
use metahub_e2e::pusher::Pusher;
use metahub_e2e::require;
use serde_json::{Value, json};

const NEEDS: &[&str] = &["gcc", "tar", "gzip", "qemu-x86_64", "unshare", "setpriv"];

/// Programs that make code when they run, which is unknown: for any processor, and with AVX.
fn programs() -> Corpus {
    let corpus = Corpus::new();
    corpus.build("plain", "gcc -O2 -static -DPLAIN generates.c -o OUT");
    corpus.build("avx", "gcc -O2 -static generates.c -o OUT");
    corpus.build("confined", "gcc -O2 -static confined.c -o OUT");
    corpus
}

fn layout(corpus: &Corpus) -> String {
    let layout = corpus.folder.path().join("layout");
    let _ = layout_of(&layout, &[&corpus.layer()], &json!({}));
    format!("oci:{}", layout.display())
}

fn run_on(image: &str, options: &[&str], line: &[&str]) -> Outcome {
    command(&["inspect", image, "--run-on", "x86_64_v2"])
        .args(options)
        .args(["--"])
        .args(line)
        .run()
}

fn json_of(told: &Outcome) -> Value {
    serde_json::from_str(&told.stdout).unwrap_or_else(|_| panic!("{}", told.all()))
}

fn files(list: &Value) -> Vec<&str> {
    let files = list.as_array().unwrap().iter();
    files.map(|file| file["file"].as_str().unwrap()).collect()
}

#[test]
fn what_ran_on_an_emulated_processor_is_lifted_there_and_above_and_nothing_else() {
    if !require::tools(NEEDS) {
        return;
    }
    let corpus = programs();
    let layout = layout(&corpus);
    let told = run_on(&layout, &[], &["/bin/plain"]);
    assert_eq!(told.code, Some(0), "{}", told.all());
    told.says("it ran as x86_64_v2").says("bin/avx stays so");
    let printed = told.all();
    let line = printed
        .lines()
        .find(|line| line.starts_with("inspection_lifted: "))
        .unwrap()
        .to_owned();
    let died = run_on(&layout, &["--format", "json"], &["/bin/avx"]);
    assert_eq!(died.code, Some(1), "{}", died.all());
    let run = &json_of(&died)["run"];
    assert_eq!(run["outcome"], "needs-more", "{run}");
    assert_eq!(run["ended"], json!({"signal": 4}), "{run}");
    assert_eq!(run["lifts"], json!([]), "{run}");
    assert_eq!(files(&run["stays"]), ["bin/avx", "bin/plain"], "{run}");

    let metahub = MetaHub::start(
        &format!(
            "anonymous: write\nallow_any_host: false\nupstreams: []\n\
             inspection: enforce\ninspection_wait: 2m\n{line}\n"
        ),
        &[],
    );
    let pusher = Pusher {
        host: metahub.host(),
        repository: "lab/app",
        login: None,
    };
    for name in ["plain", "avx"] {
        let one = Corpus::new();
        std::fs::copy(corpus.file(name), one.file(name)).unwrap();
        let image = pusher.image(&format!("{name}-only"), "amd64", &one.layer());
        pusher.index(name, &[(&image, "amd64", &["arch:x86_64"])]);
    }
    for (tag, login, status) in [
        ("plain", "x86_64_v2", 200),
        ("plain", "zen4", 200),
        ("plain", "x86_64", 404),
        ("avx", "x86_64_v2", 404),
        ("avx", "zen4", 404),
    ] {
        let path = format!("/v2/lab/app/manifests/{tag}");
        let answer = metahub
            .call("GET", &path)
            .login(Some((login, "any")))
            .send();
        assert_eq!(answer.status, status, "{tag} {login}: {}", answer.text());
    }
    // The same of an image that a registry holds.
    let server = format!("http://{}", metahub.host());
    let told = run_on("lab/app:plain-only", &["--server", &server], &["plain"]);
    assert_eq!(told.code, Some(0), "{}", told.all());
    told.says(&line);
}

#[test]
fn a_program_is_emulated_whoever_starts_it_and_however_it_ends() {
    if !require::tools(NEEDS) {
        return;
    }
    let corpus = programs();
    let script = corpus.file("script");
    std::fs::write(&script, "#!/bin/confined none\n").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let layout = layout(&corpus);
    for (line, outcome, lifts) in [
        (
            &["/bin/confined", "starts", "/bin/plain"][..],
            "ran",
            &["bin/plain"][..],
        ),
        (&["confined", "starts", "/bin/avx"], "needs-more", &[]),
        (
            &["confined", "starts", "/bin/confined", "starts", "/bin/avx"],
            "needs-more",
            &[],
        ),
        // A script: the kernel starts its interpreter with its path.
        (&["script"], "failed", &[]),
        (&["confined"], "ran", &[]),
        (&["confined", "fails"], "failed", &[]),
    ] {
        let told = run_on(&layout, &["--format", "json"], line);
        let run = json_of(&told)["run"].clone();
        assert_eq!(run["outcome"], outcome, "{line:?}: {}", told.all());
        assert_eq!(files(&run["lifts"]), lifts, "{line:?}: {run}");
        assert_eq!(told.code == Some(0), outcome == "ran", "{line:?}");
    }
}

#[test]
fn a_run_reaches_nothing_of_the_machine_and_is_ended_at_its_bounds() {
    if !require::tools(NEEDS) {
        return;
    }
    let corpus = programs();
    let layout = layout(&corpus);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let file = corpus.file("plain").display().to_string();
    let told = run_on(
        &layout,
        &["--format", "json"],
        &["confined", "reaches", &port, &file],
    );
    assert_eq!(
        json_of(&told)["run"]["ended"],
        json!({"exited": 0}),
        "{}",
        told.all()
    );
    for (options, what, end) in [
        (&["--run-time", "1s"][..], "loops", "time"),
        (&[], "grows", "memory"),
    ] {
        let options = [options, &["--format", "json"]].concat();
        let told = run_on(&layout, &options, &["confined", what]);
        let run = json_of(&told)["run"].clone();
        assert_eq!(run["ended"], end, "{}", told.all());
        assert_eq!(run["outcome"], "failed", "{run}");
    }
}

#[test]
fn what_cannot_be_run_is_refused_with_the_reason() {
    if !require::tools(NEEDS) {
        return;
    }
    let corpus = programs();
    let text = corpus.file("text");
    std::fs::write(&text, "nothing\n").unwrap();
    std::fs::set_permissions(&text, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let layout = layout(&corpus);
    let refused = |told: Outcome, why: &str| {
        assert_eq!(told.code, Some(1), "{}", told.all());
        told.says(why);
    };
    let on = |target: &str| command(&["inspect", &layout, "--run-on", target]);
    refused(on("zen4").run(), "does not emulate avx512");
    refused(on("neoverse_v2").run(), "of 64-bit Arm it has");
    refused(on("neoverse_n1").run(), "no image for linux/arm64");
    refused(on("x86_64_v2").run(), "names no program to run");
    refused(run_on(&layout, &[], &["none"]), "it is not in the image");
    refused(
        run_on(&layout, &[], &["bin/text"]),
        "no program of the image's",
    );
}
