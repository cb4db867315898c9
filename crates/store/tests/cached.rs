//! The totals of what is cached from upstreams, which triggers keep, against a count of all rows:
//! equal after every operation, a restart, and a crash.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests assert by panicking"
)]

mod support;

use std::path::Path;
use std::time::{Duration, SystemTime};

use metahub_oci::{Digest, Document, RepositoryName};
use metahub_store::{Fill, GcOptions, Mode, Origin, PutManifest, Store};
use support::{content, fast_folder, image, index, name, put, tag};

/// Two upstreams, a name without any, and one that may be pushed to.
const REPOSITORIES: [&str; 6] = [
    "quay.io/a",
    "quay.io/b",
    "quay.io/b/c",
    "ghcr.io/a",
    "lab",
    "lab/x",
];

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % end as u64).unwrap()
    }
}

struct World {
    blobs: Vec<Vec<u8>>,
    documents: Vec<Document>,
}

impl World {
    fn new() -> Self {
        let blobs: Vec<_> = [0, 100, 5_000, 70_000, 90_000]
            .iter()
            .enumerate()
            .map(|(seed, size)| content(seed as u64, *size))
            .collect();
        let of = |config: usize, layers: &[usize]| {
            let layers: Vec<&[u8]> = layers.iter().map(|at| blobs[*at].as_slice()).collect();
            image(&blobs[config], &layers)
        };
        let mut documents = vec![of(1, &[]), of(1, &[0, 3]), of(2, &[3, 4])];
        documents.push(index(&[&documents[0], &documents[2]]));
        Self { blobs, documents }
    }
}

async fn fill(fill: Fill, bytes: &[u8], repository: Option<&RepositoryName>) {
    let mut fill = fill;
    fill.write(bytes.to_vec().into()).await.unwrap();
    fill.commit(repository).await.unwrap();
}

/// One operation; many change nothing.
async fn step(store: &Store, world: &World, random: &mut Random) {
    let repository = name(REPOSITORIES[random.below(REPOSITORIES.len())]);
    let other = name(REPOSITORIES[random.below(REPOSITORIES.len())]);
    let host = repository.as_str().split('/').next().unwrap().to_owned();
    let bytes = &world.blobs[random.below(world.blobs.len())];
    let blob = Digest::sha256(bytes);
    let document = &world.documents[random.below(world.documents.len())];
    let now = SystemTime::now() + Duration::from_secs(1);
    match random.below(16) {
        0 => drop(put(store, &repository, bytes).await),
        1..=3 => {
            let begun = store.fill_from(&host, &blob, None);
            fill(begun, bytes, Some(&repository)).await;
        }
        4 => fill(store.fill(&blob, None), bytes, None).await,
        5 => drop(store.mount(&other, &repository, &blob).await.unwrap()),
        6 => drop(store.link_given(&host, &repository, &blob).await.unwrap()),
        7 => drop(store.delete_blob(&repository, &blob).await.unwrap()),
        8..=10 => {
            let read = PutManifest {
                mount_from: vec![other],
                ..PutManifest::upstream(vec![tag("1")], repository.to_string())
            };
            store
                .put_manifest(&repository, document, read)
                .await
                .unwrap();
        }
        11 => {
            let put = PutManifest {
                origin: [Origin::Pushed, Origin::Derived][random.below(2)],
                require_references: false,
                ..PutManifest::pushed(vec![])
            };
            store
                .put_manifest(&repository, document, put)
                .await
                .unwrap();
        }
        12 => drop(
            store
                .delete_manifest(&repository, document.digest())
                .await
                .unwrap(),
        ),
        13 => drop(
            store
                .evict(&repository, document.digest(), now)
                .await
                .unwrap(),
        ),
        14 => drop(store.release_name(&repository).await.unwrap()),
        _ => match random.below(3) {
            0 => drop(
                store
                    .evict_unreferenced(Duration::ZERO, Duration::ZERO)
                    .await
                    .unwrap(),
            ),
            1 => {
                let options = GcOptions {
                    grace: Duration::ZERO,
                    dry_run: false,
                };
                store.collect_garbage(&options).await.unwrap();
            }
            _ => {}
        },
    }
}

/// The totals are what a count gives; how many upstreams they name.
async fn agree(store: &Store, seed: u64, at: usize) -> usize {
    let kept = store.cached_bytes().await.unwrap();
    let counted = store.recounted_bytes().await.unwrap();
    assert_eq!(kept, counted, "seed {seed}, after operation {at}");
    kept.len()
}

/// What a crash leaves: the files as they are, without an end.
fn copied(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let (entry, to) = entry
            .map(|e| {
                let to = to.join(e.file_name());
                (e, to)
            })
            .unwrap();
        if entry.metadata().unwrap().is_dir() {
            std::fs::create_dir_all(&to).unwrap();
            copied(&entry.path(), &to);
        } else if entry.file_name() != "lease" {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[tokio::test]
async fn the_totals_are_what_a_count_of_all_rows_gives_whatever_happens() {
    let world = World::new();
    let mut named = 0;
    for seed in 0..12 {
        let mut random = Random(seed);
        let mut folders = vec![fast_folder()];
        let mut store = Store::open(folders[0].path(), Mode::Serve).await.unwrap();
        for at in 0..60 {
            step(&store, &world, &mut random).await;
            named += agree(&store, seed, at).await;
            if random.below(20) > 0 {
                continue;
            }
            let folder = fast_folder();
            let crashed = random.below(2) == 0;
            if crashed {
                copied(store.folder(), folder.path());
            }
            store.close().await;
            drop(store);
            let last = folders.last().unwrap().path().to_owned();
            folders.push(folder);
            let folder = if crashed {
                folders.last().unwrap().path()
            } else {
                &last
            };
            store = Store::open(folder, Mode::Serve).await.unwrap();
            agree(&store, seed, at).await;
            if !crashed {
                folders.pop();
            }
        }
        store.close().await;
    }
    assert!(named > 300, "{named}");
}
