//! The conformance program of the OCI distribution specification, version `dev`, with every
//! switch turned on: nothing fails, nothing is skipped, nothing is disabled.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::time::Duration;

use metahub_e2e::metahub::MetaHub;
use metahub_e2e::process::Cmd;
use metahub_e2e::require;

/// The program, pinned: another version may ask for more.
const PROGRAM: &str = "github.com/opencontainers/distribution-spec/conformance\
                       @v0.0.0-20260831232431-97274622c111";

/// All switches of the program. Some are off by default.
const SWITCHES: [&str; 30] = [
    "OCI_API_PULL",
    "OCI_API_PUSH",
    "OCI_API_BLOBS_ATOMIC",
    "OCI_API_BLOBS_DELETE",
    "OCI_API_BLOBS_DIGEST_HEADER",
    "OCI_API_BLOBS_MOUNT_ANONYMOUS",
    "OCI_API_BLOBS_UPLOAD_CANCEL",
    "OCI_API_MANIFESTS_ATOMIC",
    "OCI_API_MANIFESTS_DELETE",
    "OCI_API_MANIFESTS_DIGEST_HEADER",
    "OCI_API_MANIFESTS_TAG_PARAM",
    "OCI_API_TAGS_ATOMIC",
    "OCI_API_TAGS_DELETE",
    "OCI_API_TAGS_LIST",
    "OCI_API_REFERRER",
    "OCI_DATA_IMAGE",
    "OCI_DATA_INDEX",
    "OCI_DATA_INDEX_LIST",
    "OCI_DATA_SPARSE",
    "OCI_DATA_ARTIFACT",
    "OCI_DATA_SUBJECT",
    "OCI_DATA_SUBJECT_MISSING",
    "OCI_DATA_ARTIFACT_LIST",
    "OCI_DATA_SUBJECT_LIST",
    "OCI_DATA_DATA_FIELD",
    "OCI_DATA_NONDISTRIBUTABLE",
    "OCI_DATA_CUSTOM_FIELDS",
    "OCI_DATA_NO_LAYERS",
    "OCI_DATA_EMPTY_BLOB",
    "OCI_DATA_SHA512",
];

#[test]
fn the_official_conformance_program_finds_nothing_with_every_switch_on() {
    if !require::tools(&["go", "setpriv"]) {
        return;
    }
    let metahub = MetaHub::start("upstreams: []\noffline: true\nsparse: true", &[]);
    metahub.add_account("conformance", "pusher", "a-password-for-conformance");
    let results = tempfile::tempdir().unwrap();
    let mut conformance = Cmd::new("go")
        .args(["run", PROGRAM])
        .dir(results.path())
        .env("GOFLAGS", "-mod=mod")
        .env("OCI_REGISTRY", metahub.host())
        .env("OCI_TLS", "disabled")
        .env("OCI_VERSION", "dev")
        .env("OCI_REPO1", "conformance/repo1")
        .env("OCI_REPO2", "conformance/repo2")
        .env("OCI_USERNAME", "conformance")
        .env("OCI_PASSWORD", "a-password-for-conformance")
        .env("OCI_RESULTS_DIR", results.path())
        .limit(Duration::from_secs(600));
    for switch in SWITCHES {
        conformance = conformance.env(switch, "true");
    }
    let outcome = conformance.ok();
    let report = outcome.all();
    assert!(
        count(&report, "Pass") > 900,
        "it tested something:\n{report}"
    );
    for status in ["Skip", "Disabled", "FAIL", "Error"] {
        assert_eq!(count(&report, status), 0, "{status}:\n{report}");
    }
}

/// The number behind `STATUS.....:` in the report's summary.
fn count(report: &str, status: &str) -> u64 {
    let line = report
        .lines()
        .map(str::trim)
        .find(|line| line.starts_with(&format!("{status}.")))
        .unwrap_or_else(|| panic!("no line for {status} in the report:\n{report}"));
    line.rsplit(':')
        .next()
        .and_then(|n| n.trim().parse().ok())
        .unwrap()
}
