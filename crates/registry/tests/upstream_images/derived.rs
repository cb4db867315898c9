//! What is derived from images of an upstream: what their publisher signed is found from there,
//! and a pin holds what it was derived from.

use std::time::Duration;

use metahub_oci::{Digest, MediaType, RepositoryName};
use metahub_registry::{CacheSettings, DERIVATION, DerivationDocument, Free, Settings};
use metahub_store::Store;
use metahub_upstream::Timeouts;
use serde_json::{Value, json};

use crate::fake::{Fake, Referrers, World, index};

const PROFILE: &str = "profile: {name: one, actions: [{name: manifest-add, event: \
    post-manifest-get, args: {layerRepository: 'lab/app:layer', repository: 'lab/app'}}]}\n";

/// An image whose configuration has some more bytes.
fn image(fake: &Fake, content: &str, more: usize, tag: &str) -> Value {
    let layer = fake.blob(content.into(), MediaType::OCI_LAYER_GZIP);
    let config = json!({
        "os": "linux", "architecture": "amd64", "config": {}, "comment": "x".repeat(more),
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    });
    let config = fake.blob(config.to_string().into_bytes(), MediaType::OCI_CONFIG);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config,
        "layers": [layer],
    });
    fake.document(&manifest, &[tag])
}

fn digest(descriptor: &Value) -> Digest {
    descriptor["digest"].as_str().unwrap().parse().unwrap()
}

async fn world(fake: &Fake, size: Option<u64>) -> World {
    let settings = Settings {
        tag_lifetime: Duration::from_hours(1),
        cache: CacheSettings {
            keep_free: Free::Percent(0),
            size,
            spare: Duration::ZERO,
            ..CacheSettings::default()
        },
        ..Settings::default()
    };
    let store = Store::temporary().await.unwrap();
    fake.registry_with(store, settings, Timeouts::default(), PROFILE)
}

#[tokio::test]
async fn what_the_publisher_signed_upstream_is_found_from_what_was_derived() {
    let fake = Fake::start(Referrers::Status(404)).await;
    image(&fake, "a layer", 0, "layer");
    let base = image(&fake, "an image", 0, "1");
    let empty = fake.blob(b"{}".to_vec(), MediaType::OCI_EMPTY);
    let mut signature = fake.document(
        &json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST,
            "artifactType": "application/x-signature", "config": empty, "layers": [empty],
            "subject": base,
        }),
        &[],
    );
    signature["artifactType"] = "application/x-signature".into();
    let tag = base["digest"].as_str().unwrap().replace(':', "-");
    fake.document(&index(std::slice::from_ref(&signature)), &[&tag]);
    let world = world(&fake, None).await;
    let derived = world.pull("lab/app:1", "one").await.unwrap();
    let (app, operator): (RepositoryName, _) =
        ("lab/app".parse().unwrap(), world.registry.operator());
    let repository = operator.read(&app);
    let listed = repository.referrers(&derived.digest, Some(DERIVATION), None, 10);
    let listed = listed.await.unwrap().manifests;
    let referrer = listed[0]["digest"].as_str().unwrap().parse().unwrap();
    let referrer = repository.manifest(&referrer).await.unwrap();
    let referrer: Value = serde_json::from_slice(&referrer.bytes).unwrap();
    let document = digest(&referrer["layers"][0]);
    let stored = world.registry.store().blob(&app, &document).await.unwrap();
    let bytes = stored.unwrap().read(100_000).await.unwrap();
    let document: DerivationDocument = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(document.source.digest, digest(&base));
    let source: RepositoryName = document.source.repository.parse().unwrap();
    let signed = operator.read(&source);
    let signed = signed.referrers(&document.source.digest, None, None, 10);
    let signed = signed.await.unwrap().manifests;
    assert_eq!(signed.len(), 1);
    assert_eq!(signed[0]["digest"], signature["digest"]);
    // And the derived manifest leads there by its own words.
    let derived: Value = serde_json::from_slice(&derived.bytes).unwrap();
    let name = derived["annotations"]["org.opencontainers.image.base.name"].as_str();
    assert_eq!(name, Some(&*format!("up.test/lab/app@{}", digest(&base))));
}

#[tokio::test]
async fn what_a_pinned_image_was_derived_from_stays_in_the_cache() {
    let fake = Fake::start(Referrers::Status(404)).await;
    let layer = image(&fake, "a layer", 0, "layer");
    let base = image(&fake, "an image", 0, "1");
    for tag in ["2", "3", "4", "5"] {
        image(&fake, tag, 2500, tag);
    }
    // Room for what is derived from, and for one of the others.
    let world = world(&fake, Some(5500)).await;
    let derived = world.pull("lab/app:1", "one").await.unwrap().digest;
    let image = format!("lab/app@{derived}").parse().unwrap();
    let upstream: RepositoryName = "up.test/lab/app".parse().unwrap();
    let store = world.registry.store();
    let sources = [digest(&base), digest(&layer)];
    let held = async || {
        let mut held = Vec::new();
        for source in &sources {
            held.push(store.manifest(&upstream, source).await.unwrap().is_some());
        }
        held
    };
    world.registry.pin(&image).await.unwrap();
    let pull_others = async |tags: [&str; 2]| {
        for tag in tags {
            let pulled = world.pull(&format!("lab/app:{tag}"), "zen3").await;
            pulled.unwrap();
            world.registry.evict_to_bounds().await.unwrap();
        }
    };
    pull_others(["2", "3"]).await;
    assert!(world.registry.counts().evicted > 0);
    assert_eq!(held().await, [true, true]);
    assert!(world.registry.unpin(&image).await.unwrap());
    pull_others(["4", "5"]).await;
    assert_eq!(held().await, [false, false]);
}
