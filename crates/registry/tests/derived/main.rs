//! What logins can make a registry keep: as much as there are outcomes, within a bound, whatever
//! the logins say.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests assert by panicking"
)]

mod actions;
mod answers;
mod demand;
mod orders;
mod provenance;
mod retention;
mod signatures;
mod standing;
mod untouched;
mod world;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use metahub_catalog::Catalog;
use metahub_oci::{Digest, Document, MediaType, RepositoryName, Tag};
use metahub_registry::{Accepts, Registry, RegistryError, Served, Settings};
use metahub_store::{Mode, Store};
use metahub_upstream::{Upstreams, UpstreamsConfig};
use serde_json::{Value, json};
use tokio::sync::watch;

use world::*;

/// How many logins are made up, where the environment does not say: `METAHUB_TEST_LOGINS`.
const LOGINS: usize = 20_000;

#[tokio::test]
async fn any_number_of_invented_logins_leaves_as_many_records_as_there_are_outcomes() {
    let logins = std::env::var("METAHUB_TEST_LOGINS");
    let logins = logins.map_or(LOGINS, |number| number.parse().unwrap());
    let store = Store::in_memory().await.unwrap();
    let world = World::with(store, Settings::default()).await.filled().await;
    for number in 0..logins / 4 {
        if number == logins / 8 || number == 1_000 {
            eprintln!("{} logins: {}", number * 4, resident());
        }
        for login in [
            format!("zen3+site=x{number}"),
            format!("zen3+cuda=12.4.{number}"),
            format!("zen2+invented{number}=1"),
            format!("cascadelake+driver=550.{number}+one"),
        ] {
            let served = world
                .pull_as(&login, "lab/app:latest", Accepts::IndexOnly)
                .await
                .unwrap();
            assert!(is_index(&served), "{login}");
        }
    }
    eprintln!("{logins} logins: {}", resident());
    // The base, zen3's, cascadelake's, and each of those with the layer of `one` if it was asked
    // for: of four kinds of logins.
    let total = world.registry.store().derived_total().await.unwrap();
    assert!(total.records <= 5, "{total:?}");
    assert!(total.bytes < 64 * 1024, "{total:?}");
    assert_eq!(world.registry.counts().derived_made, total.records);
}

/// What of this process is in memory, for who reads it.
fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.unwrap_or("VmRSS unknown").to_owned()
}

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

#[tokio::test]
async fn random_logins_never_pass_the_bound_and_the_same_choice_always_has_the_same_bytes() {
    const BOUND: u64 = 40_000;
    let mut settings = Settings::default();
    settings.cache.derived = BOUND;
    let store = Store::temporary().await.unwrap();
    let world = World::with(store, settings).await.filled().await;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut seen: std::collections::HashMap<String, Digest> = std::collections::HashMap::new();
    let mut evicted_and_back = 0;
    for number in 0..1500 {
        // What decides the bytes: the CPU, and the layers in their order.
        let cpu = ["zen3", "zen2", "cascadelake", "cpu=x86_64_v3"][random.below(4)];
        let mut layers = vec!["one", "two", "three", "four"];
        let mut parts = vec![cpu.to_owned()];
        for _ in 0..random.below(4) {
            parts.push(layers.swap_remove(random.below(layers.len())).to_owned());
        }
        let decides = parts.join("+");
        parts.push(match random.below(3) {
            0 => format!("note{number}=1"),
            1 => format!("glibc=2.{}", random.below(1_000_000)),
            _ => format!("kernel=5.14.{number}"),
        });
        let login = parts.join("+");
        let served = world
            .pull_as(&login, "lab/app:latest", Accepts::IndexOnly)
            .await
            .unwrap();
        assert!(served.digest.matches(&served.bytes));
        if let Some(before) = seen.insert(decides.clone(), served.digest.clone()) {
            assert_eq!(before, served.digest, "{login}");
            evicted_and_back += 1;
        }
        let total = world.registry.store().derived_total().await.unwrap();
        assert!(total.bytes <= BOUND, "{login}: {total:?}");
    }
    assert!(evicted_and_back > 500 && world.registry.counts().derived_evicted > 100);
    // Nothing of what went is left behind: every manifest and configuration belongs to a record.
    let store = world.registry.store();
    store.evict_derived(0).await.unwrap();
    let now = metahub_store::GcOptions {
        grace: std::time::Duration::ZERO,
        dry_run: false,
    };
    let report = world.registry.collect_garbage(&now).await.unwrap();
    assert_eq!((report.derived, report.blobs), (0, 0), "{report:?}");
}

async fn open(folder: &Path) -> World {
    let store = Store::open(folder, Mode::Serve).await.unwrap();
    World::with(store, Settings::default()).await
}

#[tokio::test]
async fn a_registry_that_starts_again_finds_what_was_derived_before() {
    let folder = tempfile::tempdir().unwrap();
    let world = open(folder.path()).await.filled().await;
    let before = world.pull("zen3+one", "lab/app:latest").await;
    assert_eq!(world.registry.counts().derived_made, 1);
    world.registry.store().close().await;
    drop(world);
    let world = open(folder.path()).await;
    let after = world.pull("zen3+one+site=other", "lab/app:latest").await;
    assert_eq!(after.digest, before.digest);
    assert_eq!(world.registry.counts().derived_made, 0);
}

#[tokio::test]
async fn what_was_pulled_lately_stays_pullable_by_its_digest() {
    let world = World::new().await.filled().await;
    let pinned = world.pull("zen3+one", "lab/app:latest").await;
    let other = world.pull("zen3+two", "lab/app:latest").await;
    let app = name("lab/app");
    world.registry.write_usage().await.unwrap();
    // Uses are told apart by the millisecond.
    let before = std::time::Instant::now();
    while before.elapsed().as_millis() < 2 {}
    // By its digest only: a cluster that pinned it.
    world
        .registry
        .operator()
        .read(&app)
        .manifest(&pinned.digest)
        .await
        .unwrap();
    world.registry.write_usage().await.unwrap();
    let store = world.registry.store();
    let half = store.derived_total().await.unwrap().bytes * 3 / 4;
    store.evict_derived(half).await.unwrap();
    assert!(
        world
            .registry
            .operator()
            .read(&app)
            .manifest(&pinned.digest)
            .await
            .is_ok()
    );
    assert!(
        world
            .registry
            .operator()
            .read(&app)
            .manifest(&other.digest)
            .await
            .is_err()
    );
    // A client that asks for the tag gets the same again, with all that it names.
    let again = world.pull("zen3+two", "lab/app:latest").await;
    assert_eq!(again.digest, other.digest);
    let Document::Index(index) = Document::parse(again.bytes, None).unwrap() else {
        panic!("an index")
    };
    for child in index.manifests() {
        let child = world
            .registry
            .operator()
            .read(&app)
            .manifest(child.digest())
            .await
            .unwrap();
        let Document::Manifest(child) = Document::parse(child.bytes, None).unwrap() else {
            panic!("a manifest")
        };
        let config = child.config().unwrap().digest();
        assert!(
            world
                .registry
                .operator()
                .read(&app)
                .blob_size(config)
                .await
                .is_ok()
        );
    }
}
