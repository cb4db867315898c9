//! What `metahub inspect` finds, pushed beside the image when it is asked for.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test, which fails by panicking"
)]

use metahub_e2e::corpus::Corpus;
use metahub_e2e::metahub::{MetaHub, command};
use metahub_e2e::pusher::Pusher;
use metahub_e2e::require;
use serde_json::Value;

const TYPE: &str = "application/vnd.metahub.inspection.v1+json";

#[test]
fn an_inspection_is_attached_to_each_image_of_an_index_and_once() {
    if !require::tools(&["gcc", "tar", "gzip", "setpriv"]) {
        return;
    }
    let layer = |name: &str, march: &str| {
        let corpus = Corpus::new();
        let line = format!("gcc -O3 -march={march} main.c part.c -o OUT");
        corpus.build(name, &line);
        corpus.layer()
    };
    let metahub = MetaHub::start("anonymous: read\nupstreams: []", &[]);
    metahub.add_account("alice", "pusher", "a good password");
    let login = Some(("alice", "a good password"));
    let pusher = Pusher {
        host: metahub.host(),
        repository: "alice/app",
        login,
    };
    let images = [
        pusher.image("v3", "amd64", &layer("app", "x86-64-v3")),
        pusher.image("any", "amd64", &layer("app", "x86-64")),
    ];
    pusher.index(
        "1",
        &[
            (&images[0], "amd64", &["arch:x86_64_v3"]),
            (&images[1], "amd64", &[]),
        ],
    );
    let before = pusher.call("GET", "manifests/1").send().body;
    let name = metahub.image("alice/app:1");
    let attach = [
        "inspect",
        &name,
        "--attach",
        "--plain-http",
        "--format",
        "json",
    ];
    let as_alice = || {
        command(&attach)
            .args(["--as", "alice", "--password-stdin"])
            .stdin("a good password\n")
    };
    let printed = as_alice().run().ok_json();
    // Again it is the same.
    as_alice().ok();
    for (index, image) in images.iter().enumerate() {
        let digest = image["digest"].as_str().unwrap();
        let kind = TYPE.replace('+', "%2B");
        let path = format!("referrers/{digest}?artifactType={kind}");
        let referrers = pusher.call("GET", &path).send().expect(200).json();
        let listed = referrers["manifests"].as_array().unwrap();
        assert_eq!(listed.len(), 1, "{referrers}");
        let manifest = format!("manifests/{}", listed[0]["digest"].as_str().unwrap());
        let manifest = pusher.call("GET", &manifest).send().expect(200).json();
        assert_eq!(manifest["subject"]["digest"], digest);
        assert_eq!(manifest["artifactType"], TYPE);
        let report = format!(
            "blobs/{}",
            manifest["layers"][0]["digest"].as_str().unwrap()
        );
        let report: Value = pusher.call("GET", &report).send().expect(200).json();
        assert_eq!(report, printed["images"][index]);
        let required = [Value::from("x86_64_v3"), Value::Null];
        assert_eq!(report["cpu"]["required"], required[index], "{report}");
    }
    assert_eq!(pusher.call("GET", "manifests/1").send().body, before);
    // A reader attaches nothing, and is told so.
    let refused = command(&attach).fails();
    refused
        .says("was not pushed")
        .says("an account is needed to push");
    for local in ["lab/app:1", "oci:folder"] {
        let outcome = command(&["inspect", local, "--attach"]).fails();
        outcome.says("names no host");
    }
}
