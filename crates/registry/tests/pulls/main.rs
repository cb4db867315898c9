//! Pulls and pushes without HTTP: what a profile makes of a tag, and what nobody gets.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests assert by panicking"
)]

mod refusals;

use std::sync::Arc;

use bytes::Bytes;
use metahub_catalog::{Catalog, Composed};
use metahub_oci::{Digest, Document, ImageReference, Platform, Reference, RepositoryName, Tag};
use metahub_registry::{Accepts, Registry, RegistryError, Settings, SourceKind};
use metahub_store::Store;
use metahub_upstream::{Upstreams, UpstreamsConfig};
use tokio::sync::watch;

struct World {
    registry: Registry,
    catalog: Arc<Catalog>,
}

fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

impl World {
    /// A registry with the demo images and catalog, and nobody to ask beside it.
    async fn new(settings: Settings) -> Self {
        let alone = UpstreamsConfig {
            offline: true,
            ..UpstreamsConfig::default()
        };
        Self::with_upstreams(settings, &alone).await
    }

    /// The same with upstreams to ask.
    async fn with_upstreams(settings: Settings, upstreams: &UpstreamsConfig) -> Self {
        let loaded = Catalog::from_documents(&metahub_demo::catalog());
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        let catalog = Arc::new(loaded.catalog);
        let (_sender, receiver) = watch::channel(Arc::clone(&catalog));
        let upstreams = Upstreams::new(upstreams).unwrap();
        let store = Store::temporary().await.unwrap();
        let registry = Registry::new(store, upstreams, receiver, settings);
        let world = Self { registry, catalog };
        world.push_demo_images().await;
        world
    }

    async fn push_demo_images(&self) {
        for image in metahub_demo::images().unwrap() {
            for (digest, bytes) in &image.blobs {
                self.push_blob(image.repository.as_str(), digest, bytes.clone())
                    .await;
            }
            for document in &image.documents {
                let reference = image.reference_of(document);
                let (media_type, bytes) = (document.media_type(), document.bytes().clone());
                self.registry
                    .operator()
                    .push(&image.repository)
                    .unwrap()
                    .push_manifest(&reference, Some(media_type), bytes, vec![])
                    .await
                    .unwrap();
            }
        }
    }

    async fn push_blob(&self, repository: &str, digest: &Digest, bytes: Bytes) {
        let store = self.registry.store();
        store
            .put_blob(&name(repository), digest, bytes)
            .await
            .unwrap();
    }

    fn profile(&self, login: &str) -> Arc<Composed> {
        self.catalog.interpret(login, &|_| false).unwrap().profile
    }

    /// What `login` gets for `image` on linux/amd64: what the chosen entry requires.
    async fn requires(&self, image: &str, login: &str) -> Vec<String> {
        let image: ImageReference = image.parse().unwrap();
        let platform = Platform::linux_amd64();
        let profile = self.profile(login);
        self.registry
            .operator()
            .read(image.name())
            .resolve(&image, &profile, Some(&platform))
            .await
            .unwrap()
            .requires
    }
}

#[tokio::test]
async fn each_login_gets_the_image_for_its_hardware_under_the_same_tag() {
    let world = World::new(Settings::default()).await;
    for (image, login, expected) in [
        ("qnib/featuretest:latest", "cascadeLake", "arch:cascadeLake"),
        ("qnib/featuretest:latest", "zen3", "arch:zen3"),
        ("qnib/featuretest:latest", "cpu=zen4", "arch:zen3"),
        ("qnib/featuretest:latest", "cpu=icelake", "arch:cascadeLake"),
        ("gromacs:2021.5", "zen3", "arch:zen3"),
        ("library/gromacs:2021.5", "zen3", "arch:zen3"),
    ] {
        assert_eq!(
            world.requires(image, login).await,
            [expected],
            "{image} as {login}"
        );
    }
}

#[tokio::test]
async fn without_a_profile_a_pushed_index_is_served_byte_for_byte() {
    let world = World::new(Settings::default()).await;
    let image = metahub_demo::images()
        .unwrap()
        .into_iter()
        .find(|image| image.repository.as_str() == "qnib/featuretest")
        .unwrap();
    let nobody = Composed::none();
    let served = world
        .registry
        .operator()
        .read(&name("qnib/featuretest"))
        .tagged(&tag("latest"), &nobody, Accepts::Index)
        .await
        .unwrap();
    assert_eq!(served.bytes, *image.root().unwrap().bytes());
}

#[tokio::test]
async fn everything_that_derived_content_names_is_there_and_hashes() {
    let world = World::new(Settings::default()).await;
    let repository = name("qnib/featuretest");
    let profile = world.profile("zen3+aws/cli");
    let latest = tag("latest");
    let served = world
        .registry
        .operator()
        .read(&repository)
        .tagged(&latest, &profile, Accepts::Index)
        .await
        .unwrap();
    assert!(served.digest.matches(&served.bytes));
    let Document::Index(index) = Document::parse(served.bytes, Some(&served.media_type)).unwrap()
    else {
        panic!("an index")
    };
    for entry in index.manifests() {
        let child = world
            .registry
            .operator()
            .read(&repository)
            .manifest(entry.digest())
            .await
            .unwrap();
        assert_eq!(child.bytes.len() as u64, entry.size());
        let Document::Manifest(manifest) =
            Document::parse(child.bytes, Some(&child.media_type)).unwrap()
        else {
            panic!("a manifest")
        };
        for part in manifest.config().into_iter().chain(manifest.layers()) {
            let size = world
                .registry
                .operator()
                .read(&repository)
                .blob_size(part.digest())
                .await
                .unwrap();
            assert_eq!(size, part.size());
        }
    }
}

#[tokio::test]
async fn the_same_inputs_give_the_same_digest_in_another_registry() {
    let (one, other) = (
        World::new(Settings::default()).await,
        World::new(Settings::default()).await,
    );
    let mut digests = Vec::new();
    for world in [&one, &one, &other] {
        let profile = world.profile("aws/cli");
        let served = world
            .registry
            .operator()
            .read(&name("qnib/featuretest"))
            .tagged(&tag("latest"), &profile, Accepts::Index)
            .await
            .unwrap();
        digests.push(served.digest);
    }
    assert!(
        digests.windows(2).all(|pair| pair.first() == pair.last()),
        "{digests:?}"
    );
}

#[tokio::test]
async fn a_digest_is_never_rewritten() {
    let world = World::new(Settings::default()).await;
    let repository = name("qnib/featuretest");
    let nobody = Composed::none();
    let latest = tag("latest");
    let plain = world
        .registry
        .operator()
        .read(&repository)
        .tagged(&latest, &nobody, Accepts::Index)
        .await
        .unwrap();
    // Under a profile the tag names something else; the digest still names the same bytes.
    let zen3 = world.profile("zen3");
    world
        .registry
        .operator()
        .read(&repository)
        .tagged(&latest, &zen3, Accepts::Index)
        .await
        .unwrap();
    let again = world
        .registry
        .operator()
        .read(&repository)
        .manifest(&plain.digest)
        .await
        .unwrap();
    assert_eq!(again.bytes, plain.bytes);
}

#[tokio::test]
async fn a_client_that_takes_no_index_gets_a_manifest_that_runs_anywhere() {
    let world = World::new(Settings::default()).await;
    let nobody = Composed::none();
    let (repository, latest) = (name("qnib/featuretest"), tag("latest"));
    let served = world
        .registry
        .operator()
        .read(&repository)
        .tagged(&latest, &nobody, Accepts::ManifestOnly)
        .await
        .unwrap();
    assert!(served.media_type.is_manifest());
    let index = world
        .registry
        .operator()
        .read(&repository)
        .tagged(&latest, &nobody, Accepts::Index)
        .await
        .unwrap();
    let Document::Index(index) = Document::parse(index.bytes, None).unwrap() else {
        panic!("an index")
    };
    let entry = index
        .manifests()
        .iter()
        .find(|entry| *entry.digest() == served.digest)
        .unwrap();
    assert!(
        entry.platform().unwrap().features.is_empty(),
        "it requires nothing"
    );
}

#[tokio::test]
async fn the_login_any_gets_every_entry_of_a_collection() {
    let world = World::new(Settings::default()).await;
    let (repository, release) = (name("gromacs"), tag("2021.5"));
    let index_for = async |login: &str| {
        let profile = world.profile(login);
        let served = world
            .registry
            .operator()
            .read(&repository)
            .tagged(&release, &profile, Accepts::Index)
            .await
            .unwrap();
        match Document::parse(served.bytes, None).unwrap() {
            Document::Index(index) => index,
            Document::Manifest(_) => panic!("{login} gets an index"),
        }
    };
    let collection = world.catalog.collection(&repository, &release).unwrap();
    let all = index_for("any").await;
    assert!(all.manifests().len() >= collection.entries.len());
    for entry in &collection.entries {
        let requires: Vec<String> = entry.requires.iter().map(ToString::to_string).collect();
        let listed = all.manifests().iter().find(|listed| {
            listed
                .platform()
                .is_some_and(|platform| platform.features == requires)
        });
        let listed = listed.unwrap_or_else(|| panic!("{requires:?} is listed"));
        let child = world
            .registry
            .operator()
            .read(&repository)
            .manifest(listed.digest())
            .await;
        assert!(child.is_ok(), "{}: {child:?}", entry.image);
    }
    // With hardware beside it, it is a login like any other.
    let both = world.profile("any+zen3");
    assert_eq!(both.digest(), world.profile("zen3").digest());
    assert_ne!(world.profile("any").digest(), Composed::none().digest());
    // Who says nothing gets one image for each machine.
    let profile = Composed::none();
    let served = world
        .registry
        .operator()
        .read(&repository)
        .tagged(&release, &profile, Accepts::IndexOnly)
        .await
        .unwrap();
    let Document::Index(one) = Document::parse(served.bytes, None).unwrap() else {
        panic!("an index");
    };
    assert!(one.manifests().len() < all.manifests().len());
}

#[tokio::test]
async fn an_explanation_names_its_source_and_every_entry() {
    let world = World::new(Settings::default()).await;
    let image: ImageReference = "gromacs:2021.5".parse().unwrap();
    let profile = world.profile("zen3");
    let resolution = world
        .registry
        .operator()
        .read(image.name())
        .resolve(&image, &profile, None)
        .await
        .unwrap();
    assert_eq!(resolution.explanation.source, SourceKind::Collection);
    assert_eq!(resolution.explanation.entries.len(), 4);
    assert_eq!(
        resolution
            .explanation
            .entries
            .iter()
            .filter(|entry| entry.kept)
            .count(),
        1
    );
}
