//! What images were found to be that documents name is taken again while nothing changed, and
//! never once something did; and what is told of tags that a collection lacks.

use std::fmt::Write as _;
use std::time::Instant;

use super::*;

const ENTRIES: u64 = 100;
/// Seconds after which everything is looked up again.
const LONGEST: u64 = 5;

/// The collection `site/tools:1` of these images.
fn collection(images: impl Iterator<Item = String>) -> String {
    let mut text = "manifests:\n  - name: site/tools\n    tag: '1'\n    manifests:\n".to_owned();
    for image in images {
        let platform = "{os: linux, architecture: amd64, features: []}";
        writeln!(text, "      - {{image: '{image}', platform: {platform}}}").unwrap();
    }
    text
}

fn looked_up(world: &World) -> u64 {
    world.registry.counts().named_looked_up
}

/// What the tag's index lists under `login`.
async fn children(world: &World, login: &str, image: &str) -> Vec<String> {
    let served = world.pull(login, image).await;
    let index: Value = serde_json::from_slice(&served.bytes).unwrap();
    let children = index["manifests"].as_array().unwrap().iter();
    children
        .map(|child| child["digest"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_warm_pull_of_a_collection_looks_up_no_entry() {
    let images = (0..ENTRIES).map(|number| format!("lab/tool{}:{number}", number % 7));
    let world = World::of_documents(&collection(images)).await;
    for number in 0..ENTRIES {
        let (name, tag) = (format!("lab/tool{}", number % 7), number.to_string());
        world.image(&name, &tag, "amd64", &tag).await;
    }
    let start = Instant::now();
    let first = world.pull("any", "site/tools:1").await;
    assert_eq!(looked_up(&world), ENTRIES);
    for _ in 0..50 {
        let again = world.pull("any", "site/tools:1").await;
        assert_eq!(again.digest, first.digest);
    }
    let rounds = start.elapsed().as_secs() / LONGEST + 1;
    assert!(
        looked_up(&world) <= rounds * ENTRIES,
        "{} in {rounds} rounds",
        looked_up(&world)
    );
}

#[tokio::test]
async fn many_first_pulls_of_a_collection_at_once_look_its_entries_up_once() {
    const PULLS: usize = 32;
    let images = (0..ENTRIES).map(|number| format!("lab/tool{}:{number}", number % 7));
    let world = World::of_documents(&collection(images)).await;
    for number in 0..ENTRIES {
        let (name, tag) = (format!("lab/tool{}", number % 7), number.to_string());
        world.image(&name, &tag, "amd64", &tag).await;
    }
    let start = Instant::now();
    let pulls = (0..PULLS).map(|_| world.pull("any", "site/tools:1"));
    let served = futures_util::future::join_all(pulls).await;
    assert!(served.iter().all(|one| one.digest == served[0].digest));
    let rounds = start.elapsed().as_secs() / LONGEST + 1;
    assert!(
        looked_up(&world) <= rounds * ENTRIES,
        "{} in {rounds} rounds",
        looked_up(&world)
    );
}

#[tokio::test]
async fn a_changed_entry_is_seen_by_the_next_pull() {
    let images = ["lab/a:1", "lab/b:1"].map(str::to_owned);
    let documents = collection(images.into_iter());
    let mut world = World::of_documents(&documents).await;
    let (a, _) = world.image("lab/a", "1", "amd64", "a").await;
    let (b, _) = world.image("lab/b", "1", "amd64", "b").await;
    let digests =
        |digests: &[&Digest]| -> Vec<String> { digests.iter().map(ToString::to_string).collect() };
    for round in 0..20 {
        let found = children(&world, "any", "site/tools:1").await;
        assert!(found.contains(&b.to_string()), "{round}: {found:?}");
        let (moved, _) = world
            .image("lab/a", "1", "amd64", &format!("a{round}"))
            .await;
        let found = children(&world, "any", "site/tools:1").await;
        assert_eq!(found, digests(&[&moved, &b]), "{round}");
        assert!(!found.contains(&a.to_string()));
    }
    // Other documents of the same names.
    world.now_reads(
        &documents
            .replace("lab/a:1", "lab/b:1")
            .replacen("lab/b:1", "lab/c:1", 1),
    );
    let (c, _) = world.image("lab/c", "1", "amd64", "c").await;
    let found = children(&world, "any", "site/tools:1").await;
    assert_eq!(found, digests(&[&c, &b]));
    // One that is deleted is told of, and comes back.
    let repository = name("lab/c");
    let repository = world.registry.operator().delete(&repository).unwrap();
    repository.delete_tag(&"1".parse().unwrap()).await.unwrap();
    let served = world.pull("any", "site/tools:1").await;
    assert!(
        served
            .warning
            .is_some_and(|warning| warning.contains("lab/c:1"))
    );
    let (c, _) = world.image("lab/c", "1", "amd64", "again").await;
    let found = children(&world, "any", "site/tools:1").await;
    assert_eq!(found, digests(&[&c, &b]));
}

#[tokio::test]
async fn a_moved_layer_image_is_seen_by_the_next_pull() {
    let world = World::new().await.filled().await;
    let mut seen = std::collections::HashSet::new();
    let start = Instant::now();
    for round in 0..20_u64 {
        world
            .image("lab/one", "latest", "amd64", &format!("layer {round}"))
            .await;
        for _ in 0..3 {
            let served = world.pull("zen3+one", "lab/app:latest").await;
            seen.insert(served.digest);
        }
        assert_eq!(seen.len() as u64, round + 1);
    }
    let rounds = start.elapsed().as_secs() / LONGEST + 20;
    assert!(
        looked_up(&world) <= rounds,
        "{} in {rounds} rounds",
        looked_up(&world)
    );
}

#[tokio::test]
async fn who_asks_for_a_tag_that_a_collection_lacks_is_told_of_those_it_has() {
    let images = std::iter::once("lab/a:1".to_owned());
    let world = World::of_documents(&collection(images)).await;
    for name in ["site/tools", "library/site/tools", "docker.io/site/tools"] {
        let answer = world
            .pull_as("any", &format!("{name}:2"), Accepts::Index)
            .await;
        let error = answer.unwrap_err().to_string();
        assert!(
            error.ends_with("; the collection of that name has the tags 1"),
            "{error}"
        );
    }
    let answer = world.pull_as("any", "site/other:2", Accepts::Index).await;
    assert!(
        answer
            .unwrap_err()
            .to_string()
            .ends_with("has no manifest 2")
    );
}
