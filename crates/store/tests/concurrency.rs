//! Many at once: what one was told, everybody sees.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests assert by panicking"
)]

mod support;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::{Stream, stream};
use metahub_oci::{Digest, Document, RepositoryName};
use metahub_store::{AppendError, FinishError, GcOptions, Mode, PutError, PutManifest, Store};
use rstest::rstest;
use support::{Kind, chunks, content, fast_folder, image, name, put, read, tag};
use tokio::sync::mpsc;

/// A client that sends what it is given, piece by piece. A send that has returned means that the
/// piece before was taken.
fn slow_client() -> (
    mpsc::Sender<Bytes>,
    impl Stream<Item = Result<Bytes, Infallible>>,
) {
    let (sender, pieces) = mpsc::channel(1);
    let stream = stream::unfold(pieces, |mut pieces| async move {
        let bytes: Option<Bytes> = pieces.recv().await;
        bytes.map(|bytes| (Ok(bytes), pieces))
    });
    (sender, stream)
}

fn numbered(number: usize) -> Document {
    image(b"{}", &[format!("{number}").as_bytes()])
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_a_tag_was_set_nobody_sees_what_it_named_before(
    #[values(Kind::Files, Kind::Memory)] kind: Kind,
) {
    const COUNT: usize = 300;
    let folder = fast_folder();
    let store = kind.open(folder.path()).await;
    let (repository, latest) = (name("a"), tag("latest"));
    let documents: Arc<Vec<Document>> = Arc::new((0..COUNT).map(numbered).collect());
    let (acknowledged, over) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let put = async |number: usize| {
        let options = PutManifest {
            require_references: false,
            ..PutManifest::pushed(vec![latest.clone()])
        };
        let document = &documents[number];
        store
            .put_manifest(&repository, document, options)
            .await
            .unwrap();
    };
    put(0).await;
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (store, repository, latest) = (store.clone(), repository.clone(), latest.clone());
            let (documents, over) = (Arc::clone(&documents), Arc::clone(&over));
            let acknowledged = Arc::clone(&acknowledged);
            tokio::spawn(async move {
                let mut seen = 0;
                while !over.load(Ordering::SeqCst) {
                    let least = acknowledged.load(Ordering::SeqCst).max(seen);
                    let record = store.tag(&repository, &latest).await.unwrap().unwrap();
                    seen = documents
                        .iter()
                        .position(|d| *d.digest() == record.digest)
                        .unwrap();
                    assert!(seen >= least, "{seen} after {least}");
                    let manifest = store.manifest(&repository, &record.digest).await.unwrap();
                    assert_eq!(&manifest.unwrap().bytes, documents[seen].bytes());
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for number in 1..COUNT {
        put(number).await;
        acknowledged.store(number, Ordering::SeqCst);
    }
    over.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.await.unwrap();
    }
}

async fn push_and_delete(store: &Store, repository: &RepositoryName, round: u64) {
    let (small, large) = (content(round, 100), content(round, 70_000));
    let document = image(&small, &[&large]);
    loop {
        put(store, repository, &small).await;
        put(store, repository, &large).await;
        let options = PutManifest::pushed(vec![tag("x")]);
        match store.put_manifest(repository, &document, options).await {
            Ok(()) => break,
            // Collected in between, since there is no grace period here.
            Err(PutError::Missing { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    for bytes in [&small, &large] {
        let found = read(store, repository, &Digest::sha256(bytes)).await;
        assert_eq!(found.unwrap().as_ref(), Some(bytes));
    }
    store
        .delete_manifest(repository, document.digest())
        .await
        .unwrap();
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_manifest_needs_survives_garbage_collection_at_every_moment(
    #[values(Kind::Files, Kind::Memory)] kind: Kind,
) {
    let folder = fast_folder();
    let store = kind.open(folder.path()).await;
    let (over, removed) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let collector = {
        let (store, over, removed) = (store.clone(), Arc::clone(&over), Arc::clone(&removed));
        tokio::spawn(async move {
            let options = GcOptions {
                grace: Duration::ZERO,
                dry_run: false,
            };
            while !over.load(Ordering::SeqCst) {
                let report = store.collect_garbage(&options).await.unwrap();
                removed.fetch_add(report.blobs, Ordering::SeqCst);
            }
        })
    };
    // All push the same layers, each to a repository of its own, and delete them again.
    let pushers: Vec<_> = (0..4)
        .map(|worker| {
            let (store, removed) = (store.clone(), Arc::clone(&removed));
            tokio::spawn(async move {
                let repository = name(&format!("r{worker}"));
                let mut round = 0;
                while removed.load(Ordering::SeqCst) < 100 {
                    round += 1;
                    push_and_delete(&store, &repository, round).await;
                }
            })
        })
        .collect();
    for pusher in pushers {
        pusher.await.unwrap();
    }
    over.store(true, Ordering::SeqCst);
    collector.await.unwrap();
    let options = GcOptions {
        grace: Duration::ZERO,
        dry_run: false,
    };
    store.collect_garbage(&options).await.unwrap();
    // Content in memory leaves no folders at all.
    let entries = std::fs::read_dir(folder.path().join("blobs/sha256"));
    for entry in entries.into_iter().flatten() {
        let path = entry.unwrap().path();
        // The mark is the one file there.
        assert!(path.is_file() || std::fs::read_dir(&path).unwrap().count() == 0);
    }
    assert_eq!(folder.path().join("blobs").exists(), kind == Kind::Files);
    assert!(!store.has_repository(&name("r0")).await.unwrap());
}

#[rstest]
#[tokio::test]
async fn one_request_at_a_time_appends_to_an_upload(
    #[values(Kind::Files, Kind::Memory)] kind: Kind,
) {
    let folder = fast_folder();
    let store = kind.open(folder.path()).await;
    let repository = name("a");
    let id = store.start_upload(&repository).await.unwrap();
    let upload = store.upload(&repository, &id).await.unwrap().unwrap();
    let (slow, stream) = slow_client();
    let first = tokio::spawn({
        let upload = upload.clone();
        async move { upload.append(None, stream).await }
    });
    for piece in ["fi", "rst"] {
        slow.send(Bytes::from_static(piece.as_bytes()))
            .await
            .unwrap();
    }
    let second = upload.append(None, chunks(b"second", 6)).await;
    assert!(matches!(second, Err(AppendError::Busy)), "{second:?}");
    let finished = upload.finish(&Digest::sha256(b"first")).await;
    assert!(matches!(finished, Err(FinishError::Busy)), "{finished:?}");
    // A sweep leaves it alone, however long it takes.
    assert_eq!(store.sweep_uploads(Duration::ZERO).await.unwrap(), 0);
    drop(slow);
    assert_eq!(first.await.unwrap().unwrap(), 5);
    upload.finish(&Digest::sha256(b"first")).await.unwrap();
}

#[rstest]
#[tokio::test]
async fn a_client_that_goes_away_leaves_an_upload_that_goes_on(
    #[values(Kind::Files, Kind::Memory)] kind: Kind,
) {
    let folder = fast_folder();
    let store = kind.open(folder.path()).await;
    let (repository, bytes) = (name("a"), content(9, 1_000_000));
    let id = store.start_upload(&repository).await.unwrap();
    let upload = store.upload(&repository, &id).await.unwrap().unwrap();
    let (slow, stream) = slow_client();
    let first = tokio::spawn({
        let upload = upload.clone();
        async move { upload.append(None, stream).await }
    });
    for part in bytes[..600_000].chunks(100_000) {
        slow.send(Bytes::copy_from_slice(part)).await.unwrap();
    }
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    // Waits for what was on its way.
    let probe = upload.append(None, chunks(b"", 1)).await.unwrap();
    assert_eq!(probe, upload.size());
    assert!(probe <= 600_000);
    let rest = &bytes[usize::try_from(probe).unwrap()..];
    upload
        .append(Some(probe), chunks(rest, 65_536))
        .await
        .unwrap();
    upload.finish(&Digest::sha256(&bytes)).await.unwrap();
}

#[tokio::test]
async fn uploads_that_nobody_continues_are_swept() {
    let folder = fast_folder();
    let store = Store::open(folder.path(), Mode::Serve).await.unwrap();
    let repository = name("a");
    let id = store.start_upload(&repository).await.unwrap();
    let upload = store.upload(&repository, &id).await.unwrap().unwrap();
    upload.append(None, chunks(b"abc", 1)).await.unwrap();
    let file = folder.path().join("staging").join(id.as_str());
    let old = SystemTime::now() - Duration::from_hours(1);
    std::fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_modified(old)
        .unwrap();
    assert_eq!(
        store.sweep_uploads(Duration::from_hours(2)).await.unwrap(),
        0
    );
    assert_eq!(
        store.sweep_uploads(Duration::from_mins(30)).await.unwrap(),
        1
    );
    assert!(!file.exists());
    assert!(store.upload(&repository, &id).await.unwrap().is_none());
    let late = upload.append(None, chunks(b"d", 1)).await;
    assert!(matches!(late, Err(AppendError::Gone)), "{late:?}");
}

#[tokio::test]
async fn starting_to_serve_sweeps_staging_and_working_beside_does_not() {
    let folder = fast_folder();
    let store = Store::open(folder.path(), Mode::Serve).await.unwrap();
    let id = store.start_upload(&name("a")).await.unwrap();
    let staging = folder.path().join("staging");
    std::fs::write(staging.join("fill-0"), b"left by a killed process").unwrap();
    let beside = Store::open(folder.path(), Mode::Beside).await.unwrap();
    assert_eq!(std::fs::read_dir(&staging).unwrap().count(), 2);
    beside.close().await;
    store.close().await;
    drop((store, beside));
    let _store = Store::open(folder.path(), Mode::Serve).await.unwrap();
    let left: Vec<_> = std::fs::read_dir(&staging)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left, [id.as_str()]);
}

#[tokio::test]
async fn a_dropped_fill_leaves_nothing() {
    let folder = fast_folder();
    let store = Store::open(folder.path(), Mode::Serve).await.unwrap();
    let digest = Digest::sha256(b"x");
    let mut fill = store.fill(&digest, None);
    for _ in 0..10 {
        fill.write(Bytes::from(vec![0; 100_000])).await.unwrap();
    }
    let mut follower = fill.follower().unwrap();
    drop(fill);
    assert!(!follower.completed().await);
    let staging = folder.path().join("staging");
    while std::fs::read_dir(&staging).unwrap().count() > 0 {
        tokio::task::yield_now().await;
    }
}
