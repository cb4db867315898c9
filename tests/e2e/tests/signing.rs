//! What is derived is signed: `cosign verify` accepts it under the right key and no other.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::path::Path;

use metahub_e2e::metahub::{MetaHub, command};
use metahub_e2e::process::Cmd;
use metahub_e2e::require;
use serde_json::{Value, json};

const PASSWORD: &str = "hunter2";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";
/// As a query says it: `+` is a space there.
const BUNDLE_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3%2Bjson";
const DOCUMENTS: &str = "profile:
  name: labelled
  actions:
    - {name: config-set, event: post-manifest-get, args: {labels: {org.example.site: here}}}
";

/// A tool that knows nobody's logins but what lies in `folder`.
fn tool(program: &str, folder: &Path) -> Cmd {
    Cmd::new(program)
        .dir(folder)
        .env("HOME", folder)
        .env("DOCKER_CONFIG", folder)
        .env("COSIGN_PASSWORD", PASSWORD)
        .env_clear_of_proxies()
}

/// Has the tools log in at `host` as `login`, or as nobody.
fn log_in(folder: &Path, host: &str, login: Option<&str>) {
    let auths = login.map_or_else(
        || json!({}),
        |login| json!({host: {"username": login, "password": "any"}}),
    );
    std::fs::write(
        folder.join("config.json"),
        json!({"auths": auths}).to_string(),
    )
    .unwrap();
}

/// Pushes an image of one layer.
fn push(folder: &Path, image: &str) {
    let layer = b"a layer";
    std::fs::write(folder.join("layer.tar"), layer).unwrap();
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [metahub_e2e::http::digest_of(layer)]},
    });
    std::fs::write(folder.join("image.json"), config.to_string()).unwrap();
    tool("oras", folder)
        .args(["push", "--plain-http", "--config"])
        .arg(format!("image.json:{CONFIG_TYPE}"))
        .arg(image)
        .arg(format!("layer.tar:{LAYER_TYPE}"))
        .ok();
}

fn start(folder: &Path) -> MetaHub {
    let key = folder.join("ours.key");
    let password = folder.join("password");
    std::fs::write(&password, PASSWORD).unwrap();
    let owner = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&password, owner).unwrap();
    let config = format!(
        "anonymous: write\noffline: true\nupstreams: []\n\
         signing: {{key: \"{}\", password_file: \"{}\"}}",
        key.display(),
        password.display()
    );
    MetaHub::start(&config, &[("labelled.yaml", DOCUMENTS)])
}

/// The signatures of what a login gets, and its digest.
fn signatures(hub: &MetaHub, login: Option<(&str, &str)>) -> (usize, String) {
    let manifest = hub.get("/v2/lab/app/manifests/1").login(login);
    let manifest = manifest.send().expect(200);
    let digest = metahub_e2e::http::digest_of(&manifest.body);
    let path = format!("/v2/lab/app/referrers/{digest}?artifactType={BUNDLE_TYPE}");
    let listed: Value = hub.get(&path).login(login).send().expect(200).json();
    (listed["manifests"].as_array().unwrap().len(), digest)
}

#[test]
fn cosign_verifies_what_was_derived_and_nothing_else() {
    if !require::tools(&["cosign", "oras"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for prefix in ["ours", "theirs"] {
        tool("cosign", folder)
            .args(["generate-key-pair", "--output-key-prefix", prefix])
            .ok();
    }
    let hub = start(folder);
    let image = hub.image("lab/app:1");
    log_in(folder, hub.host(), None);
    push(folder, &image);
    let verify = |key: &str, image: &str| {
        tool("cosign", folder)
            .args(["verify", "--key", key, "--insecure-ignore-tlog"])
            .args(["--allow-http-registry", image])
    };
    // As its publisher made it.
    verify("ours.pub", &image).fails();
    assert_eq!(signatures(&hub, Some(("zen3", "any"))).0, 0);

    let login = Some(("labelled", "any"));
    let (count, digest) = signatures(&hub, login);
    assert_eq!(count, 1);
    log_in(folder, hub.host(), Some("labelled"));
    let verified = verify("ours.pub", &image).ok();
    assert!(verified.stdout.contains(&digest), "{verified}");
    verify("theirs.pub", &image).fails();
    let by_digest = format!("{}@{digest}", hub.image("lab/app"));
    verify("ours.pub", &by_digest).ok();

    let hub = hub.restart();
    assert_eq!(signatures(&hub, login), (1, digest), "nothing piles up");
}

#[test]
fn a_key_that_everybody_can_read_ends_the_start() {
    if !require::tools(&["openssl"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let key = ["ecparam", "-name", "prime256v1", "-genkey", "-out", "k.pem"];
    tool("openssl", folder).args(key).ok();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(folder.join("k.pem"), open).unwrap();
    std::fs::write(folder.join("metahub.yaml"), "signing: {key: k.pem}\n").unwrap();
    let config = ["serve", "--config", "metahub.yaml"];
    let failed = command(&config)
        .args(["--listen", "127.0.0.1:0"])
        .dir(folder)
        .fails();
    failed.says("0644").says("chmod 0600");
}
