//! What goes from a cache that is full, and what that costs.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use metahub_oci::{Digest, MediaType, RepositoryName};
use metahub_registry::{CacheSettings, Fetching, Free, Operator, Registry, Settings};
use metahub_store::Store;
use metahub_upstream::Timeouts;
use serde_json::{Value, json};

use crate::fake::{Fake, REPOSITORY, Referrers, World};

const LAYER: u64 = 100_000;

/// Puts images of one layer each; the digests of manifest and layer.
fn images(fake: &Fake, count: usize, size: u64) -> Vec<(Digest, Digest)> {
    let digest = |descriptor: &Value| descriptor["digest"].as_str().unwrap().parse().unwrap();
    let image = |at: usize| {
        let mut bytes = vec![0; usize::try_from(size).unwrap()];
        bytes[..8].copy_from_slice(&at.to_le_bytes());
        let layer = fake.blob(bytes, MediaType::OCI_LAYER_GZIP);
        let config = fake.blob(b"{}".to_vec(), MediaType::OCI_EMPTY);
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config,
            "layers": [layer],
        });
        (digest(&fake.document(&manifest, &[])), digest(&layer))
    };
    (0..count).map(image).collect()
}

fn before(fake: &Fake, store: &Store, size: Option<u64>) -> World {
    let settings = Settings {
        tag_lifetime: Duration::from_hours(1),
        cache: CacheSettings {
            size,
            keep_free: Free::Percent(0),
            spare: Duration::ZERO,
            ..CacheSettings::default()
        },
        ..Settings::default()
    };
    fake.registry_with(store.clone(), settings, Timeouts::default(), "")
}

/// Pulls an image whole.
async fn pull(registry: &Registry, operator: &Operator, image: &(Digest, Digest)) {
    let (manifest, layer) = image;
    let name: RepositoryName = REPOSITORY.parse().unwrap();
    let repository = operator.read(&name);
    repository.manifest(manifest).await.unwrap();
    let blob = repository.blob(layer).await.unwrap();
    let stream = blob.stream(0..blob.size());
    let bytes: Vec<_> = stream.try_collect().await.unwrap();
    let received: usize = bytes.iter().map(bytes::Bytes::len).sum();
    assert_eq!(received as u64, blob.size());
    // The last byte comes before the blob is in its place.
    while registry.fetching() != Fetching::default() {
        let _ = tokio::task::spawn_blocking(|| ()).await;
    }
}

async fn holds(store: &Store, layer: &Digest) -> bool {
    let kept = format!("up.test/{REPOSITORY}").parse().unwrap();
    store.blob(&kept, layer).await.unwrap().is_some()
}

#[tokio::test]
async fn a_batch_of_evictions_puts_what_is_kept_in_order_once() {
    let fake = Fake::start(Referrers::Status(404)).await;
    let store = Store::temporary().await.unwrap();
    let images = images(&fake, 200, 1_000);
    let world = before(&fake, &store, None);
    for image in &images {
        pull(&world.registry, &world.registry.operator(), image).await;
    }
    let world = before(&fake, &store, Some(100_000));
    let orderings = store.orderings();
    let kept = world.registry.evict_to_bounds().await.unwrap();
    assert!(!kept.over && kept.evicted > 100, "{kept:?}");
    let orderings = store.orderings() - orderings;
    assert!((1..=2).contains(&orderings), "{orderings} orderings");
    // Those that were used last are those that stay.
    let mut stay = Vec::new();
    for (_, layer) in &images {
        stay.push(holds(&store, layer).await);
    }
    assert!(stay.is_sorted() && stay[199], "{stay:?}");
    // A cache within its bounds is not put in order at all.
    let orderings = store.orderings();
    world.registry.evict_to_bounds().await.unwrap();
    assert_eq!(store.orderings(), orderings);
}

#[tokio::test]
async fn what_one_client_without_an_account_brings_goes_before_what_accounts_use() {
    let fake = Fake::start(Referrers::Status(404)).await;
    let store = Store::temporary().await.unwrap();
    let images = images(&fake, 24, LAYER);
    let size = 10 * LAYER;
    let world = before(&fake, &store, Some(size));
    let (ours, theirs) = images.split_at(4);
    for image in ours {
        pull(&world.registry, &world.registry.operator(), image).await;
    }
    let address: IpAddr = "192.0.2.1".parse().unwrap();
    let client = world.registry.operator().as_client(address);
    for image in theirs {
        pull(&world.registry, &client, image).await;
        world.registry.evict_to_bounds().await.unwrap();
        let brought = store.bytes_of_one_client().await.unwrap();
        assert!(brought <= size, "{brought}");
        let kept: u64 = store.cached_bytes().await.unwrap().values().sum();
        assert!(kept <= size, "{kept}");
    }
    // Older than all of theirs, and still here.
    for (_, layer) in ours {
        assert!(holds(&store, layer).await);
    }
    assert!(store.bytes_of_one_client().await.unwrap() > 3 * LAYER);
    // What an account asks for finds room beside that share.
    for image in &theirs[..4] {
        pull(&world.registry, &world.registry.operator(), image).await;
    }
    world.registry.evict_to_bounds().await.unwrap();
    for (_, layer) in &theirs[..4] {
        assert!(holds(&store, layer).await);
    }
    assert!(store.bytes_of_one_client().await.unwrap() <= size / 2);
}
