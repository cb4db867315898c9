//! How much is read of a large index for one choice: bounded, and once.

use metahub_registry::{Policy, RegistryError};
use serde_json::{Value, json};

use crate::fake::{Fake, Referrers, index, leads_to};

const ENTRIES: usize = 1_000;

/// An index of a thousand images for one platform; `label` says which target each is labelled
/// with.
async fn upstream(label: impl Fn(usize) -> &'static str) -> (Fake, Vec<Value>) {
    let fake = Fake::start(Referrers::Status(404)).await;
    let mut entries = Vec::new();
    for at in 0..ENTRIES {
        let labels = json!({"io.archspec.cpu.target": label(at)});
        let mut entry = fake.image(&at.to_string(), &labels, &[]);
        entry["platform"] = json!({"os": "linux", "architecture": "amd64"});
        entries.push(entry);
    }
    fake.document(&index(&entries), &["many"]);
    (fake, entries)
}

#[tokio::test]
async fn of_a_thousand_images_of_which_the_first_fits_one_is_read_and_once() {
    let (fake, entries) = upstream(|_| "x86_64_v2").await;
    let world = fake.registry(Policy::default(), "").await;
    let served = world.pull("lab/app:many", "haswell").await.unwrap();
    assert_eq!(leads_to(&served), [entries[0]["digest"].as_str().unwrap()]);
    assert_eq!(fake.asked_for("/blobs/"), 1);
    world.pull("lab/app:many", "haswell").await.unwrap();
    assert_eq!(fake.asked_for(""), 0, "nothing is asked for again");
    // What was read of an image counts for every login.
    world.pull("lab/app:many", "zen3").await.unwrap();
    assert_eq!(fake.asked_for("/blobs/"), 0);
}

#[tokio::test]
async fn where_the_first_does_not_fit_others_are_read_until_one_does() {
    let (fake, entries) = upstream(|at| if at < 20 { "zen4" } else { "x86_64_v3" }).await;
    let world = fake.registry(Policy::default(), "").await;
    let served = world.pull("lab/app:many", "haswell").await.unwrap();
    let chosen = &leads_to(&served)[0];
    let at = entries
        .iter()
        .position(|entry| entry["digest"] == chosen.as_str());
    assert!(at.unwrap() >= 20, "{at:?}");
    let read = fake.asked_for("/blobs/");
    assert!((21..=1 + 2 * 16).contains(&read), "{read}");
    world.pull("lab/app:many", "haswell").await.unwrap();
    assert_eq!(fake.asked_for("/blobs/"), 0);
}

#[tokio::test]
async fn where_none_fits_no_more_than_the_bound_are_read_and_it_is_said() {
    let (fake, _) = upstream(|_| "zen4").await;
    let world = fake.registry(Policy::default(), "").await;
    let error = world.pull("lab/app:many", "haswell").await.unwrap_err();
    let RegistryError::NothingFits { nothing, .. } = error.root() else {
        panic!("{error}");
    };
    assert_eq!(fake.asked_for("/blobs/"), 256);
    let said = nothing.to_string();
    assert!(said.contains("256 images were"), "{said}");
    world.pull("lab/app:many", "haswell").await.unwrap_err();
    assert_eq!(fake.asked_for("/blobs/"), 0);
}

#[tokio::test]
async fn without_hardware_nothing_is_asked_of_the_only_image_of_a_machine() {
    let profile = "profile: {name: plain, actions: [{event: post-manifest-list-get, name: manifest-select}]}\n";
    let fake = Fake::start(Referrers::Status(404)).await;
    let mut only = fake.image("one", &json!({}), &[]);
    only["platform"] = json!({"os": "linux", "architecture": "amd64"});
    let mut other = fake.image("other", &json!({}), &[]);
    other["platform"] = json!({"os": "linux", "architecture": "amd64"});
    fake.document(&index(std::slice::from_ref(&only)), &["one"]);
    fake.document(&index(&[only, other]), &["two"]);
    let world = fake.registry(Policy::default(), profile).await;
    for (image, login, asked) in [("one", "plain", 0), ("two", "plain", 2), ("one", "zen3", 0)] {
        world
            .pull(&format!("lab/app:{image}"), login)
            .await
            .unwrap();
        let read = fake.asked_for("/blobs/");
        assert_eq!(read, asked, "{image} as {login}");
    }
    let world = fake.registry(Policy::default(), profile).await;
    world.pull("lab/app:one", "zen3").await.unwrap();
    assert_eq!(fake.asked_for("/blobs/"), 1, "hardware has to be met");
}
