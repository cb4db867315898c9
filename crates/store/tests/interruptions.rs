//! What was acknowledged of an upload survives an interruption at every step of its end: a kill
//! and a failure.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests assert by panicking"
)]

mod support;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use metahub_oci::Digest;
use metahub_store::{Mode, Options, ScrubOptions, Steps, Store};
use parking_lot::Mutex;
use rstest::rstest;
use support::{chunks, content, fast_folder, killed, name, put, read};

const SIZE: usize = 200_000;

/// The steps of publishing an upload.
const STEPS: [&str; 5] = [
    "note that it is published",
    "move a blob to",
    "make durable",
    "enter",
    "remove the note",
];

fn options(told: impl Fn(&'static str) -> io::Result<()> + Send + Sync + 'static) -> Options {
    Options {
        steps: Steps::new(told),
        ..Options::default()
    }
}

/// Goes on with the upload, which holds all that was acknowledged, or finds the blob.
async fn goes_on(folder: &Path, id: &metahub_store::UploadId, known: bool) {
    let (repository, bytes) = (name("a"), content(1, SIZE));
    let digest = Digest::sha256(&bytes);
    let store = Store::open(folder, Mode::Serve).await.unwrap();
    if known {
        let found = read(&store, &name("b"), &digest).await.unwrap();
        assert_eq!(found.unwrap(), bytes, "what another repository holds");
    }
    match store.upload(&repository, id).await.unwrap() {
        Some(upload) => {
            assert_eq!(upload.size(), SIZE as u64);
            upload
                .append(Some(SIZE as u64), chunks(b"more", 4))
                .await
                .unwrap();
            if known {
                // The upload's file is its own.
                let found = read(&store, &name("b"), &digest).await.unwrap();
                assert_eq!(found.unwrap(), bytes);
            }
            let longer = [&bytes[..], b"more"].concat();
            upload.finish(&Digest::sha256(&longer)).await.unwrap();
            let found = read(&store, &repository, &Digest::sha256(&longer))
                .await
                .unwrap();
            assert_eq!(found.unwrap(), longer);
        }
        None => {
            let found = read(&store, &repository, &digest).await.unwrap();
            assert_eq!(found.expect("neither upload nor blob"), bytes);
        }
    }
    let report = store.scrub(ScrubOptions::default(), |_| {}).await.unwrap();
    assert!(report.is_clean() && report.orphans == 0, "{report:?}");
    store.close().await;
    assert_eq!(
        std::fs::read_dir(folder.join("staging")).unwrap().count(),
        0
    );
}

#[rstest]
#[tokio::test]
async fn a_kill_at_any_step_of_the_end_keeps_what_was_acknowledged(
    #[values(false, true)] known: bool,
) {
    let folder = fast_folder();
    let left: Arc<Mutex<Vec<(&'static str, tempfile::TempDir)>>> = Arc::default();
    let recording = Arc::new(AtomicBool::new(false));
    let (path, into, record) = (folder.path().to_owned(), left.clone(), recording.clone());
    let options = options(move |step| {
        if record.load(Ordering::SeqCst) {
            into.lock().push((step, killed(&path)));
        }
        Ok(())
    });
    let store = Store::open_with(folder.path(), Mode::Serve, options)
        .await
        .unwrap();
    let (repository, bytes) = (name("a"), content(1, SIZE));
    if known {
        put(&store, &name("b"), &bytes).await;
    }
    let id = store.start_upload(&repository).await.unwrap();
    let upload = store.upload(&repository, &id).await.unwrap().unwrap();
    upload
        .append(Some(0), chunks(&bytes, 16_384))
        .await
        .unwrap();
    recording.store(true, Ordering::SeqCst);
    upload.finish(&Digest::sha256(&bytes)).await.unwrap();
    left.lock().push(("after all", killed(folder.path())));
    let left = std::mem::take(&mut *left.lock());
    let steps: Vec<_> = left.iter().map(|(step, _)| *step).collect();
    assert_eq!(steps[..5], STEPS, "every step was seen");
    for (step, folder) in left {
        println!("killed before: {step}");
        goes_on(folder.path(), &id, known).await;
    }
}

#[rstest]
#[tokio::test]
async fn a_failure_at_any_step_of_the_end_keeps_what_was_acknowledged(
    #[values(0, 1, 2, 3)] failing: usize,
    #[values(false, true)] known: bool,
    // ENOSPC, EIO.
    #[values(28, 5)] error: i32,
) {
    let folder = fast_folder();
    let fail = Arc::new(AtomicBool::new(false));
    let failing_now = fail.clone();
    let options = options(move |step| {
        if step == STEPS[failing] && failing_now.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(error));
        }
        Ok(())
    });
    let store = Store::open_with(folder.path(), Mode::Serve, options)
        .await
        .unwrap();
    let (repository, bytes) = (name("a"), content(1, SIZE));
    let digest = Digest::sha256(&bytes);
    if known {
        put(&store, &name("b"), &bytes).await;
    }
    let id = store.start_upload(&repository).await.unwrap();
    let upload = store.upload(&repository, &id).await.unwrap().unwrap();
    upload
        .append(Some(0), chunks(&bytes, 16_384))
        .await
        .unwrap();
    fail.store(true, Ordering::SeqCst);
    upload.finish(&digest).await.unwrap_err();
    fail.store(false, Ordering::SeqCst);
    // In the same process: the next request goes on where the last stood.
    let again = store.upload(&repository, &id).await.unwrap().unwrap();
    assert_eq!(again.size(), SIZE as u64);
    let left = killed(folder.path());
    again.finish(&digest).await.unwrap();
    assert_eq!(
        read(&store, &repository, &digest).await.unwrap().unwrap(),
        bytes
    );
    store.close().await;
    goes_on(left.path(), &id, known).await;
}
