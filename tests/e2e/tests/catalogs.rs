//! A catalog as an artifact: pushed and pulled by `oras` and by `metahub`, and followed by another
//! MetaHub, which keeps it while the first one is away.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::path::Path;
use std::time::Duration;

use metahub_e2e::metahub::{MetaHub, command};
use metahub_e2e::process::{Cmd, wait_until};
use metahub_e2e::require;

const LIMIT: Duration = Duration::from_secs(60);
const TYPE: &str = "application/vnd.metahub.catalog.v1";
const LAYER: &str = "application/vnd.metahub.document.v1+yaml";

/// Documents with one profile, whose name tells which version of them is in use.
fn document(version: &str) -> String {
    format!("profile:\n  name: site/v{version}\n  features: [arch:zen3]\n")
}

fn hub() -> MetaHub {
    MetaHub::start("anonymous: write\noffline: true\nupstreams: []\n", &[])
}

fn following(entry: &str) -> MetaHub {
    let site = MetaHub::start("upstreams: []\nmetrics: everybody\n", &[]);
    site.restart_with(&format!("catalog: [{entry}]"))
}

/// Whether that version of the documents is in use: a login under its profile is let in.
fn uses(site: &MetaHub, version: &str) -> bool {
    let login = format!("site/v{version}");
    let answer = site.get("/v2/").login(Some((&login, "any"))).send();
    answer.status == 200
}

/// Waits until that version is in use. Asks for it once only: failed logins are counted.
fn takes_up(site: &MetaHub, version: &str) {
    let told = format!("profile site/v{version}:latest");
    assert!(site.says(&told), "{}", site.log());
    assert!(uses(site, version), "{}", site.log());
}

fn oras(folder: &Path, args: &[&str]) {
    Cmd::new("oras")
        .env("HOME", folder)
        .env("DOCKER_CONFIG", folder)
        .env_clear_of_proxies()
        .dir(folder)
        .args(args)
        .ok();
}

/// A `metahub` command without anybody's login.
fn metahub(folder: &Path, args: &[&str]) -> Cmd {
    command(args)
        .dir(folder)
        .env("HOME", folder)
        .env("DOCKER_CONFIG", folder)
}

#[test]
fn what_oras_and_metahub_push_is_followed_and_stays_while_the_registry_is_away() {
    if !require::tools(&["oras"]) {
        return;
    }
    let mut hub = hub();
    let image = hub.image("site/catalog:prod");
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::create_dir_all(folder.join("catalog/deep")).unwrap();
    std::fs::write(folder.join("catalog/deep/a.yaml"), document("1")).unwrap();
    let push = ["catalog", "push", "catalog", &image, "--plain-http"];
    let pushed = metahub(folder, &push).args(["--format", "json"]).ok();
    let digest = pushed.ok_json()["digest"].clone();
    let again = metahub(folder, &push).ok();
    assert!(again.stdout.contains(digest.as_str().unwrap()), "{again}");

    oras(folder, &["pull", "--plain-http", "-o", "by-oras", &image]);
    let pull = ["catalog", "pull", &image, "by-metahub", "--plain-http"];
    metahub(folder, &pull).ok();
    for by in ["by-oras", "by-metahub"] {
        let pulled = std::fs::read_to_string(folder.join(by).join("deep/a.yaml")).unwrap();
        assert_eq!(pulled, document("1"), "{by}");
    }

    let entry = format!("{{oci: \"{image}\", plain_http: true, every: 1s}}");
    let site = following(&entry);
    assert!(uses(&site, "1"), "{}", site.log());
    let current = |site: &MetaHub, value: u8| {
        let answer = site.get("/metrics").send();
        let catalog =
            format!("metahub_followed_catalog_current{{catalog=\"oci://{image}\"}} {value}");
        answer.text().lines().any(|line| line == catalog)
    };
    assert!(current(&site, 1));

    std::fs::write(folder.join("a.yaml"), document("2")).unwrap();
    let file = format!("a.yaml:{LAYER}");
    let push = ["push", "--plain-http", "--artifact-type", TYPE, &image];
    oras(folder, &[&push[..], &[&file]].concat());
    takes_up(&site, "2");

    hub.terminate();
    let site = site.restart();
    assert!(uses(&site, "2"), "{}", site.log());
    assert!(site.says("keeping the previous one"), "{}", site.log());
    assert!(wait_until(LIMIT, || current(&site, 0)));
    let list = ["catalog", "list", "--format", "json"];
    let told = || site.command(&list).ok().ok_json()[0].clone();
    assert!(wait_until(LIMIT, || told()["problem"].is_string()));
    assert_eq!(told()["files"], 1);
}

#[test]
fn documents_with_an_error_are_not_pushed_and_not_taken_up() {
    if !require::tools(&["oras"]) {
        return;
    }
    let hub = hub();
    let image = hub.image("site/catalog:prod");
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("a.yaml"), document("1")).unwrap();
    let push = ["catalog", "push", "a.yaml", &image, "--plain-http"];
    metahub(folder, &push).ok();
    let entry = format!("{{oci: \"{image}\", plain_http: true, every: 1s}}");
    let site = following(&entry);

    std::fs::write(folder.join("a.yaml"), "manifests: [{nme: x}]\n").unwrap();
    let refused = metahub(folder, &push).fails();
    refused.says("a.yaml:1:").says("nothing was pushed");
    let file = format!("a.yaml:{LAYER}");
    let push = ["push", "--plain-http", "--artifact-type", TYPE, &image];
    oras(folder, &[&push[..], &[&file]].concat());
    assert!(site.says("keeping the previous one"), "{}", site.log());
    assert!(site.log().contains("a.yaml:1:"), "{}", site.log());
    assert!(uses(&site, "1"), "{}", site.log());
}

#[test]
fn with_a_key_only_a_signed_catalog_is_followed_and_pulled() {
    if !require::tools(&["openssl"]) {
        return;
    }
    let hub = hub();
    let image = hub.image("site/catalog:prod");
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let openssl = |args: &[&str]| Cmd::new("openssl").dir(folder).args(args).ok();
    let curve = [
        "ecparam",
        "-name",
        "prime256v1",
        "-genkey",
        "-out",
        "key.pem",
    ];
    openssl(&curve);
    openssl(&["ec", "-in", "key.pem", "-pubout", "-out", "key.pub"]);
    std::fs::write(folder.join("a.yaml"), document("1")).unwrap();
    let push = ["catalog", "push", "a.yaml", &image, "--plain-http"];
    metahub(folder, &push).ok();
    let pull = ["catalog", "pull", &image, "out", "--plain-http", "--key"];
    let refused = metahub(folder, &pull).arg("key.pub").fails();
    refused.says("has no signature by the key");
    assert!(!folder.join("out").exists(), "nothing was written");

    let key = folder.join("key.pub");
    let key = key.display();
    let entry = format!("{{oci: \"{image}\", plain_http: true, every: 1s, key: \"{key}\"}}");
    let site = following(&entry);
    assert!(site.says("has no signature by the key"), "{}", site.log());
    assert!(!uses(&site, "1"));
    metahub(folder, &push).args(["--sign-key", "key.pem"]).ok();
    takes_up(&site, "1");
    metahub(folder, &pull).arg("key.pub").ok();
    assert!(folder.join("out/a.yaml").exists());
}

#[test]
fn cosign_and_metahub_verify_what_the_other_signed() {
    if !require::tools(&["cosign"]) {
        return;
    }
    let hub = hub();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let cosign = |args: &[&str]| {
        Cmd::new("cosign")
            .dir(folder)
            .env("HOME", folder)
            .env("DOCKER_CONFIG", folder)
            .env("COSIGN_PASSWORD", "hunter2")
            .env_clear_of_proxies()
            .args(args)
    };
    for prefix in ["ours", "theirs"] {
        cosign(&["generate-key-pair", "--output-key-prefix", prefix]).ok();
    }
    std::fs::write(folder.join("a.yaml"), document("1")).unwrap();
    let push = |image: &str, more: &[&str]| {
        let push = ["catalog", "push", "a.yaml", image, "--plain-http"];
        let push = metahub(folder, &push).args(more);
        push.env("COSIGN_PASSWORD", "hunter2").ok();
    };
    let verify = |image: &str, key: &str| {
        let verify = ["verify", "--insecure-ignore-tlog", "--allow-http-registry"];
        cosign(&verify).args(["--key", key, image])
    };
    let pull = |image: &str, key: &str| {
        let pull = ["catalog", "pull", image, "out", "--plain-http"];
        metahub(folder, &pull).args(["--key", key])
    };
    let by_metahub = hub.image("site/catalog:by-metahub");
    push(&by_metahub, &["--sign-key", "ours.key"]);
    verify(&by_metahub, "ours.pub").ok();
    verify(&by_metahub, "theirs.pub").fails();

    std::fs::write(folder.join("a.yaml"), document("2")).unwrap();
    let by_cosign = hub.image("site/catalog:by-cosign");
    push(&by_cosign, &[]);
    pull(&by_cosign, "ours.pub").fails();
    let sign = [
        "sign",
        "--yes",
        "--use-signing-config=false",
        "--tlog-upload=false",
    ];
    cosign(&sign)
        .args(["--allow-http-registry", "--key", "ours.key", &by_cosign])
        .ok();
    pull(&by_cosign, "ours.pub").ok();
    pull(&by_cosign, "theirs.pub").fails();
}

#[test]
fn a_wrong_key_file_ends_the_start_and_says_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key.pub"), "hunter2").unwrap();
    let config = "catalog: [{oci: hub.example/c:1, key: key.pub}]\n";
    std::fs::write(folder.path().join("metahub.yaml"), config).unwrap();
    let start = [
        "serve",
        "--config",
        "metahub.yaml",
        "--listen",
        "127.0.0.1:0",
    ];
    let failed = command(&start).dir(folder.path()).fails();
    failed
        .says("BEGIN PUBLIC KEY")
        .says("key.pub")
        .does_not_say("hunter2");
}
