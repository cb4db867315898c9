//! Damaged content: a clear error, never bytes that look whole; the rest goes on.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests assert by panicking"
)]

mod support;

use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use metahub_oci::Digest;
use metahub_store::{GcOptions, Mode, PutManifest, ScrubOptions, Store, StoreError};
use rstest::rstest;
use sqlx::{Connection as _, SqliteConnection};
use support::{content, fast_folder, image, name, put, read, tag};

const LARGE: usize = 3_000_000;

fn blob_file(folder: &Path, digest: &Digest) -> PathBuf {
    let hex = digest.hex();
    folder.join("blobs/sha256").join(&hex[..2]).join(hex)
}

fn flip(path: &Path, offset: u64) {
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
}

/// Runs SQL on the database of a closed store.
async fn sql(folder: &Path, statement: &'static str) {
    let url = format!("sqlite://{}", folder.join("metahub.db").display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    let done = sqlx::query(statement)
        .execute(&mut connection)
        .await
        .unwrap();
    assert!(done.rows_affected() > 0);
    connection.close().await.unwrap();
}

#[derive(Clone, Copy, Debug)]
enum Damage {
    Flip,
    Truncate,
    Remove,
    Grow,
}

fn inflict(damage: Damage, path: &Path) {
    match damage {
        Damage::Flip => flip(path, (LARGE - 5) as u64),
        Damage::Truncate => std::fs::OpenOptions::new()
            .write(true)
            .open(path)
            .unwrap()
            .set_len((LARGE / 2) as u64)
            .unwrap(),
        Damage::Remove => std::fs::remove_file(path).unwrap(),
        Damage::Grow => std::fs::OpenOptions::new()
            .write(true)
            .open(path)
            .unwrap()
            .set_len((LARGE + 1) as u64)
            .unwrap(),
    }
}

#[rstest]
#[tokio::test]
async fn a_damaged_file_is_never_served_as_whole_and_is_healed_by_the_next_push(
    #[values(Damage::Flip, Damage::Truncate, Damage::Remove, Damage::Grow)] damage: Damage,
    #[values(true, false)] restart: bool,
) {
    let folder = fast_folder();
    let (repository, bytes) = (name("a"), content(1, LARGE));
    let mut store = Store::open(folder.path(), Mode::Serve).await.unwrap();
    let digest = put(&store, &repository, &bytes).await;
    let other = put(&store, &repository, b"unharmed").await;
    if restart {
        store.close().await;
        drop(store);
        store = Store::open(folder.path(), Mode::Serve).await.unwrap();
    } else {
        assert!(read(&store, &repository, &digest).await.unwrap().is_some());
    }
    inflict(damage, &blob_file(folder.path(), &digest));
    match read(&store, &repository, &digest).await {
        // Nothing is served under the digest: the client may push it again.
        Ok(None) => assert!(matches!(damage, Damage::Remove)),
        Ok(Some(_)) => panic!("{damage:?} went unnoticed"),
        Err(error) => assert!(error.to_string().contains("damaged"), "{error}"),
    }
    if matches!(damage, Damage::Remove) {
        // Known to be gone from now on, whatever was in memory.
        assert!(store.blob(&repository, &digest).await.unwrap().is_none());
    }
    assert_eq!(
        read(&store, &repository, &other).await.unwrap().unwrap(),
        b"unharmed"
    );
    put(&store, &repository, &bytes).await;
    assert_eq!(
        read(&store, &repository, &digest).await.unwrap().unwrap(),
        bytes
    );
}

#[tokio::test]
async fn a_file_cut_while_it_is_read_ends_in_an_error() {
    let folder = fast_folder();
    let (repository, bytes) = (name("a"), content(1, 40_000_000));
    let store = Store::open(folder.path(), Mode::Serve).await.unwrap();
    let digest = put(&store, &repository, &bytes).await;
    let blob = store.blob(&repository, &digest).await.unwrap().unwrap();
    let mut stream = blob.open().await.unwrap().stream(0..u64::MAX);
    assert!(stream.try_next().await.unwrap().is_some());
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(blob_file(folder.path(), &digest))
        .unwrap();
    file.set_len(20_000_000).unwrap();
    let error = stream.try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn a_blob_deleted_while_it_is_read_is_read_to_its_end() {
    let folder = fast_folder();
    let (repository, bytes) = (name("a"), content(1, 40_000_000));
    let store = Store::open(folder.path(), Mode::Serve).await.unwrap();
    let digest = put(&store, &repository, &bytes).await;
    let blob = store.blob(&repository, &digest).await.unwrap().unwrap();
    let stream = blob.open().await.unwrap().stream(0..u64::MAX);
    assert!(store.delete_blob(&repository, &digest).await.unwrap());
    let options = GcOptions {
        grace: Duration::ZERO,
        dry_run: false,
    };
    assert_eq!(store.collect_garbage(&options).await.unwrap().blobs, 1);
    assert!(!blob_file(folder.path(), &digest).exists());
    assert_eq!(
        stream.try_collect::<Vec<_>>().await.unwrap().concat(),
        bytes
    );
}

#[tokio::test]
async fn a_blob_that_was_read_often_frees_its_space_when_it_is_collected() {
    let folder = fast_folder();
    let (repository, bytes) = (name("a"), content(1, LARGE));
    let store = Store::open(folder.path(), Mode::Serve).await.unwrap();
    let digest = put(&store, &repository, &bytes).await;
    let file = blob_file(folder.path(), &digest);
    for _ in 0..3 {
        let found = read(&store, &repository, &digest).await;
        assert_eq!(found.unwrap().unwrap(), bytes);
    }
    assert!(is_open(&file), "what is read again and again stays open");
    assert!(store.delete_blob(&repository, &digest).await.unwrap());
    let options = GcOptions {
        grace: Duration::ZERO,
        dry_run: false,
    };
    assert_eq!(store.collect_garbage(&options).await.unwrap().blobs, 1);
    // A thread that has just read may let go of the file a moment later.
    let closed = async {
        while is_open(&file) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), closed)
        .await
        .expect("the file is closed");
}

/// Whether this process has the file open, or had it when it was removed.
fn is_open(file: &Path) -> bool {
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .any(|link| link.to_string_lossy().contains(&name))
}

#[tokio::test]
async fn scrub_puts_damaged_files_aside_and_says_whom_it_concerns() {
    let folder = fast_folder();
    let (one, two) = (name("a"), name("b"));
    let store = Store::open(folder.path(), Mode::Serve).await.unwrap();
    let good = put(&store, &one, &content(1, LARGE)).await;
    let bad = put(&store, &one, &content(2, LARGE)).await;
    let gone = put(&store, &one, &content(3, LARGE)).await;
    put(&store, &one, b"{}").await;
    assert!(store.mount(&one, &two, &bad).await.unwrap());
    let document = image(b"{}", &[&content(2, LARGE)]);
    let options = PutManifest {
        sources: vec!["docker.io/x/y:1".into()],
        ..PutManifest::pushed(vec![])
    };
    store.put_manifest(&one, &document, options).await.unwrap();
    assert!(
        store
            .scrub(ScrubOptions::default(), |_| {})
            .await
            .unwrap()
            .is_clean()
    );
    flip(&blob_file(folder.path(), &bad), 17);
    std::fs::remove_file(blob_file(folder.path(), &gone)).unwrap();
    let dry = ScrubOptions {
        dry_run: true,
        ..ScrubOptions::default()
    };
    assert_eq!(store.scrub(dry, |_| {}).await.unwrap().blobs.len(), 2);
    let mut last = None;
    let report = store
        .scrub(ScrubOptions::default(), |p| last = Some(p))
        .await
        .unwrap();
    assert_eq!(last, Some(report.progress));
    assert_eq!((report.progress.checked, report.progress.total), (5, 5));
    let finding = report.blobs.iter().find(|f| f.digest == bad).unwrap();
    assert_eq!(finding.repositories, [one.clone(), two.clone()]);
    assert_eq!(finding.sources, ["docker.io/x/y:1"]);
    assert!(
        report
            .blobs
            .iter()
            .any(|f| f.digest == gone && f.problem.contains("missing"))
    );
    assert!(report.missing.iter().any(|f| f.digest == bad));
    assert!(folder.path().join("quarantine").join(bad.hex()).exists());
    for repository in [&one, &two] {
        assert!(store.blob(repository, &bad).await.unwrap().is_none());
    }
    assert!(read(&store, &one, &good).await.unwrap().is_some());
    put(&store, &one, &content(2, LARGE)).await;
    assert!(
        store
            .scrub(ScrubOptions::default(), |_| {})
            .await
            .unwrap()
            .is_clean()
    );
}

#[tokio::test]
async fn damaged_rows_are_found_told_and_healed() {
    let folder = fast_folder();
    let repository = name("a");
    let document = image(b"{}", &[]);
    let store = Store::open(folder.path(), Mode::Serve).await.unwrap();
    let small = put(&store, &repository, b"{}").await;
    let options = PutManifest::pushed(vec![tag("x")]);
    store
        .put_manifest(&repository, &document, options.clone())
        .await
        .unwrap();
    store.close().await;
    drop(store);
    sql(folder.path(), "UPDATE blobs SET body = x'7b7c'").await;
    sql(
        folder.path(),
        "UPDATE manifests SET body = CAST(body || x'20' AS BLOB)",
    )
    .await;
    let store = Store::open(folder.path(), Mode::Serve).await.unwrap();
    let error = read(&store, &repository, &small).await.unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
    let blob = store.blob(&repository, &small).await.unwrap().unwrap();
    assert!(matches!(
        blob.read(10).await,
        Err(StoreError::Damaged { .. })
    ));
    let manifest = store.manifest(&repository, document.digest()).await;
    assert!(matches!(manifest, Err(StoreError::Damaged { .. })));
    let report = store.scrub(ScrubOptions::default(), |_| {}).await.unwrap();
    assert_eq!(report.blobs[0].digest, small);
    assert_eq!(report.manifests[0].digest, *document.digest());
    assert_eq!(
        report.manifests[0].repositories,
        std::slice::from_ref(&repository)
    );
    put(&store, &repository, b"{}").await;
    store
        .put_manifest(&repository, &document, options)
        .await
        .unwrap();
    assert_eq!(
        read(&store, &repository, &small).await.unwrap().unwrap(),
        b"{}"
    );
    let manifest = store
        .manifest(&repository, document.digest())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&manifest.bytes, document.bytes());
    assert!(
        store
            .scrub(ScrubOptions::default(), |_| {})
            .await
            .unwrap()
            .is_clean()
    );
}

#[rstest]
#[case::repository("UPDATE repositories SET name = 'Not/A Name'")]
#[case::tag("UPDATE tags SET name = '.no'")]
#[case::origin("UPDATE repo_manifests SET origin = 7")]
#[case::digest("UPDATE manifests SET digest = x'09'")]
#[case::size("UPDATE blobs SET size = -1")]
#[tokio::test]
async fn rows_that_make_no_sense_give_errors_and_nothing_else(#[case] statement: &'static str) {
    let folder = fast_folder();
    let repository = name("a");
    let document = image(b"{}", &[]);
    let store = Store::open(folder.path(), Mode::Serve).await.unwrap();
    let small = put(&store, &repository, b"{}").await;
    let options = PutManifest::pushed(vec![tag("x")]);
    store
        .put_manifest(&repository, &document, options)
        .await
        .unwrap();
    store.close().await;
    drop(store);
    sql(folder.path(), statement).await;
    let store = Store::open(folder.path(), Mode::Serve).await.unwrap();
    let mut corrupt = 0;
    let mut note = |result: Result<(), StoreError>| match result {
        Ok(()) => {}
        Err(StoreError::Corrupt { .. }) => corrupt += 1,
        Err(other) => panic!("{other}"),
    };
    note(store.repositories(None, 10).await.map(drop));
    note(store.tags(&repository, None, 10).await.map(drop));
    note(store.tag(&repository, &tag("x")).await.map(drop));
    note(
        store
            .manifest(&repository, document.digest())
            .await
            .map(drop),
    );
    note(store.blob(&repository, &small).await.map(drop));
    assert!(corrupt > 0);
    let fresh = name("fresh");
    put(&store, &fresh, b"fresh").await;
    assert!(store.scrub(ScrubOptions::default(), |_| {}).await.is_ok());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_said_to_be_damaged() {
    let folder = fast_folder();
    std::fs::write(folder.path().join("metahub.db"), vec![b'x'; 10_000]).unwrap();
    let error = Store::open(folder.path(), Mode::Serve).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
}

#[tokio::test]
async fn a_database_of_a_later_version_is_left_alone() {
    let folder = fast_folder();
    let store = Store::open(folder.path(), Mode::Serve).await.unwrap();
    store.close().await;
    drop(store);
    sql(
        folder.path(),
        "INSERT INTO _sqlx_migrations
         SELECT 9999, description, installed_on, success, checksum, execution_time
         FROM _sqlx_migrations WHERE version = 1",
    )
    .await;
    let error = Store::open(folder.path(), Mode::Serve).await.unwrap_err();
    assert!(matches!(error, StoreError::Newer(9999)), "{error:?}");
}
