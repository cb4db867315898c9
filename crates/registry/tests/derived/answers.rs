//! A pull under a profile is answered as the one before while nothing changed, and never once
//! something did.

use std::time::Instant;

use super::*;

const PULLS: u64 = 50;
/// Seconds after which everything is looked at again.
const LONGEST: u64 = 5;

fn standing(world: &World) -> u64 {
    world.registry.counts().answers_standing
}

/// Pulls until an answer is given as before, and what it is.
async fn warm(world: &World, login: &str) -> Served {
    let (before, mut served) = (standing(world), world.pull(login, "lab/app:latest").await);
    for _ in 0..100 {
        let again = world.pull(login, "lab/app:latest").await;
        assert_eq!(again.digest, served.digest);
        served = again;
        if standing(world) > before {
            return served;
        }
    }
    panic!("no answer stood");
}

#[tokio::test]
async fn nothing_is_looked_at_again_while_nothing_changes() {
    let world = World::new().await.filled().await;
    for login in ["zen3+cuda=12.4+one+two", "zen2", "zen3+three"] {
        let (before, start) = (standing(&world), Instant::now());
        let first = world.pull(login, "lab/app:latest").await;
        for _ in 1..PULLS {
            let again = world.pull(login, "lab/app:latest").await;
            assert_eq!((&again.digest, &again.bytes), (&first.digest, &first.bytes));
        }
        let rounds = start.elapsed().as_secs() / LONGEST + 1;
        let stood = standing(&world) - before;
        assert!(
            stood + 1 + rounds >= PULLS,
            "{login}: {stood} in {rounds} rounds"
        );
    }
}

#[tokio::test]
async fn logins_and_forms_have_answers_of_their_own() {
    let world = World::new().await.filled().await;
    let mut answers = std::collections::HashSet::new();
    let logins = [
        "zen3+cuda=12.4",
        "cascadeLake",
        "zen2",
        "zen2+one",
        "aarch64",
    ];
    for round in 0..4 {
        for login in logins {
            let (image, index) = (
                world.pull(login, "lab/app:latest").await,
                world
                    .pull_as(login, "lab/app:latest", Accepts::IndexOnly)
                    .await,
            );
            answers.insert((login, image.digest));
            answers.insert((login, index.unwrap().digest));
        }
        assert!(answers.len() <= 2 * logins.len(), "{round}");
    }
    let digests: std::collections::HashSet<_> = answers.iter().map(|(_, digest)| digest).collect();
    assert_eq!(digests.len(), answers.len());
    assert!(standing(&world) > 0);
}

#[tokio::test]
async fn a_moved_or_deleted_tag_is_seen_by_the_next_pull() {
    let world = World::new().await.filled().await;
    let mut seen = std::collections::HashSet::new();
    for round in 0..10_u64 {
        let (digest, size) = world
            .image("lab/app", "x", "amd64", &format!("build {round}"))
            .await;
        let entry = json!({
            "mediaType": MediaType::OCI_MANIFEST, "digest": digest.as_str(), "size": size,
            "platform": {"os": "linux", "architecture": "amd64"}
        });
        let index = world.index("lab/app", "latest", vec![entry]).await;
        assert_eq!(warm(&world, "zen3").await.digest, index, "{round}");
        seen.insert(warm(&world, "zen3+one").await.digest);
        assert_eq!(seen.len() as u64, round + 1);
    }
    let repository = name("lab/app");
    let repository = world.registry.operator().delete(&repository).unwrap();
    repository
        .delete_tag(&"latest".parse().unwrap())
        .await
        .unwrap();
    for login in ["zen3", "zen3+one"] {
        let answer = world.pull_as(login, "lab/app:latest", Accepts::Index).await;
        assert!(matches!(
            answer.unwrap_err().root(),
            RegistryError::ManifestUnknown { .. }
        ));
    }
}

/// What a login gets of the image, and why.
async fn why(world: &World, login: &str) -> Value {
    let image = "lab/app:latest"
        .parse::<metahub_oci::ImageReference>()
        .unwrap();
    let profile = world.catalog.interpret(login, &|_| false).unwrap().profile;
    let repository = world.registry.operator();
    let repository = repository.read(image.name());
    let resolution = repository.resolve(&image, &profile, None).await.unwrap();
    serde_json::to_value(resolution).unwrap()
}

#[tokio::test]
async fn why_is_told_as_before_while_nothing_changes_and_anew_once_something_did() {
    let mut world = World::new().await.filled().await;
    let start = Instant::now();
    let first = why(&world, "zen3+one").await;
    let known = world.registry.counts().derived_known;
    for _ in 0..PULLS {
        assert_eq!(why(&world, "zen3+one").await, first);
    }
    // Each time that it is worked out, what was made before is found.
    let rounds = start.elapsed().as_secs() / LONGEST;
    assert!(world.registry.counts().derived_known <= known + rounds);
    assert_ne!(why(&world, "zen3+two").await["digest"], first["digest"]);
    let digest = world.pull("zen3+one", "lab/app:latest").await.digest;
    assert_eq!(first["digest"], digest.as_str());

    world.image("lab/one", "latest", "amd64", "another").await;
    let second = why(&world, "zen3+one").await;
    assert_ne!(second["digest"], first["digest"]);
    world.now_reads(&PROFILES.replace("lab/one,", "lab/two,"));
    let third = why(&world, "zen3+one").await;
    assert_eq!(third["explanation"]["added"][0]["image"], "lab/two");
    let (image, _) = world.image("lab/app", "latest", "amd64", "alone").await;
    let fourth = why(&world, "zen3+one").await;
    assert_ne!(fourth["digest"], third["digest"]);
    assert_eq!(fourth["explanation"]["source_digest"], image.as_str());
}

#[tokio::test]
async fn other_documents_and_layer_images_are_seen_by_the_next_pull() {
    let mut world = World::new().await.filled().await;
    let first = warm(&world, "zen3+one").await;
    world.image("lab/one", "latest", "amd64", "another").await;
    let second = warm(&world, "zen3+one").await;
    assert_ne!(first.digest, second.digest);
    world.now_reads(&PROFILES.replace("lab/one,", "lab/two,"));
    let third = warm(&world, "zen3+one").await;
    assert_ne!(second.digest, third.digest);
    assert_eq!(third.digest, warm(&world, "zen3+two").await.digest);
}

#[tokio::test]
async fn what_is_gone_from_the_store_is_made_again() {
    let world = World::new().await.filled().await;
    let served = warm(&world, "zen3+one").await;
    let repository = name("lab/app");
    let deletes = world.registry.operator().delete(&repository).unwrap();
    deletes.delete_manifest(&served.digest).await.unwrap();
    let again = world.pull("zen3+one", "lab/app:latest").await;
    assert_eq!(again.digest, served.digest);
    let reads = world.registry.operator();
    let stored = reads.read(&repository).manifest(&again.digest).await;
    assert_eq!(stored.unwrap().bytes, served.bytes);
}

#[tokio::test]
async fn what_is_found_out_of_an_image_later_is_seen_by_the_next_pull() {
    let world = World::new().await.filled().await;
    let (digest, size) = world.image("lab/app", "late", "amd64", "late").await;
    let entry = json!({
        "mediaType": MediaType::OCI_MANIFEST, "digest": digest.as_str(), "size": size,
        "platform": {"os": "linux", "architecture": "amd64"}
    });
    let index = world.index("lab/app", "latest", vec![entry]).await;
    assert_eq!(warm(&world, "zen3").await.digest, index);
    // A compatibility artifact that lies beside it says that it needs another machine.
    let config = world.blob("lab/app", b"{}".to_vec()).await;
    let layer = world
        .blob(
            "lab/app",
            b"version: v1alpha1\ncompatibilities:\n- rules:\n  - name: needs\n    matchFeatures:\n    \
              - feature: cpu.cpuid\n      matchExpressions: {AVX512F: {op: Exists}}\n"
                .to_vec(),
        )
        .await;
    let mut artifact = manifest(
        "application/vnd.oci.empty.v1+json",
        &config,
        "application/vnd.nfd.image-compatibility.spec.v1alpha1+yaml",
        &layer,
    );
    artifact["artifactType"] = "application/vnd.nfd.image-compatibility.v1alpha1".into();
    artifact["subject"] = json!({
        "mediaType": MediaType::OCI_MANIFEST, "digest": digest.as_str(), "size": size
    });
    world.push("lab/app", "artifact", &artifact).await;
    let answer = world
        .pull_as("zen3", "lab/app:latest", Accepts::Index)
        .await;
    assert!(matches!(
        answer.unwrap_err().root(),
        RegistryError::NothingFits { .. }
    ));
    let answer = world.pull("cascadeLake", "lab/app:latest").await;
    assert_eq!(answer.digest, index);
}
