//! What the actions of a profile serve, looked at byte by byte, and what they say when they
//! cannot do their work.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use metahub_e2e::http::{Answer, digest_of};
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::pusher::{INDEX, MANIFEST, Pusher};
use metahub_e2e::require;
use metahub_e2e::world::CATALOG;
use serde_json::Value;

const PROFILES: &str = "
profiles:
  - name: foreign
    actions:
      - name: manifest-add
        event: post-manifest-get
        args: { layerRepository: lab/layer-arm, repository: lab/app }
  - name: absent
    actions:
      - name: manifest-add
        event: post-manifest-get
        args: { layerRepository: lab/layer-absent, repository: lab/app }
  - name: tools
    actions:
      - name: manifest-add
        event: post-manifest-get
        args: { layerRepository: lab/layer-tools, repository: 'lab/(app|fleet)' }
";

/// Not tar streams: adding a layer never looks inside it.
const BASE: &[u8] = b"the base layer";
const TOOLS: &[u8] = b"the tools' layer";

fn lab() -> Option<MetaHub> {
    if !require::tools(&["setpriv"]) {
        return None;
    }
    let catalog = [CATALOG, &[("lab.yaml", PROFILES)]].concat();
    let metahub = MetaHub::start("anonymous: write\noffline: true\nupstreams: []", &catalog);
    let into = |repository| Pusher {
        host: metahub.host(),
        repository,
        login: None,
    };
    let app = into("lab/app").image("1", "amd64", BASE);
    into("lab/app").index("wide", &[(&app, "amd64", &["arch:cascadeLake"])]);
    let zen3 = into("lab/fleet").image("zen3", "amd64", b"a layer for zen3");
    let arm = into("lab/fleet").image("arm", "arm64", b"a layer for arm");
    let clx = into("lab/fleet").image("clx", "amd64", b"a layer for cascadelake");
    into("lab/fleet").index(
        "latest",
        &[
            (&clx, "amd64", &["arch:cascadeLake"]),
            (&zen3, "amd64", &["arch:zen3"]),
            (&arm, "arm64", &["arch:zen3"]),
        ],
    );
    let _ = into("lab/layer-tools").image("latest", "amd64", TOOLS);
    let _ = into("lab/layer-arm").image("latest", "arm64", TOOLS);
    Some(metahub)
}

fn get(metahub: &MetaHub, login: &str, path: &str) -> Answer {
    metahub
        .get(path)
        .login(Some((login, "any")))
        .header("Accept", format!("{INDEX}, {MANIFEST}"))
        .send()
}

/// A manifest or config or blob under its digest; its bytes are what the digest says.
#[track_caller]
fn by_digest(metahub: &MetaHub, path: &str, descriptor: &Value) -> Vec<u8> {
    let digest = descriptor["digest"].as_str().unwrap();
    let answer = get(metahub, "tools", &format!("{path}/{digest}")).expect(200);
    assert_eq!(digest_of(&answer.body), digest);
    assert_eq!(Some(answer.body.len() as u64), descriptor["size"].as_u64());
    answer.body
}

#[test]
fn an_added_layer_is_in_manifest_config_and_history_and_all_of_it_hashes() {
    let Some(metahub) = lab() else { return };
    let answer = get(&metahub, "tools", "/v2/lab/app/manifests/1").expect(200);
    assert_eq!(
        answer.header("docker-content-digest"),
        digest_of(&answer.body)
    );
    let manifest = answer.json();
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 2);
    assert_eq!(
        layers[0]["digest"],
        digest_of(BASE),
        "the base layer keeps its digest"
    );
    assert_eq!(by_digest(&metahub, "/v2/lab/app/blobs", &layers[1]), TOOLS);
    let config = by_digest(&metahub, "/v2/lab/app/blobs", &manifest["config"]);
    let config: Value = serde_json::from_slice(&config).unwrap();
    let diffs: Vec<&Value> = config["rootfs"]["diff_ids"]
        .as_array()
        .unwrap()
        .iter()
        .collect();
    assert_eq!(diffs, [&digest_of(BASE), &digest_of(TOOLS)]);
    let full = |entry: &&Value| entry["empty_layer"] != true;
    assert_eq!(
        config["history"]
            .as_array()
            .unwrap()
            .iter()
            .filter(full)
            .count(),
        2
    );
    assert_eq!(
        config["config"]["Env"][0], "PATH=/usr/bin:/bin",
        "the rest is as it was"
    );
    // By its own digest the image is what was pushed, under this login too.
    let plain = get(&metahub, "zen3", "/v2/lab/app/manifests/1").expect(200);
    let again = format!("/v2/lab/app/manifests/{}", digest_of(&plain.body));
    assert_eq!(get(&metahub, "tools", &again).expect(200).body, plain.body);
}

#[test]
fn a_derived_index_names_its_derived_children() {
    let Some(metahub) = lab() else { return };
    let answer = get(&metahub, "zen3+tools", "/v2/lab/fleet/manifests/latest").expect(200);
    assert_eq!(
        answer.header("docker-content-digest"),
        digest_of(&answer.body)
    );
    let index = answer.json();
    let entries = index["manifests"].as_array().unwrap();
    let amd64 = entries
        .iter()
        .find(|entry| entry["platform"]["architecture"] == "amd64")
        .unwrap();
    for entry in entries {
        let platform = entry["platform"].as_object().unwrap();
        assert!(
            !platform.contains_key("features") && !platform.contains_key("variant"),
            "{index}"
        );
    }
    let child = by_digest(&metahub, "/v2/lab/fleet/manifests", amd64);
    let child: Value = serde_json::from_slice(&child).unwrap();
    assert_eq!(child["layers"][0]["digest"], digest_of(b"a layer for zen3"));
    assert_eq!(child["layers"][1]["digest"], digest_of(TOOLS));
    by_digest(&metahub, "/v2/lab/fleet/blobs", &child["config"]);
}

#[test]
fn the_same_login_gets_the_same_bytes_from_a_server_that_starts_again() {
    let Some(metahub) = lab() else { return };
    let path = "/v2/lab/fleet/manifests/latest";
    let before = get(&metahub, "zen3+tools", path).expect(200).body;
    let metahub = metahub.restart();
    assert_eq!(get(&metahub, "zen3+tools", path).expect(200).body, before);
}

#[test]
fn a_client_that_takes_no_index_gets_the_manifest_itself() {
    let Some(metahub) = lab() else { return };
    let answer = metahub
        .get("/v2/lab/fleet/manifests/latest")
        .login(Some(("zen3", "any")))
        .header("Accept", MANIFEST)
        .send()
        .expect(200);
    assert_eq!(answer.header("content-type"), MANIFEST);
    assert_eq!(
        answer.json()["layers"][0]["digest"],
        digest_of(b"a layer for zen3")
    );
    assert_eq!(
        answer.header("docker-content-digest"),
        digest_of(&answer.body)
    );
}

#[test]
fn a_filter_that_leaves_nothing_says_what_was_wanted_and_what_there_is() {
    let Some(metahub) = lab() else { return };
    let answer = get(&metahub, "zen3", "/v2/lab/app/manifests/wide");
    let message = answer.expect_error(404, "MANIFEST_UNKNOWN").text();
    assert!(
        message.contains("arch:zen3") && message.contains("arch:cascadeLake"),
        "{message}"
    );
}

#[test]
fn a_layer_image_for_another_architecture_is_refused_and_the_server_goes_on() {
    let Some(metahub) = lab() else { return };
    let answer = get(&metahub, "foreign", "/v2/lab/app/manifests/1");
    assert!(answer.status >= 400, "{answer}");
    let message = answer.json()["errors"][0]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        message.contains("amd64") && message.contains("arm64"),
        "{message}"
    );
    get(&metahub, "tools", "/v2/lab/app/manifests/1").expect(200);
}

#[test]
fn a_layer_image_that_is_not_there_is_named() {
    let Some(metahub) = lab() else { return };
    let answer = get(&metahub, "absent", "/v2/lab/app/manifests/1");
    assert!(answer.status >= 400, "{answer}");
    assert!(answer.text().contains("lab/layer-absent"), "{answer}");
    get(&metahub, "tools", "/v2/lab/app/manifests/1").expect(200);
}
