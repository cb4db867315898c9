//! `metahub profile test`: what passes, what fails and where, and the forms for other programs.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn documents() -> String {
    format!(
        "\
profile:
  name: site/zen3:1.0
  features: [arch:zen3]
  actions:
    - {{name: manifest-select, event: post-manifest-list-get}}
    - {{name: manifest-add, event: post-manifest-get, args: {{layerRepository: site/tools, repository: 'lab/.*'}}}}
---
profile:
  name: site/any
  actions:
    - {{name: manifest-add, event: post-manifest-get, args: {{layerRepository: site/tools, repository: 'lab/.*'}}}}
---
profile:
  name: site/rules
  actions:
    - {{name: deny, event: pre-manifest-get, args: {{tag: '.*-debug', message: use the test partition}}}}
    - {{name: redirect, event: pre-manifest-get, args: {{repository: lab/old, to: 'lab/new:v2'}}}}
    - {{name: redirect, event: pre-manifest-get, args: {{repository: lab/away, to: 'quay.io/x/app'}}}}
    - {{name: tags-filter, event: post-tags-list-get, args: {{drop: '.*-debug', add: [stable]}}}}
    - {{name: config-set, event: post-manifest-get, args: {{wrap: [/launch, --]}}}}
---
manifests:
  - name: site/app
    tag: 1
    manifests:
      - {{image: 'quay.io/x/y:zen4', platform: {{features: [arch:zen4]}}}}
      - {{image: 'quay.io/x/y@{DIGEST}', platform: {{features: [arch:zen2]}}}}
      - {{image: 'registry.lab:5000/x/arm', platform: {{features: [arch:neoverse_v1]}}}}
"
    )
}

/// Runs `metahub profile test t.yaml` on these cases beside [`documents`].
fn run(cases: &str, args: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("t.yaml"), cases).unwrap();
    std::fs::write(folder.path().join("site.yaml"), documents()).unwrap();
    let mut all = vec!["t.yaml", "--catalog", "site.yaml"];
    all.extend(args);
    metahub(folder.path(), &all)
}

fn metahub(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let mut command = Command::cargo_bin("metahub").unwrap();
    command
        .args(["profile", "test"])
        .args(args)
        .current_dir(folder)
        .env("NO_COLOR", "1");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("METAHUB_")) {
        command.env_remove(name);
    }
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// What passes: all of these expectations hold.
const RIGHT: &[&str] = &[
    "{pull: 'lab/app:v1', given: {manifests: [{image: a, features: [arch:zen2]}, {image: b}, \
     {image: c, features: [arch:zen4]}]}, expect: {image: a, features: [arch:zen2], layers: [site/tools]}}",
    "{pull: 'lab/app', given: {image: {entrypoint: [/a, b], cmd: [c], user: 7, working_dir: /w, labels: {x: y}, \
     annotations: {p: q}, env: {A: 1}, layers: 3}}, expect: {entrypoint: [/a, b], cmd: [c], user: 7, \
     working_dir: /w, labels: {x: y, z: ~}, annotations: {p: q}, env: {A: 1, B: ~}, layers: [site/tools]}}",
    "{pull: 'lab/app', given: {image: {docker: true}}, expect: {layers: [site/tools], entrypoint: [], user: ''}}",
    "{pull: 'other/app', expect: {image: other/app, layers: []}}",
    "{pull: 'other/app', given: {image: {features: [arch:zen4]}}, expect: {fails: no image fits}}",
    "{pull: 'other/app', login: zen99, expect: {fails: zen99}}",
    // Collections, by tag and by digest, of hosts that nobody asks.
    "{pull: 'site/app:1', login: zen4, expect: {image: 'quay.io/x/y:zen4', platform: linux/amd64}}",
    "{pull: 'site/app:1', login: zen2, expect: {image: 'quay.io/x/y@DIGEST', features: [arch:zen2]}}",
    "{pull: 'site/app:1', login: neoverse_v1, platform: linux/arm64, expect: {image: 'registry.lab:5000/x/arm'}}",
    "{pull: 'site/app:1', login: zen2, given: {images: {'quay.io/x/y@DIGEST': {env: {A: 1}}}}, expect: {env: {A: 1}}}",
    "{pull: 'site/app:1', login: haswell, expect: {fails: no image fits}}",
    // Layers for each platform of the source.
    "{pull: 'lab/app', login: site/any, platform: linux/arm64, given: {manifests: [{image: m, platform: \
     linux/arm64}, {image: n}]}, expect: {image: m, platform: linux/arm64, layers: [site/tools]}}",
    "{pull: 'lab/app', given: {images: {site/tools: {platform: linux/arm64}}}, expect: {fails: site/tools}}",
    // What is refused, redirected and listed before anything is read.
    "{pull: 'lab/app:v1-debug', login: site/rules, expect: {denied: the test partition}}",
    "{pull: 'lab/app:v1-debug', login: site/rules, expect: {fails: the test partition, tags: [stable]}}",
    "{pull: 'lab/app:v1-debug', login: site/rules, given: {tags: [v2, v1]}, expect: {denied: '', tags: [v2, v1, stable]}}",
    "{pull: 'lab/old:v1', login: site/rules, expect: {redirect: 'lab/new:v2', image: 'lab/new:v2'}}",
    "{pull: 'lab/away:v1', login: site/rules, expect: {redirect: 'quay.io/x/app:v1', image: 'quay.io/x/app:v1'}}",
    "{pull: 'lab/other', login: site/rules, expect: {redirect: 'lab/other:latest'}}",
    "{pull: 'site/app', login: site/rules, expect: {tags: ['1', latest, stable]}}",
    "{pull: 'lab/app', given: {tags: [a-debug]}, expect: {tags: [a-debug, latest]}}",
    // A launcher before what an image runs, and alone where that is nothing.
    "{pull: lab/x, login: site/rules, given: {image: {entrypoint: [/app], cmd: [a]}}, \
     expect: {entrypoint: [/launch, --, /app], cmd: [a]}}",
    "{pull: lab/x, login: site/rules, given: {image: {cmd: [/app, a]}}, \
     expect: {entrypoint: [/launch, --], cmd: [/app, a]}}",
    "{pull: lab/x, login: site/rules, expect: {entrypoint: [/launch, --], cmd: []}}",
];

/// What fails, and what is told: the column of the expectation, and the rest of the line.
const WRONG: &[(&str, &str, &str)] = &[
    (
        "{pull: lab/app, expect: {image: x}}",
        "x}",
        "image: expected x, found lab/app",
    ),
    (
        "{pull: lab/app, expect: {layers: []}}",
        "[]",
        "layers: expected [], found [site/tools]",
    ),
    (
        "{pull: lab/app, expect: {features: [arch:zen3]}}",
        "[arch",
        "features: expected [arch:zen3], found []",
    ),
    (
        "{pull: lab/app, expect: {platform: linux/arm64}}",
        "linux",
        "platform: expected linux/arm64, found linux/amd64",
    ),
    (
        "{pull: lab/app, expect: {env: {A: 1}}}",
        "1}",
        "env A: expected '1', found none",
    ),
    (
        "{pull: lab/app, given: {image: {env: {A: 2}}}, expect: {env: {A: ~}}}",
        "~",
        "env A: expected none, found '2'",
    ),
    (
        "{pull: lab/app, expect: {entrypoint: [a]}}",
        "[a]",
        "entrypoint: expected [a], found []",
    ),
    (
        "{pull: lab/app, given: {image: {cmd: [b]}}, expect: {cmd: [a]}}",
        "[a]",
        "cmd: expected [a], found [b]",
    ),
    (
        "{pull: lab/app, expect: {user: u}}",
        "u}}",
        "user: expected 'u', found none",
    ),
    (
        "{pull: lab/app, expect: {working_dir: /w}}",
        "/w",
        "working_dir: expected '/w', found none",
    ),
    (
        "{pull: lab/app, expect: {labels: {a: b}}}",
        "b}",
        "label a: expected 'b', found none",
    ),
    (
        "{pull: lab/app, expect: {annotations: {c: d}}}",
        "d}",
        "annotation c: expected 'd', found none",
    ),
    (
        "{pull: lab/app, expect: {fails: closed}}",
        "closed",
        "the pull: expected a refusal that says 'closed', found lab/app",
    ),
    (
        "{pull: lab/app, expect: {denied: closed}}",
        "closed",
        "the pull: expected a `deny` that says 'closed', found lab/app",
    ),
    (
        "{pull: lab/app, given: {image: {features: [arch:zen4]}}, expect: {denied: no image}}",
        "no image",
        "the pull: expected a `deny` that says 'no image', found another refusal: lab/app:latest: no image fits",
    ),
    (
        "{pull: 'a:v-debug', login: site/rules, expect: {denied: closed}}",
        "closed",
        "the pull: expected a `deny` that says 'closed', found a:v-debug is not given to this login: use the test partition",
    ),
    (
        "{pull: 'lab/old:v1', login: site/rules, expect: {redirect: 'lab/new:v1'}}",
        "'lab/new",
        "redirect: expected lab/new:v1, found lab/new:v2",
    ),
    (
        "{pull: lab/app, expect: {redirect: 'lab/app:v1'}}",
        "'lab/app",
        "redirect: expected lab/app:v1, found lab/app",
    ),
    (
        "{pull: 'lab/app:v-debug', login: site/rules, expect: {image: lab/app}}",
        "{pull",
        "the pull: expected an image, found a refusal: lab/app:v-debug is not given to this login: ",
    ),
    (
        "{pull: lab/app, given: {tags: [b, a-debug]}, login: site/rules, expect: {tags: [b]}}",
        "[b]",
        "tags: expected [b], found [b, latest, stable]",
    ),
    (
        "{pull: lab/app, login: zen99, expect: {image: a}}",
        "{pull",
        "the pull: expected an image, found a refusal: ",
    ),
];

fn cases(all: impl Iterator<Item = String>) -> String {
    let mut text = "tests:\n".to_owned();
    for case in all {
        let login = if case.contains("login:") {
            ""
        } else {
            "login: site/zen3=1.0, "
        };
        text.push_str(&format!("  - {{{login}{}\n", &case[1..]));
    }
    text
}

#[test]
fn what_is_as_expected_passes() {
    let right = cases(RIGHT.iter().map(|case| case.replace("DIGEST", DIGEST)));
    let (code, out, error) = run(&right, &[]);
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    assert!(
        out.ends_with(&format!("{} passed, 0 failed\n", RIGHT.len())),
        "{out}"
    );
}

#[test]
fn what_is_not_is_told_with_its_place() {
    for (case, at, told) in WRONG {
        let text = cases(std::iter::once((*case).to_owned()));
        let line = text.lines().nth(1).unwrap();
        // The expectation is the last that is written so; the whole case begins behind the dash.
        let column = match *at {
            "{pull" => 5,
            at => line.rfind(at).unwrap() + 1,
        };
        let (code, out, _) = run(&text, &[]);
        assert_eq!(code, 1, "{case}: {out}");
        let wanted = format!("t.yaml:2:{column}: {told}");
        assert!(
            out.lines().any(|line| line.starts_with(&wanted)),
            "{wanted}\n{out}"
        );
    }
}

#[test]
fn the_forms_for_programs_tell_the_same() {
    let mixed = cases([RIGHT[0].to_owned(), WRONG[0].0.to_owned()].into_iter())
        .replace("image: x", "image: '<x> & \"y\"'");
    let (code, json, _) = run(&mixed, &["--format", "json"]);
    assert_eq!(code, 1);
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&report["passed"], &report["failed"]),
        (&1.into(), &1.into())
    );
    let mismatch = &report["tests"][1]["mismatches"][0];
    assert_eq!(mismatch["line"], 3);
    assert_eq!(mismatch["found"], "lab/app");

    let (code, tap, _) = run(&mixed, &["--format", "tap"]);
    assert_eq!(code, 1);
    let lines: Vec<&str> = tap.lines().collect();
    assert_eq!(lines[..2], ["TAP version 14", "1..2"]);
    assert!(
        lines[2].starts_with("ok 1 - lab/app:v1 as site/zen3=1.0"),
        "{tap}"
    );
    assert!(lines[3].starts_with("not ok 2 - "), "{tap}");
    assert!(tap.contains("    - \"t.yaml:3:"), "{tap}");

    let (code, junit, _) = run(&mixed, &["--format", "junit"]);
    assert_eq!(code, 1);
    assert!(junit.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"2\" failures=\"1\" errors=\"0\">"));
    assert!(
        junit.contains("expected &lt;x&gt; &amp; &quot;y&quot;, found lab/app"),
        "{junit}"
    );
    assert!(!junit.contains("<x>"), "{junit}");
}

#[test]
fn documents_with_errors_and_documents_without_tests_fail() {
    for (format, told) in [
        ("text", "no test was run"),
        ("tap", "Bail out! t.yaml:1:11: error: "),
        ("junit", "<error message="),
        ("json", "\"unknown-key\""),
    ] {
        let (code, out, error) = run("profile: {nme: x}\n", &["--format", format]);
        assert_eq!(code, 1);
        assert!(out.contains(told), "{format}: {out}");
        assert!(error.starts_with("t.yaml:1:11: error: "), "{error}");
    }
    let (code, _, error) = run("profile: {name: x, features: [arch:zen3]}\n", &[]);
    assert_eq!(code, 1);
    assert!(error.contains("no tests"), "{error}");
    // Those of further documents are not run.
    let (code, ..) = metahub(Path::new("."), &["--format", "xml"]);
    assert_eq!(code, 2);
}
