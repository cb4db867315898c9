//! Fills that end before their end: what came goes into the next one of the same source, unless
//! it is wrong, damaged or old.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use metahub_oci::Digest;
use metahub_store::{FillError, Mode, Store};

mod support;
use support::{content, name};

const MIB: usize = 1024 * 1024;
/// Of so many bytes at least half is durable before the end.
const SENT: usize = 36 * MIB;
const SIZE: usize = 40 * MIB;
const SOURCE: &str = "quay.io";

fn whole() -> (Bytes, Digest) {
    let whole = Bytes::from(content(1, SIZE));
    let digest = Digest::sha256(&whole);
    (whole, digest)
}

/// Begins to receive `bytes` under `digest` and stops.
async fn interrupt(store: &Store, digest: &Digest, bytes: Bytes) {
    let mut fill = store.fill_from(SOURCE, digest, Some(SIZE as u64));
    fill.write(bytes).await.unwrap();
    fill.give_up().await;
}

/// The files in staging.
fn staged(store: &Store) -> Vec<PathBuf> {
    let files = std::fs::read_dir(store.folder().join("staging")).unwrap();
    files.map(|entry| entry.unwrap().path()).collect()
}

/// How much the next fill from `source` has to begin with, which is then as it was.
async fn begun(store: &Store, source: &str, digest: &Digest) -> Option<u64> {
    let begun = store.resumable_fill(source, digest).await.unwrap();
    begun.map(|begun| begun.received())
}

#[tokio::test]
async fn the_next_fill_goes_on_behind_what_was_durable_and_is_read_from_its_beginning() {
    let store = Store::temporary().await.unwrap();
    let (whole, digest) = whole();
    interrupt(&store, &digest, whole.slice(..SENT)).await;
    assert!(
        store.blob_anywhere(&digest).await.unwrap().is_none(),
        "it is no blob"
    );
    assert_eq!(begun(&store, "ghcr.io", &digest).await, None);
    assert_eq!(begun(&store, SOURCE, &Digest::sha256(b"x")).await, None);
    let taken = store
        .resumable_fill(SOURCE, &digest)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(begun(&store, SOURCE, &digest).await, None, "one has it");
    let from = taken.received();
    assert!((16 * MIB..=SENT).contains(&(from as usize)), "{from}");
    let mut fill = taken.go_on(Some(SIZE as u64));
    let read = fill
        .follower()
        .unwrap()
        .stream(0..u64::MAX)
        .try_collect::<Vec<_>>();
    let write = async {
        assert_eq!(fill.received(), from);
        fill.write(whole.slice(from as usize..)).await.unwrap();
        fill.commit(Some(&name("quay.io/a"))).await.unwrap()
    };
    let (read, blob) = tokio::join!(read, write);
    assert!(read.unwrap().concat() == whole);
    assert!(blob.read(SIZE as u64).await.unwrap() == whole);
    assert_eq!(begun(&store, SOURCE, &digest).await, None);
    assert_eq!(staged(&store), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn it_is_found_again_after_a_restart_as_often_as_it_takes() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, digest) = whole();
    let store = Store::open(folder.path(), Mode::Serve).await.unwrap();
    interrupt(&store, &digest, whole.slice(..SENT)).await;
    let before = begun(&store, SOURCE, &digest).await;
    assert!(before.is_some());
    for _ in 0..2 {
        store.close().await;
        let store = Store::open(folder.path(), Mode::Serve).await.unwrap();
        assert_eq!(begun(&store, SOURCE, &digest).await, before);
        // Nobody left anything else.
        assert_eq!(staged(&store).len(), 2);
        store.close().await;
    }
}

#[tokio::test]
async fn what_was_damaged_or_cut_meanwhile_is_not_used() {
    for damage in [
        |file: &PathBuf| {
            let mut bytes = std::fs::read(file).unwrap();
            bytes[5 * MIB] ^= 1;
            std::fs::write(file, bytes).unwrap();
        },
        |file: &PathBuf| std::fs::write(file, b"short").unwrap(),
        |file: &PathBuf| std::fs::remove_file(file).unwrap(),
    ] {
        for restarted in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let (whole, digest) = whole();
            let mut store = Store::open(folder.path(), Mode::Serve).await.unwrap();
            interrupt(&store, &digest, whole.slice(..SENT)).await;
            let files = staged(&store);
            damage(files.iter().find(|f| f.extension().is_none()).unwrap());
            if restarted {
                store.close().await;
                store = Store::open(folder.path(), Mode::Serve).await.unwrap();
            }
            assert_eq!(begun(&store, SOURCE, &digest).await, None);
            assert_eq!(staged(&store), Vec::<PathBuf>::new());
            store.close().await;
        }
    }
}

#[tokio::test]
async fn what_turns_out_wrong_is_no_beginning_of_anything() {
    let store = Store::temporary().await.unwrap();
    let (whole, digest) = whole();
    let mut wrong = whole.to_vec();
    wrong[100] ^= 1;
    interrupt(&store, &digest, Bytes::from(wrong).slice(..SENT)).await;
    let taken = store
        .resumable_fill(SOURCE, &digest)
        .await
        .unwrap()
        .unwrap();
    let from = taken.received() as usize;
    let mut fill = taken.go_on(Some(SIZE as u64));
    fill.write(whole.slice(from..)).await.unwrap();
    let filled = fill.commit(None).await;
    assert!(matches!(filled, Err(FillError::Mismatch { .. })));
    assert_eq!(begun(&store, SOURCE, &digest).await, None);
    // Too much of it is as wrong.
    interrupt(&store, &digest, whole.slice(..SENT)).await;
    let taken = store
        .resumable_fill(SOURCE, &digest)
        .await
        .unwrap()
        .unwrap();
    let mut fill = taken.go_on(Some(SENT as u64));
    let written = fill.write(whole.clone()).await;
    assert!(matches!(written, Err(FillError::WrongSize { .. })));
    fill.give_up().await;
    assert_eq!(begun(&store, SOURCE, &digest).await, None);
    // So is what its source has less of.
    interrupt(&store, &digest, whole.slice(..SENT)).await;
    let taken = store
        .resumable_fill(SOURCE, &digest)
        .await
        .unwrap()
        .unwrap();
    taken.discard();
    assert_eq!(begun(&store, SOURCE, &digest).await, None);
}

#[tokio::test]
async fn what_nobody_takes_up_is_swept() {
    let store = Store::temporary().await.unwrap();
    let (whole, digest) = whole();
    interrupt(&store, &digest, whole.slice(..SENT)).await;
    store.sweep_uploads(Duration::from_hours(1)).await.unwrap();
    let bytes = begun(&store, SOURCE, &digest).await.unwrap();
    // Until then it counts as kept.
    assert_eq!(store.cached_bytes().await.unwrap()[SOURCE], bytes);
    store.sweep_uploads(Duration::ZERO).await.unwrap();
    assert_eq!(begun(&store, SOURCE, &digest).await, None);
    assert!(store.cached_bytes().await.unwrap().is_empty());
    assert_eq!(staged(&store), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_file_that_somebody_may_still_write_a_part_of_is_not_left_for_another_fill() {
    let store = Store::temporary().await.unwrap();
    let (whole, digest) = whole();
    let fill = |bytes| {
        let mut fill = store.fill_from(SOURCE, &digest, Some(SIZE as u64 * 2));
        async move {
            fill.write(bytes).await.unwrap();
            fill
        }
    };
    let one = fill(whole.slice(..SENT)).await;
    let mut part = one
        .follower()
        .unwrap()
        .claim(50_000_000..60_000_000, 4)
        .unwrap();
    one.give_up().await;
    assert_eq!(begun(&store, SOURCE, &digest).await, None);
    assert!(part.write(Bytes::from_static(b"late")).await.is_err());
    let other = fill(whole.slice(..SENT)).await;
    drop(
        other
            .follower()
            .unwrap()
            .claim(50_000_000..60_000_000, 4)
            .unwrap(),
    );
    other.give_up().await;
    assert!(begun(&store, SOURCE, &digest).await.is_some());
}
