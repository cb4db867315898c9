//! Each target for a bounded number of inputs; see `fuzz/src/lib.rs` for how to make more.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

use metahub_fuzz::{TARGETS, run};

fn fuzz(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let report = run(target);
    eprintln!("{name}: {report:?}");
    // A corpus of which nothing new comes would be none.
    assert!(
        report.outcomes > 1 && report.cases > report.seeds as u64,
        "{report:?}"
    );
}

#[test]
fn documents() {
    fuzz("documents");
}

#[test]
fn logins() {
    fuzz("logins");
}

#[test]
fn jq() {
    fuzz("jq");
}

#[test]
fn manifests() {
    fuzz("manifests");
}

#[test]
fn indexes() {
    fuzz("indexes");
}

#[test]
fn configs() {
    fuzz("configs");
}

#[test]
fn nfd() {
    fuzz("nfd");
}

#[test]
fn every_target_has_its_test_and_its_corpus() {
    let here = include_str!("fuzz.rs");
    for target in TARGETS {
        assert!(
            here.contains(&format!("fn {}() {{\n", target.name)),
            "{}",
            target.name
        );
    }
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let files = std::fs::read_dir(corpus).unwrap().count();
    assert_eq!(files, TARGETS.len());
}
