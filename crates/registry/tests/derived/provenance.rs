//! How derived content came about: a referrer of every manifest and index that was derived, the
//! same on every replica, found and read under the right to what it is about.

use std::collections::BTreeMap;

use metahub_registry::{DERIVATION, DerivationDocument};
use metahub_resolve::{BASE_DIGEST, BASE_NAME};

use super::*;

impl World {
    /// The referrers of a manifest of `lab/app`, by their digests, with what their one layer says.
    async fn provenance(&self, subject: &Digest) -> BTreeMap<Digest, Value> {
        let (app, operator) = (name("lab/app"), self.registry.operator());
        let repository = operator.read(&app);
        let listed = repository.referrers(subject, Some(DERIVATION), None, 100);
        let mut found = BTreeMap::new();
        for entry in listed.await.unwrap().manifests {
            let digest: Digest = entry["digest"].as_str().unwrap().parse().unwrap();
            assert_eq!(entry["artifactType"], DERIVATION);
            let served = repository.manifest(&digest).await.unwrap();
            let manifest: Value = serde_json::from_slice(&served.bytes).unwrap();
            assert_eq!(manifest["subject"]["digest"], subject.as_str());
            assert_eq!(manifest["config"]["mediaType"], MediaType::OCI_EMPTY);
            let config = manifest["config"]["digest"].as_str().unwrap();
            assert_eq!(self.read("lab/app", config).await, b"{}");
            let layer = &manifest["layers"][0];
            assert_eq!(layer["mediaType"], DERIVATION);
            let bytes = self.read("lab/app", layer["digest"].as_str().unwrap());
            found.insert(digest, serde_json::from_slice(&bytes.await).unwrap());
        }
        found
    }

    /// The one document of a derived manifest.
    async fn document(&self, subject: &Digest) -> DerivationDocument {
        let found = self.provenance(subject).await;
        assert_eq!(found.len(), 1, "{subject}: {found:?}");
        serde_json::from_value(found.into_values().next().unwrap()).unwrap()
    }

    pub(super) async fn read(&self, repository: &str, digest: &str) -> Vec<u8> {
        let (repository, digest) = (name(repository), digest.parse().unwrap());
        let operator = self.registry.operator();
        let blob = operator.read(&repository).blob(&digest).await.unwrap();
        let mut stream = blob.stream(0..blob.size());
        let mut whole = Vec::new();
        while let Some(bytes) = futures_util::StreamExt::next(&mut stream).await {
            whole.extend_from_slice(&bytes.unwrap());
        }
        whole
    }

    /// Manifests and blobs that are stored.
    pub(super) async fn rows(&self) -> u64 {
        let look = metahub_store::ScrubOptions {
            dry_run: true,
            ..Default::default()
        };
        let found = self.registry.scrub(look, |_| {}).await.unwrap().report;
        assert!(found.is_clean(), "{found:?}");
        found.progress.total
    }

    pub(super) async fn index_of(&self, login: &str) -> (Digest, Vec<Digest>) {
        let served = self.pull_as(login, "lab/app:latest", Accepts::IndexOnly);
        let served = served.await.unwrap();
        let Document::Index(index) = Document::parse(served.bytes, None).unwrap() else {
            panic!("an index")
        };
        let children = index.manifests().iter().map(|child| child.digest().clone());
        (served.digest, children.collect())
    }
}

#[tokio::test]
async fn every_derived_manifest_says_what_it_was_derived_from_and_what_was_done() {
    let world = World::new().await.filled().await;
    let base = world.index_of("zen3").await.1[0].clone();
    let (index, children) = world.index_of("zen3+one+two").await;
    let document = world.document(&children[0]).await;
    assert_eq!(document.source.digest, base);
    assert_eq!(document.source.repository, "lab/app");
    assert_eq!(document.source.reference, format!("lab/app@{base}"));
    let layers: Vec<(&str, usize)> = document
        .layers
        .iter()
        .map(|added| (added.image.as_str(), added.layers))
        .collect();
    assert_eq!(layers, [("lab/one", 1), ("lab/two", 1)]);
    for added in &document.layers {
        let repository = name(added.reference.split('@').next().unwrap());
        let operator = world.registry.operator();
        let there = operator.read(&repository).manifest(&added.digest).await;
        assert!(there.is_ok(), "{}", added.reference);
    }
    let actions: Vec<&str> = document.actions.iter().map(|a| a.name.as_str()).collect();
    assert_eq!(actions, ["manifest-add", "manifest-add"]);
    assert_eq!(document.profile.actions.len(), 2);
    assert_eq!(document.metahub, env!("CARGO_PKG_VERSION"));
    let document = world.document(&index).await;
    let (app, latest): (RepositoryName, Tag) = (name("lab/app"), "latest".parse().unwrap());
    let latest = world.registry.store().tag(&app, &latest).await.unwrap();
    let latest = latest.unwrap().digest.clone();
    assert_eq!(document.source.digest, latest);
    let changed = &document.changed;
    assert_eq!(changed.len(), children.len());
    assert_eq!(
        (&changed[0].digest, &changed[0].derived_from),
        (&children[0], &base)
    );
    // What its publisher made says nothing of the kind.
    assert!(world.provenance(&base).await.is_empty());
    assert!(world.provenance(&latest).await.is_empty());
}

#[tokio::test]
async fn provenance_is_the_same_on_every_replica_and_says_nothing_of_logins() {
    let logins = ["zen3+one", "zen2+one+two", "cascadelake+three", "zen3"];
    let mut seen = Vec::new();
    for order in [[0, 1, 2, 3], [3, 2, 1, 0]] {
        let world = World::new().await.filled().await;
        let mut all = BTreeMap::new();
        for (turn, at) in order.into_iter().enumerate() {
            let login = format!("{}+secret{turn}=x{turn}", logins[at]);
            let (index, children) = world.index_of(&login).await;
            for digest in children.iter().chain([&index]) {
                all.extend(world.provenance(digest).await);
            }
        }
        seen.push(all);
    }
    assert_eq!(seen[0], seen[1]);
    let text = format!("{:?}", seen[0]);
    assert!(
        seen[0].len() >= 6 && !text.contains("secret") && !text.contains("zen3"),
        "{text}"
    );
}

#[tokio::test]
async fn outcomes_that_share_a_manifest_share_its_provenance() {
    let world = World::new().await.filled().await;
    let (first, children) = world.index_of("zen3+cuda=12.4+one").await;
    // Another index, of which the login is left the same.
    let (zen3, size) = world.image("lab/app", "zen3", "amd64", "zen3").await;
    let entry = json!({
        "mediaType": MediaType::OCI_MANIFEST, "digest": zen3.as_str(), "size": size,
        "platform": {"os": "linux", "architecture": "amd64", "features": ["arch:zen3"]}
    });
    world.index("lab/app", "other", vec![entry]).await;
    let served = world.pull_as("zen3+cuda=12.4+one", "lab/app:other", Accepts::IndexOnly);
    assert_eq!(served.await.unwrap().digest, first);
    assert_eq!(world.registry.counts().derived_made, 2);
    // The index came from two, and says so; its manifest came from one.
    assert_eq!(world.provenance(&first).await.len(), 2);
    world.document(&children[0]).await;
}

#[tokio::test]
async fn what_the_publisher_signed_is_found_from_what_was_derived() {
    let world = World::new().await.filled().await;
    let base = world.index_of("zen3").await.1[0].clone();
    let config = world.blob("lab/app", b"{}".to_vec()).await;
    let layer = world.blob("lab/app", b"a signature".to_vec()).await;
    let mut signature = manifest(MediaType::OCI_EMPTY, &config, "application/x", &layer);
    signature["artifactType"] = json!("application/x-signature");
    let app = name("lab/app");
    let operator = world.registry.operator();
    let repository = operator.read(&app);
    let size = repository.manifest(&base).await.unwrap().bytes.len();
    signature["subject"] =
        json!({"mediaType": MediaType::OCI_MANIFEST, "digest": base.as_str(), "size": size});
    let signed = world.push("lab/app", "signature", &signature).await.0;
    let (_, children) = world.index_of("zen3+one").await;
    let source = world.document(&children[0]).await.source;
    assert_eq!(source.repository, "lab/app");
    let listed = repository.referrers(&source.digest, None, None, 10).await;
    let listed = listed.unwrap().manifests;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["digest"], signed.as_str());
    let derived = repository.manifest(&children[0]).await.unwrap();
    let derived: Value = serde_json::from_slice(&derived.bytes).unwrap();
    assert_eq!(derived["annotations"][BASE_DIGEST], base.as_str());
    assert_eq!(derived["annotations"][BASE_NAME], source.reference);
}

#[tokio::test]
async fn provenance_costs_two_documents_a_manifest_and_goes_with_its_record() {
    let world = World::new().await.filled().await;
    let store = world.registry.store();
    let counted = async || world.registry.collect_garbage(&NOW).await.unwrap();
    counted().await;
    let before = world.rows().await;
    let (index, children) = world.index_of("zen3+one").await;
    let derived = 1 + children.len() as u64;
    let after = world.rows().await;
    let provenance = 2 * derived;
    let (configurations, empty) = (children.len() as u64, 1);
    assert_eq!(
        after - before,
        derived + configurations + provenance + empty
    );
    // Warm pulls, and other logins that come to the same, add nothing.
    for login in ["zen3+one", "zen3+one+site=x"] {
        assert_eq!(world.index_of(login).await.0, index);
    }
    assert_eq!(world.rows().await, after);
    // A collection leaves it where it is.
    assert_eq!(counted().await.derived, 0);
    assert_eq!(world.rows().await, after);
    store.evict_derived(0).await.unwrap();
    assert_eq!(world.rows().await, before);
    assert!(world.provenance(&index).await.is_empty());
}

const NOW: metahub_store::GcOptions = metahub_store::GcOptions {
    grace: std::time::Duration::ZERO,
    dry_run: false,
};
