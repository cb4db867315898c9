//! Fills a store with a million manifests and a hundred thousand tags in a thousand repositories,
//! and measures what must not depend on how many there are: opening it, getting a manifest, a
//! page of tags. `cargo run --release -p metahub-store --example scale [FOLDER [MANIFESTS]]`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measuring tool run by hand"
)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use metahub_oci::{Digest, Document, MediaType, RepositoryName};
use metahub_store::{GcOptions, Mode, PutManifest, Store};

const REPOSITORIES: usize = 1000;

fn repository(number: usize) -> RepositoryName {
    format!("scale/r{number:04}").parse().unwrap()
}

fn document(number: usize) -> Document {
    let digest = |part: &str| Digest::sha256(format!("{part} {number}").as_bytes());
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"{}","digest":"{}","size":1}},"layers":[{{"mediaType":"{}","digest":"{}","size":1}}]}}"#,
        MediaType::OCI_MANIFEST,
        MediaType::OCI_CONFIG,
        digest("config"),
        MediaType::OCI_LAYER_GZIP,
        digest("layer")
    );
    Document::parse(text.into(), None).unwrap()
}

async fn time<T>(what: &str, count: u32, work: impl Future<Output = T>) -> T {
    let started = Instant::now();
    let value = work.await;
    let each = started.elapsed().as_secs_f64() * 1e3 / f64::from(count);
    println!("{what:40} {each:10.3} ms");
    value
}

#[tokio::main]
#[allow(clippy::too_many_lines, reason = "a list of measurements")]
async fn main() {
    let folder = std::env::args()
        .nth(1)
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let manifests: usize = std::env::args()
        .nth(2)
        .map_or(1_000_000, |n| n.parse().unwrap());
    let folder = tempfile::tempdir_in(folder).unwrap();
    let store = Store::open(folder.path(), Mode::Serve).await.unwrap();
    let started = Instant::now();
    stream::iter(0..manifests)
        .for_each_concurrent(256, |number| {
            let store = &store;
            async move {
                // One in ten is tagged, most of them in ten large repositories.
                let tags = if number % 10 == 0 {
                    vec![format!("t{number}").parse().unwrap()]
                } else {
                    vec![]
                };
                let place = if number % 20 == 0 {
                    number / 20 % 10
                } else {
                    number % REPOSITORIES
                };
                let options = PutManifest {
                    require_references: false,
                    ..PutManifest::pushed(tags)
                };
                store
                    .put_manifest(&repository(place), &document(number), options)
                    .await
                    .unwrap();
            }
        })
        .await;
    println!(
        "stored {manifests} in {:.0} s",
        started.elapsed().as_secs_f64()
    );
    store.close().await;
    drop(store);
    let size = std::fs::metadata(folder.path().join("metahub.db"))
        .unwrap()
        .len();
    println!("database {} MiB", size / 1024 / 1024);
    let store = time("open", 1, Store::open(folder.path(), Mode::Serve))
        .await
        .unwrap();
    let name = repository(3);
    let mut after: Option<String> = None;
    for _ in 0..4 {
        let page = time("page of 100 tags", 10, async {
            let mut page = None;
            for _ in 0..10 {
                page = Some(store.tags(&name, after.as_deref(), 100).await.unwrap());
            }
            page.unwrap()
        })
        .await;
        after = page.items.last().map(|tag| tag.as_str().replace("t", "t5"));
    }
    time(
        "page of 100 repositories",
        1,
        store.repositories(Some("scale/r0500"), 100),
    )
    .await
    .unwrap();
    time("manifest, not in memory", 1000, async {
        for number in 0..1000 {
            let number = number * (manifests / 1000);
            let place = if number.is_multiple_of(20) {
                number / 20 % 10
            } else {
                number % REPOSITORIES
            };
            let digest = document(number).digest().clone();
            store
                .manifest(&repository(place), &digest)
                .await
                .unwrap()
                .unwrap();
        }
    })
    .await;
    time("manifest, in memory", 100_000, async {
        let digest = document(1).digest().clone();
        for _ in 0..100_000 {
            store
                .manifest(&repository(1), &digest)
                .await
                .unwrap()
                .unwrap();
        }
    })
    .await;
    let options = GcOptions {
        grace: Duration::from_hours(1),
        dry_run: false,
    };
    time("garbage collection", 1, store.collect_garbage(&options))
        .await
        .unwrap();
    store.close().await;
}
