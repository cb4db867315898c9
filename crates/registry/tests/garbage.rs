//! Derived content goes once its source is gone, and not before: neither a child that an index
//! still lists nor anything that a tag still leads to.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests assert by panicking"
)]

use std::sync::Arc;
use std::time::Duration;

use metahub_catalog::{Catalog, Composed};
use metahub_oci::{Digest, Document, RepositoryName, Tag};
use metahub_registry::{Accepts, Registry, Settings};
use metahub_store::{GcOptions, GcReport, PutManifest, Store};
use metahub_upstream::{Upstreams, UpstreamsConfig};
use tokio::sync::watch;

const NOW: GcOptions = GcOptions {
    grace: Duration::ZERO,
    dry_run: false,
};

struct World {
    registry: Registry,
    catalog: Arc<Catalog>,
}

fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

fn featuretest() -> RepositoryName {
    name("qnib/featuretest")
}

impl World {
    /// The demo images and catalog, and nobody to ask beside them.
    async fn new() -> Self {
        let catalog = Arc::new(Catalog::from_documents(&metahub_demo::catalog()).catalog);
        let (_sender, receiver) = watch::channel(Arc::clone(&catalog));
        let alone = UpstreamsConfig {
            offline: true,
            ..UpstreamsConfig::default()
        };
        let upstreams = Upstreams::new(&alone).unwrap();
        let store = Store::temporary().await.unwrap();
        let registry = Registry::new(store, upstreams, receiver, Settings::default());
        let world = Self { registry, catalog };
        world.push(|_| true).await;
        world
    }

    async fn push(&self, which: impl Fn(&RepositoryName) -> bool) {
        for image in metahub_demo::images().unwrap() {
            if !which(&image.repository) {
                continue;
            }
            for (digest, bytes) in &image.blobs {
                let store = self.registry.store();
                let put = store.put_blob(&image.repository, digest, bytes.clone());
                put.await.unwrap();
            }
            for document in &image.documents {
                let reference = image.reference_of(document);
                let (media_type, bytes) = (document.media_type(), document.bytes().clone());
                let operator = self.registry.operator();
                let repository = operator.push(&image.repository).unwrap();
                let pushed = repository.push_manifest(&reference, Some(media_type), bytes, vec![]);
                pushed.await.unwrap();
            }
        }
    }

    fn profile(&self, login: &str) -> Arc<Composed> {
        self.catalog.interpret(login, &|_| false).unwrap().profile
    }

    /// The digests of the derived index that `login` gets, and of what that lists.
    async fn pull(&self, image: &RepositoryName, tag: &str, login: &str) -> Vec<Digest> {
        let profile = self.profile(login);
        let tag: Tag = tag.parse().unwrap();
        let pulled = self
            .registry
            .operator()
            .read(image)
            .tagged(&tag, &profile, Accepts::IndexOnly)
            .await
            .unwrap();
        let Document::Index(index) =
            Document::parse(pulled.bytes, Some(&pulled.media_type)).unwrap()
        else {
            panic!("an index")
        };
        let children = index.manifests().iter().map(|child| child.digest().clone());
        std::iter::once(pulled.digest).chain(children).collect()
    }

    async fn are_there(&self, image: &RepositoryName, digests: &[Digest]) -> Vec<bool> {
        let mut there = Vec::new();
        for digest in digests {
            there.push(
                self.registry
                    .operator()
                    .read(image)
                    .manifest(digest)
                    .await
                    .is_ok(),
            );
        }
        there
    }

    async fn collect(&self) -> GcReport {
        self.registry.collect_garbage(&NOW).await.unwrap()
    }

    /// Removes every manifest that was pushed to `image`, indexes first.
    async fn delete_pushed(&self, image: &RepositoryName) {
        for demo in metahub_demo::images().unwrap() {
            if demo.repository != *image {
                continue;
            }
            for document in demo.documents.iter().rev() {
                let repository = self.registry.operator().delete(image).unwrap();
                let deleted = repository.delete_manifest(document.digest()).await;
                deleted.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn derived_content_stays_while_its_source_is_there() {
    let world = World::new().await;
    let image = featuretest();
    let pulled = world.pull(&image, "latest", "zen3+aws/cli").await;
    assert_eq!(world.collect().await.derived, 0);
    assert!(world.are_there(&image, &pulled).await.iter().all(|t| *t));
}

#[tokio::test]
async fn derived_content_goes_with_its_source_and_is_made_again_when_that_comes_back() {
    let world = World::new().await;
    let image = featuretest();
    let pulled = world.pull(&image, "latest", "zen3+aws/cli").await;
    world.delete_pushed(&image).await;
    let only_said = GcOptions {
        dry_run: true,
        ..NOW
    };
    let would = world.registry.collect_garbage(&only_said).await.unwrap();
    assert!(world.are_there(&image, &pulled).await.iter().all(|t| *t));
    let gone = world.collect().await;
    assert!(gone.derived >= 2, "the index and its children: {gone:?}");
    assert_eq!(would.derived, gone.derived, "a dry run counts the same");
    assert!(gone.blobs > 0, "what only they named goes in the same run");
    assert!(!world.are_there(&image, &pulled).await.iter().any(|t| *t));

    // The client again gets the same, and all of it is there.
    world.push(|repository| *repository == image).await;
    assert_eq!(world.pull(&image, "latest", "zen3+aws/cli").await, pulled);
    assert!(world.are_there(&image, &pulled).await.iter().all(|t| *t));
}

#[tokio::test]
async fn derived_content_goes_when_the_layers_it_was_given_are_gone() {
    let world = World::new().await;
    let image = featuretest();
    let plain = world.pull(&image, "latest", "zen3").await;
    let layered = world.pull(&image, "latest", "zen3+aws/cli").await;
    world.delete_pushed(&name("qnib/layer-awscli")).await;
    assert!(world.collect().await.derived > 0);
    assert!(!world.are_there(&image, &layered).await.iter().any(|t| *t));
    assert!(world.are_there(&image, &plain).await.iter().all(|t| *t));
}

#[tokio::test]
async fn a_collections_index_goes_with_the_images_it_leads_to() {
    let world = World::new().await;
    let gromacs = name("gromacs");
    let pulled = world.pull(&gromacs, "2021.5", "zen3").await;
    assert_eq!(world.collect().await.derived, 0);
    for compiler in ["7.3.1", "11.3.0"] {
        let image = name(&format!("qnib/gromacs-2021.5_gcc-{compiler}"));
        world.delete_pushed(&image).await;
    }
    assert!(world.collect().await.derived >= 2);
    assert!(!world.are_there(&gromacs, &pulled).await.iter().any(|t| *t));
}

#[tokio::test]
async fn what_somebody_signed_stays_though_its_source_is_gone() {
    let world = World::new().await;
    let image = featuretest();
    let pulled = world.pull(&image, "latest", "zen3").await;
    let derived = pulled.first().unwrap();
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[],
            "subject":{{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"{derived}","size":1}}}}"#
    );
    let signature = Document::parse(text.into(), None).unwrap();
    let put = PutManifest::pushed(Vec::new());
    let store = world.registry.store();
    store.put_manifest(&image, &signature, put).await.unwrap();
    world.delete_pushed(&image).await;
    world.collect().await;
    assert_eq!(
        world.are_there(&image, std::slice::from_ref(derived)).await,
        [true]
    );
    world
        .registry
        .operator()
        .delete(&image)
        .unwrap()
        .delete_manifest(signature.digest())
        .await
        .unwrap();
    world.collect().await;
    assert_eq!(
        world.are_there(&image, std::slice::from_ref(derived)).await,
        [false]
    );
}
