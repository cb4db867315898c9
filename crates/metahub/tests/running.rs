//! A running demo, and `metahub resolve` before it: what it prints, how it ends, and that a
//! signal ends the server cleanly.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

fn program() -> &'static str {
    env!("CARGO_BIN_EXE_metahub")
}

/// A demo on a free port; killed when it is dropped.
struct Demo {
    process: Child,
    host: String,
    // Held open: a server that cannot print ends otherwise.
    _output: BufReader<std::process::ChildStdout>,
}

impl Demo {
    fn start() -> Self {
        let mut process = Command::new(program())
            .args(["demo", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let host = loop {
            let mut line = String::new();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "the demo ended");
            if let Some((_, rest)) = line.split_once("MetaHub listens on ") {
                break rest.split(';').next().unwrap().to_owned();
            }
        };
        Self {
            process,
            host,
            _output: output,
        }
    }

    fn resolve(&self, args: &[&str]) -> Output {
        Command::new(program())
            .arg("resolve")
            .args(args)
            .args(["--server", &format!("http://{}", self.host)])
            .env("NO_COLOR", "1")
            .output()
            .unwrap()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn resolve_prints_what_a_login_gets_and_why_and_ends_as_scripts_expect() {
    let mut demo = Demo::start();

    let plain = demo.resolve(&[
        "gromacs:2021.5",
        "--as",
        "zen3",
        "--platform",
        "linux/amd64",
    ]);
    assert_eq!(plain.status.code(), Some(0));
    let plain = text(&plain.stdout);
    assert!(
        plain.starts_with("gromacs@sha256:") && plain.lines().count() == 1,
        "{plain}"
    );

    let json = demo.resolve(&[
        "gromacs:2021.5",
        "--as",
        "zen3",
        "--format",
        "json",
        "--platform",
        "linux/amd64",
    ]);
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["requires"][0], "arch:zen3");
    assert!(plain.contains(json["manifest"].as_str().unwrap()));

    let explained = text(
        &demo
            .resolve(&["gromacs:2021.5", "--as", "zen3", "--explain"])
            .stdout,
    );
    for words in [
        "qnib/gromacs-2021.5_gcc-7.3.1:x86_64_v4",
        "arch:cascadeLake",
        "WHY",
        "✓",
    ] {
        assert!(explained.contains(words), "{words}: {explained}");
    }

    let arm = demo.resolve(&["gromacs:2021.5", "--as", "neoverse_v1", "--explain"]);
    assert!(
        text(&arm.stdout).contains("linux/arm64"),
        "whatever platform there is"
    );

    let nothing = demo.resolve(&["gromacs:2021.5", "--as", "cpu=x86_64", "--explain"]);
    assert_eq!(nothing.status.code(), Some(3));
    assert!(text(&nothing.stderr).contains("arch:zen3"), "what there is");
    assert!(text(&nothing.stdout).contains("REQUIRES"), "entry by entry");
    let nothing = demo.resolve(&["gromacs:2021.5", "--as", "cpu=x86_64", "--format", "json"]);
    let nothing: Value = serde_json::from_slice(&nothing.stdout).unwrap();
    assert_eq!(nothing["reason"], "nothing-fits");

    for (image, login, words) in [
        ("gromacs:2021.5", "zem3", "zen3"),
        ("qnib/absent:1", "zen3", "qnib/absent"),
    ] {
        let failed = demo.resolve(&[image, "--as", login]);
        assert_eq!(failed.status.code(), Some(1));
        assert!(text(&failed.stderr).contains(words));
    }

    let told = Command::new("kill")
        .arg(demo.process.id().to_string())
        .status()
        .unwrap();
    assert!(told.success());
    assert!(
        demo.process.wait().unwrap().success(),
        "SIGTERM ends it cleanly"
    );
}
