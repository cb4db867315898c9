//! A full disk and a read-only one: a clear error, nothing half-written, reads go on, and work
//! goes on when there is space again. Needs the right to mount a small file system.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests assert by panicking"
)]

mod support;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use metahub_oci::{Digest, RepositoryName};
use metahub_store::{
    AppendError, Fill, FillError, GcOptions, Mode, PutBlobError, PutError, PutManifest,
    ScrubOptions, Store, StoreError, Upload,
};
use support::{chunks, content, image, name, put, read, tag};

/// A small file system in memory, unmounted when dropped.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let made = mount(&["-t", "tmpfs", "-o", "size=24m", "tmpfs"], folder.path());
        if made {
            return Some(Self(folder));
        }
        let required = std::env::var("METAHUB_REQUIRE_ALL").is_ok_and(|value| value == "1");
        assert!(
            !required,
            "cannot mount a file system: run as root with the right to mount"
        );
        eprintln!("SKIPPED: cannot mount a file system; run as root with the right to mount");
        None
    }

    fn remount(&self, option: &str) {
        assert!(mount(&["-o", &format!("remount,{option}")], self.0.path()));
    }
}

fn mount(arguments: &[&str], folder: &Path) -> bool {
    let output = Command::new("mount").args(arguments).arg(folder).output();
    output.is_ok_and(|output| output.status.success())
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

/// Stores blobs until there is no space, and gives those that were stored.
async fn fill_with_blobs(store: &Store, repository: &RepositoryName) -> Vec<Digest> {
    let mut stored = Vec::new();
    let error = loop {
        let bytes = content(stored.len() as u64 + 1, 1_000_000);
        let digest = Digest::sha256(&bytes);
        match store.put_blob(repository, &digest, bytes.into()).await {
            Ok(_) => stored.push(digest),
            Err(error) => break error,
        }
        assert!(stored.len() < 50, "the disk never fills");
    };
    assert!(
        matches!(error, PutBlobError::Store(StoreError::NoSpace(_))),
        "{error:?}"
    );
    assert!(error.to_string().contains("no space left"), "{error}");
    stored
}

/// Tries an upload, which stays, and a fill, which does not.
async fn large_content_is_refused(
    store: &Store,
    repository: &RepositoryName,
    large: &[u8],
) -> Upload {
    let id = store.start_upload(repository).await.unwrap();
    let upload = store.upload(repository, &id).await.unwrap().unwrap();
    let appended = upload.append(None, chunks(large, 65_536)).await;
    assert!(
        matches!(appended, Err(AppendError::Store(StoreError::NoSpace(_)))),
        "{appended:?}"
    );
    let mut fill = store.fill(&Digest::sha256(large), None);
    let mut filled = Ok(());
    for part in large.chunks(65_536) {
        filled = fill.write(Bytes::copy_from_slice(part)).await;
        if filled.is_err() {
            break;
        }
    }
    let filled = match filled {
        Ok(()) => fill.commit(Some(repository)).await.map(drop),
        error => error,
    };
    assert!(
        matches!(filled, Err(FillError::Store(StoreError::NoSpace(_)))),
        "{filled:?}"
    );
    upload
}

/// The database fills too, and says the same.
async fn fill_with_manifests(store: &Store, repository: &RepositoryName) {
    let mut number = 0;
    let error = loop {
        let layer = format!("{number}");
        let document = image(&content(number, 200_000), &[layer.as_bytes()]);
        let options = PutManifest {
            require_references: false,
            ..PutManifest::pushed(vec![])
        };
        if let Err(error) = store.put_manifest(repository, &document, options).await {
            break error;
        }
        number += 1;
        assert!(number < 100_000, "the disk never fills");
    };
    assert!(
        matches!(error, PutError::Store(StoreError::NoSpace(_))),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_full_disk_refuses_clearly_and_works_again_when_there_is_space() {
    let Some(disk) = Mounted::new() else {
        return;
    };
    let store = Store::open(disk.0.path(), Mode::Serve).await.unwrap();
    let repository = name("a");
    put(&store, &repository, b"{}").await;
    let kept = content(0, 2_000_000);
    put(&store, &repository, &kept).await;
    let document = image(b"{}", &[&kept]);
    let options = PutManifest::pushed(vec![tag("x")]);
    store
        .put_manifest(&repository, &document, options)
        .await
        .unwrap();

    let stored = fill_with_blobs(&store, &repository).await;
    let large = content(100, 6_000_000);
    let upload = large_content_is_refused(&store, &repository, &large).await;
    fill_with_manifests(&store, &repository).await;

    // Everything that was acknowledged is there.
    assert_eq!(
        read(&store, &repository, &Digest::sha256(&kept))
            .await
            .unwrap()
            .unwrap(),
        kept
    );
    for digest in &stored {
        assert!(read(&store, &repository, digest).await.unwrap().is_some());
    }
    assert!(store.tag(&repository, &tag("x")).await.unwrap().is_some());
    assert!(
        store
            .blob(&repository, &Digest::sha256(&large))
            .await
            .unwrap()
            .is_none()
    );

    // Garbage collection works without space, and makes some.
    upload.cancel().await.unwrap();
    let options = GcOptions {
        grace: Duration::ZERO,
        dry_run: false,
    };
    let report = store.collect_garbage(&options).await.unwrap();
    assert_eq!(report.blobs, stored.len() as u64);
    put(&store, &repository, &large).await;
    let report = store.scrub(ScrubOptions::default(), |_| {}).await.unwrap();
    assert_eq!(
        (report.blobs, report.manifests, report.database),
        (vec![], vec![], vec![])
    );
    store.close().await;
    drop((store, upload));
    let store = Store::open(disk.0.path(), Mode::Serve).await.unwrap();
    assert_eq!(
        read(&store, &repository, &Digest::sha256(&large))
            .await
            .unwrap()
            .unwrap(),
        large
    );
    assert_eq!(
        std::fs::read_dir(disk.0.path().join("staging"))
            .unwrap()
            .count(),
        0
    );
}

/// Free bytes on the disk.
fn free(disk: &Mounted) -> u64 {
    let stat = rustix::fs::statvfs(disk.0.path()).unwrap();
    stat.f_bavail * stat.f_frsize
}

/// Writes `bytes` into a fill until it fails.
async fn write_until_it_fails(fill: &mut Fill, bytes: &[u8]) -> FillError {
    for part in bytes.chunks(65_536) {
        if let Err(error) = fill.write(Bytes::copy_from_slice(part)).await {
            return error;
        }
    }
    // The last chunks are on their way.
    loop {
        if let Err(error) = fill.flush().await {
            return error;
        }
        if let Err(error) = fill.write(Bytes::from_static(&[0; 200_000])).await {
            return error;
        }
    }
}

#[tokio::test]
async fn a_fill_that_meets_a_full_disk_frees_its_space_and_the_next_one_comes_through() {
    let Some(disk) = Mounted::new() else {
        return;
    };
    let store = Store::open(disk.0.path(), Mode::Serve).await.unwrap();
    let kept = name("quay.io/a");
    let large = content(7, 40_000_000);
    let digest = Digest::sha256(&large);
    for marked in [false, true] {
        for followed in [false, true] {
            let before = free(&disk);
            let mut fill = if marked {
                store.fill_from("quay.io", &digest, None)
            } else {
                store.fill(&digest, None)
            };
            // Who reads along, and reads no further, holds the file open.
            let follower = followed.then(|| fill.follower().unwrap());
            let mut reading = follower
                .as_ref()
                .map(|one| Box::pin(one.stream(0..u64::MAX)));
            let error = write_until_it_fails(&mut fill, &large).await;
            assert!(
                matches!(error, FillError::Store(StoreError::NoSpace(_))),
                "{error:?}"
            );
            if let Some(reading) = &mut reading {
                assert!(reading.next().await.is_some());
            }
            // Whatever is done with it from here on is refused, and nothing panics.
            assert!(fill.write(Bytes::from_static(b"more")).await.is_err());
            assert!(fill.flush().await.is_err());
            if marked {
                fill.give_up().await;
            } else {
                assert!(fill.commit(Some(&kept)).await.is_err());
            }
            let begin = std::time::Instant::now();
            loop {
                let staged = std::fs::read_dir(disk.0.path().join("staging")).unwrap();
                let left: Vec<_> = staged.map(|entry| entry.unwrap().file_name()).collect();
                if left.is_empty() && free(&disk) + 1_000_000 >= before {
                    break;
                }
                assert!(
                    begin.elapsed() < Duration::from_secs(30),
                    "space is kept: {left:?}"
                );
                tokio::task::yield_now().await;
            }
            let small = content(8, 3_000_000);
            let mut next = store.fill_from("quay.io", &Digest::sha256(&small), None);
            next.write(Bytes::from(small.clone())).await.unwrap();
            next.commit(Some(&kept)).await.unwrap();
            assert_eq!(
                read(&store, &kept, &Digest::sha256(&small)).await.unwrap(),
                Some(small)
            );
        }
    }
}

#[tokio::test]
async fn a_disk_that_becomes_read_only_is_still_read() {
    let Some(disk) = Mounted::new() else {
        return;
    };
    let store = Store::open(disk.0.path(), Mode::Serve).await.unwrap();
    let (repository, bytes) = (name("a"), content(1, 100_000));
    let digest = put(&store, &repository, &bytes).await;
    // Nothing may be open for writing when a file system is made read-only: so it happens in
    // life only by an error of the disk, or between two runs.
    store.close().await;
    drop(store);
    disk.remount("ro");
    let error = Store::open(disk.0.path(), Mode::Serve).await.unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly(_)), "{error:?}");
    assert!(error.to_string().contains("read-only"), "{error}");
    disk.remount("rw");
    let store = Store::open(disk.0.path(), Mode::Serve).await.unwrap();
    assert_eq!(
        read(&store, &repository, &digest).await.unwrap().unwrap(),
        bytes
    );
}
