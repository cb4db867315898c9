//! `metahub why` and `metahub pin`: the story of what a client pulled, and letting it stay.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use metahub_e2e::http::{Answer, digest_of};
use metahub_e2e::metahub::command;
use metahub_e2e::process::Outcome;
use metahub_e2e::world::World;
use serde_json::Value;

const IMAGE: &str = "qnib/featuretest:latest";
const LOGIN: &str = "zen3+aws/cli";

fn why(world: &World, image: &str, more: &[&str]) -> Outcome {
    let server = format!("http://{}", world.metahub.host());
    command(&[&["why", image, "--server", &server], more].concat()).run()
}

/// What a client gets for a tag or a digest: the index or manifest, and its digest.
fn pull(world: &World, reference: &str, login: &str) -> (Value, String) {
    let path = format!("/v2/qnib/featuretest/manifests/{reference}");
    let answer = world.metahub.get(&path).login(Some((login, "any")));
    let answer = answer.send().expect(200);
    (
        serde_json::from_slice(&answer.body).unwrap(),
        digest_of(&answer.body),
    )
}

fn get(world: &World, path: &str) -> Answer {
    world.metahub.get(path).login(Some(("zen3", "any"))).send()
}

#[test]
fn it_tells_the_same_of_a_tag_and_of_the_digest_that_was_pulled() {
    let Some(world) = World::start(&[]) else {
        return;
    };
    let (_, digest) = pull(&world, "latest", LOGIN);
    let of_tag = why(&world, IMAGE, &["--as", LOGIN, "--format", "json"]).ok_json();
    assert_eq!(of_tag["digest"], digest.as_str());
    let by_digest = format!("qnib/featuretest@{digest}");
    let of_digest = why(&world, &by_digest, &["--format", "json"]).ok_json();
    assert_eq!(of_digest["digest"], digest.as_str());
    for story in [&of_tag, &of_digest] {
        assert_eq!(story["derived"], true, "{story}");
        assert_eq!(story["actions"][0]["name"], "manifest-add", "{story}");
        let layer = story["layers"][0]["image"].as_str().unwrap();
        assert!(layer.contains("layer-awscli"), "{story}");
        assert_eq!(story["actions"], of_tag["actions"]);
        assert_eq!(story["layers"], of_tag["layers"]);
        assert_eq!(story["source"]["digest"], of_tag["source"]["digest"]);
    }
    // The choice is a login's, and told to that one alone.
    assert_eq!(of_tag["profile"]["login"], LOGIN);
    assert!(!of_tag["chosen"]["entries"].as_array().unwrap().is_empty());
    assert!(
        of_digest["chosen"]["entries"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert!(!of_digest.to_string().contains("zen3+"), "{of_digest}");
    // The source is pulled by what the story says of it, under the same right.
    let source = of_digest["source"]["digest"].as_str().unwrap();
    pull(&world, source, "zen3");
    let text = why(&world, IMAGE, &["--as", LOGIN]);
    assert_eq!(text.code, Some(0), "{text}");
    text.says(&digest).says("manifest-add").says("layer-awscli");
    text.says("arch:zen3").says("by MetaHub");
}

#[test]
fn what_was_not_derived_is_said_to_be_as_its_publisher_made_it() {
    let Some(world) = World::start(&[]) else {
        return;
    };
    let story = why(&world, IMAGE, &["--format", "json"]).ok_json();
    let digest = story["digest"].as_str().unwrap();
    let said = why(&world, &format!("qnib/featuretest@{digest}"), &[]);
    assert_eq!(said.code, Some(0), "{said}");
    said.says("as its publisher made it");
    assert_eq!(story["derived"], false, "{story}");
    assert_eq!(story["actions"], Value::Array(Vec::new()));
}

#[test]
fn it_ends_as_resolve_does_where_nothing_fits_or_nothing_is_there() {
    let Some(world) = World::start(&[]) else {
        return;
    };
    let said = why(&world, "gromacs:2021.5", &["--as", "neoverse_v1"]);
    assert_eq!(said.code, Some(3), "{said}");
    let said = why(&world, "qnib/absent:1", &["--as", "zen3"]);
    assert_eq!(said.code, Some(1), "{said}");
    said.says("qnib/absent");
}

#[test]
fn the_provenance_of_what_was_pulled_is_a_referrer_that_any_client_reads() {
    let Some(world) = World::start(&[]) else {
        return;
    };
    let (index, digest) = pull(&world, "latest", LOGIN);
    let entries = index["manifests"].as_array().cloned().unwrap_or_default();
    let entries = entries
        .iter()
        .map(|one| one["digest"].as_str().unwrap().to_owned());
    for derived in entries.chain([digest]) {
        let path = format!("/v2/qnib/featuretest/referrers/{derived}");
        let listed: Value = serde_json::from_slice(&get(&world, &path).expect(200).body).unwrap();
        let entry = &listed["manifests"][0];
        assert_eq!(
            entry["artifactType"], "application/vnd.metahub.derivation.v1+json",
            "{listed}"
        );
        let (manifest, _) = pull(&world, entry["digest"].as_str().unwrap(), "zen3");
        for blob in [&manifest["config"], &manifest["layers"][0]] {
            let digest = blob["digest"].as_str().unwrap();
            let path = format!("/v2/qnib/featuretest/blobs/{digest}");
            let bytes = get(&world, &path).expect(200).body;
            assert_eq!(digest_of(&bytes), digest);
        }
    }
}

#[test]
fn a_pin_is_made_listed_and_removed_through_the_server() {
    let Some(world) = World::start(&[]) else {
        return;
    };
    let (_, digest) = pull(&world, "latest", LOGIN);
    let image = format!("qnib/featuretest@{digest}");
    let metahub = &world.metahub;
    metahub.command(&["pin", &image]).ok().says(&image);
    metahub
        .command(&["pin", "--list"])
        .ok()
        .says(&image)
        .says("since");
    let listed = metahub
        .command(&["pin", "--list", "--format", "json"])
        .run()
        .ok_json();
    assert_eq!(listed[0]["image"], image.as_str(), "{listed}");
    let absent = format!("qnib/featuretest@sha256:{}", "0".repeat(64));
    let said = metahub.command(&["pin", &absent]).fails();
    assert_eq!(said.code, Some(1), "{said}");
    said.says("pull it first");
    metahub.command(&["pin", "--remove", &image]).ok();
    let said = metahub.command(&["pin", "--remove", &image]).fails();
    said.says("it is not pinned");
    let listed = metahub
        .command(&["pin", "--list", "--format", "json"])
        .run()
        .ok_json();
    assert_eq!(listed, Value::Array(Vec::new()));
}
