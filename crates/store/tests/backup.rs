//! Backups are whole at every moment, made while others push and collect garbage, cost what is
//! new, and come back with every digest checked.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests assert by panicking"
)]

mod support;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use metahub_oci::Digest;
use metahub_store::{
    BackupOptions, Copying, GcOptions, Mode, Options, PutManifest, Redacted, RestoreOptions,
    RestoreReport, Steps, Store, StoreError, restore,
};
use support::{blob_file, content, copy_folder, fast_folder, files, image, name, put, read, tag};

const LAYER: usize = 70_000;
const CONFIG: &[u8] = b"{}";
const PLAIN: BackupOptions = BackupOptions { prune: false };

async fn push(store: &Store, numbers: std::ops::Range<u64>) {
    let repository = name("a");
    put(store, &repository, CONFIG).await;
    for number in numbers {
        let layer = content(number + 1, LAYER);
        put(store, &repository, &layer).await;
        let options = PutManifest::pushed(vec![tag(&format!("t{number}"))]);
        let document = image(CONFIG, &[&layer]);
        store
            .put_manifest(&repository, &document, options)
            .await
            .unwrap();
    }
}

async fn restored(from: &Path) -> (tempfile::TempDir, RestoreReport) {
    let parent = fast_folder();
    let options = RestoreOptions { verify: true };
    let report = restore(from, &parent.path().join("new"), options, |_| {})
        .await
        .unwrap();
    (parent, report)
}

/// A folder restored from the backup has these images, whole.
async fn holds(from: &Path, numbers: std::ops::Range<u64>) {
    let (parent, report) = restored(from).await;
    assert!(report.is_whole(), "{report:?}");
    let store = Store::open(&parent.path().join("new"), Mode::Serve)
        .await
        .unwrap();
    assert_eq!(store.suspect(), None);
    for number in numbers {
        let layer = content(number + 1, LAYER);
        let document = image(CONFIG, &[&layer]);
        let record = store
            .tag(&name("a"), &tag(&format!("t{number}")))
            .await
            .unwrap();
        assert_eq!(record.unwrap().digest, *document.digest());
        let found = read(&store, &name("a"), &Digest::sha256(&layer))
            .await
            .unwrap();
        assert_eq!(found.unwrap(), layer);
    }
    store.close().await;
}

#[tokio::test]
async fn a_backup_is_restored_with_accounts_keys_and_files_and_copies_only_what_is_new() {
    let (data, parent) = (fast_folder(), fast_folder());
    let target = parent.path().join("backup");
    let store = Store::open(data.path(), Mode::Serve).await.unwrap();
    push(&store, 0..3).await;
    store
        .add_account("alice", "admin", Redacted::new("hash".into()))
        .await
        .unwrap();
    let key = store.secret("tokens").await.unwrap();
    fs::create_dir(data.path().join("upstream-logins")).unwrap();
    fs::write(data.path().join("upstream-logins/alice.json"), "{}").unwrap();
    let mut last = Copying::default();
    let report = store
        .backup(&target, PLAIN, |now| last = now)
        .await
        .unwrap();
    assert_eq!(
        (report.blobs, report.copied, report.copied_bytes),
        (3, 3, 3 * LAYER as u64)
    );
    assert_eq!(
        (last.bytes, last.total),
        (3 * LAYER as u64, 3 * LAYER as u64)
    );
    push(&store, 3..5).await;
    let report = store.backup(&target, PLAIN, |_| {}).await.unwrap();
    assert_eq!(
        (report.blobs, report.copied),
        (5, 2),
        "what is there is not copied again"
    );
    for (path, _) in files(&target) {
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", path.display());
    }
    holds(&target, 0..5).await;
    let (parent, _) = restored(&target).await;
    let new = parent.path().join("new");
    let again = Store::open(&new, Mode::Serve).await.unwrap();
    assert_eq!(
        again.accounts().await.unwrap(),
        store.accounts().await.unwrap()
    );
    assert_eq!(again.secret("tokens").await.unwrap(), key);
    assert_eq!(
        fs::read(new.join("upstream-logins/alice.json")).unwrap(),
        b"{}"
    );
    // It goes on where the first one ended, into the same backup.
    push(&again, 5..6).await;
    let report = again.backup(&target, PLAIN, |_| {}).await.unwrap();
    assert_eq!((report.blobs, report.copied), (6, 1));
}

#[tokio::test]
async fn former_blobs_stay_unless_they_are_pruned() {
    let (data, target) = (fast_folder(), fast_folder());
    let store = Store::open(data.path(), Mode::Serve).await.unwrap();
    push(&store, 0..3).await;
    store.backup(target.path(), PLAIN, |_| {}).await.unwrap();
    let gone = image(CONFIG, &[&content(1, LAYER)]);
    assert!(
        store
            .delete_manifest(&name("a"), gone.digest())
            .await
            .unwrap()
    );
    let options = GcOptions {
        grace: Duration::ZERO,
        dry_run: false,
    };
    assert_eq!(store.collect_garbage(&options).await.unwrap().blobs, 1);
    let report = store.backup(target.path(), PLAIN, |_| {}).await.unwrap();
    assert_eq!((report.blobs, report.pruned), (2, 0));
    let file = blob_file(target.path(), &Digest::sha256(&content(1, LAYER)));
    assert!(file.exists());
    let prune = BackupOptions { prune: true };
    let report = store.backup(target.path(), prune, |_| {}).await.unwrap();
    assert_eq!((report.blobs, report.pruned), (2, 1));
    assert!(!file.exists());
    holds(target.path(), 1..3).await;
}

#[tokio::test]
async fn a_backup_is_whole_while_others_push_delete_and_collect() {
    let (data, target) = (fast_folder(), fast_folder());
    let store = Store::open(data.path(), Mode::Serve).await.unwrap();
    push(&store, 0..8).await;
    let over = Arc::new(AtomicBool::new(false));
    let (busy, stop) = (store.clone(), over.clone());
    let work = tokio::spawn(async move {
        let mut number = 100;
        while !stop.load(Ordering::SeqCst) {
            push(&busy, number..number + 1).await;
            let document = image(CONFIG, &[&content(number + 1, LAYER)]);
            busy.delete_manifest(&name("a"), document.digest())
                .await
                .unwrap();
            number += 1;
        }
    });
    let (collecting, stop) = (store.clone(), over.clone());
    let collect = tokio::spawn(async move {
        let options = GcOptions {
            grace: Duration::ZERO,
            dry_run: false,
        };
        while !stop.load(Ordering::SeqCst) {
            collecting.collect_garbage(&options).await.unwrap();
        }
    });
    for _ in 0..5 {
        let report = store.backup(target.path(), PLAIN, |_| {}).await.unwrap();
        assert!(report.is_whole(), "{report:?}");
        let (_parent, report) = restored(target.path()).await;
        let verified = report.verified.unwrap();
        assert!(
            report.missing.is_empty() && verified.blobs.is_empty(),
            "{verified:?}"
        );
    }
    over.store(true, Ordering::SeqCst);
    work.await.unwrap();
    collect.await.unwrap();
    store.backup(target.path(), PLAIN, |_| {}).await.unwrap();
    // Images that are collected have their blobs pushed again: those that stay are all here.
    let (_parent, report) = restored(target.path()).await;
    assert!(report.is_whole(), "{report:?}");
}

#[tokio::test]
async fn a_backup_that_breaks_off_anywhere_leaves_the_former_and_goes_on() {
    let data = fast_folder();
    let (count, failing) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(usize::MAX)),
    );
    let (counted, fails) = (count.clone(), failing.clone());
    let steps = Steps::new(move |_| {
        let step = counted.fetch_add(1, Ordering::SeqCst);
        match fails.load(Ordering::SeqCst) == step {
            true => Err(io::Error::from_raw_os_error(28)),
            false => Ok(()),
        }
    });
    let options = Options {
        steps,
        ..Options::default()
    };
    let store = Store::open_with(data.path(), Mode::Serve, options)
        .await
        .unwrap();
    push(&store, 0..2).await;
    let former = fast_folder();
    store.backup(former.path(), PLAIN, |_| {}).await.unwrap();
    push(&store, 2..5).await;
    let mut broken = 0;
    for step in 0.. {
        let target = fast_folder();
        copy_folder(former.path(), target.path());
        count.store(0, Ordering::SeqCst);
        failing.store(step, Ordering::SeqCst);
        let outcome = store.backup(target.path(), PLAIN, |_| {}).await;
        failing.store(usize::MAX, Ordering::SeqCst);
        let Err(error) = outcome else {
            break;
        };
        assert!(matches!(error, StoreError::NoSpace(_)), "{error:?}");
        broken += 1;
        holds(target.path(), 0..2).await;
        let report = store.backup(target.path(), PLAIN, |_| {}).await.unwrap();
        assert!(report.is_whole() && report.copied <= 3, "{report:?}");
        holds(target.path(), 0..5).await;
    }
    // The database, five blobs, putting it in place.
    assert_eq!(broken, 7);
}

#[tokio::test]
async fn a_folder_that_is_something_else_is_not_written_to() {
    let (data, other) = (fast_folder(), fast_folder());
    let store = Store::open(data.path(), Mode::Serve).await.unwrap();
    push(&store, 0..1).await;
    fs::write(other.path().join("thesis.tex"), "words").unwrap();
    let second = fast_folder();
    let stranger = Store::open(second.path(), Mode::Serve).await.unwrap();
    let of_stranger = fast_folder();
    stranger
        .backup(of_stranger.path(), PLAIN, |_| {})
        .await
        .unwrap();
    for target in [
        other.path(),
        second.path(),
        of_stranger.path(),
        data.path(),
        &data.path().join("backup"),
        data.path().parent().unwrap(),
    ] {
        let before = files(&target.join("blobs")).len();
        let refused = store.backup(target, PLAIN, |_| {}).await;
        assert!(
            matches!(refused, Err(StoreError::Backup { .. })),
            "{}: {refused:?}",
            target.display()
        );
        assert_eq!(files(&target.join("blobs")).len(), before);
    }
    assert!(!data.path().join("backup").exists());
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_target_that_is_not_empty_is_not_restored_into_and_no_backup_is_not_restored() {
    let (data, target) = (fast_folder(), fast_folder());
    let store = Store::open(data.path(), Mode::Serve).await.unwrap();
    push(&store, 0..2).await;
    store.backup(target.path(), PLAIN, |_| {}).await.unwrap();
    let options = RestoreOptions::default();
    let refused = restore(target.path(), data.path(), options, |_| {}).await;
    assert!(
        matches!(refused, Err(StoreError::Backup { .. })),
        "{refused:?}"
    );
    let new = fast_folder();
    let refused = restore(data.path(), new.path(), options, |_| {}).await;
    assert!(
        matches!(refused, Err(StoreError::Backup { .. })),
        "{refused:?}"
    );
    // One that broke off is not served, and goes on.
    fs::write(new.path().join("restoring"), store.id().unwrap()).unwrap();
    for mode in [Mode::Serve, Mode::Beside] {
        let refused = Store::open(new.path(), mode).await;
        assert!(
            matches!(refused, Err(StoreError::Restoring(_))),
            "{refused:?}"
        );
    }
    let report = restore(target.path(), new.path(), options, |_| {})
        .await
        .unwrap();
    assert_eq!(report.blobs, 2);
    Store::open(new.path(), Mode::Serve).await.unwrap();
}

#[tokio::test]
async fn what_is_damaged_is_named_and_never_copied() {
    let (data, target) = (fast_folder(), fast_folder());
    let store = Store::open(data.path(), Mode::Serve).await.unwrap();
    push(&store, 0..1).await;
    store.backup(target.path(), PLAIN, |_| {}).await.unwrap();
    push(&store, 1..4).await;
    let digest = |number: u64| Digest::sha256(&content(number + 1, LAYER));
    // The first is safe in the backup; of the second nothing is left, the third is damaged.
    for number in [0, 2] {
        fs::write(blob_file(data.path(), &digest(number)), vec![0; LAYER]).unwrap();
    }
    fs::remove_file(blob_file(data.path(), &digest(1))).unwrap();
    let report = store.backup(target.path(), PLAIN, |_| {}).await.unwrap();
    assert_eq!(
        (report.missing, report.damaged),
        (vec![digest(1)], vec![digest(2)])
    );
    // In the backup itself, too.
    fs::write(blob_file(target.path(), &digest(3)), vec![0; LAYER]).unwrap();
    let (_parent, report) = restored(target.path()).await;
    assert!(!report.is_whole());
    assert_eq!(report.blobs, 1);
    assert_eq!(report.missing, [digest(1), digest(2)]);
    assert_eq!(report.damaged, [digest(3)]);
}

#[tokio::test]
async fn restoring_only_the_database_or_only_the_blobs_is_told() {
    let (data, target) = (fast_folder(), fast_folder());
    let store = Store::open(data.path(), Mode::Serve).await.unwrap();
    push(&store, 0..3).await;
    store.backup(target.path(), PLAIN, |_| {}).await.unwrap();
    push(&store, 3..4).await;
    // No start in between: the backup itself began another epoch.
    store.close().await;
    drop(store);
    for end in ["-wal", "-shm"] {
        let _ = fs::remove_file(data.path().join(format!("metahub.db{end}")));
    }
    fs::copy(
        target.path().join("metahub.db"),
        data.path().join("metahub.db"),
    )
    .unwrap();
    let store = Store::open(data.path(), Mode::Serve).await.unwrap();
    assert!(store.suspect().unwrap().contains("the database is older"));
}
