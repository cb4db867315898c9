//! Content that is out of reach is not content that is lost: nothing is removed, dropped or stored
//! while the folder of blobs is empty, another one, or not of the database's time.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests assert by panicking"
)]

mod support;

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use metahub_oci::{Digest, RepositoryName};
use metahub_store::{
    GcOptions, Mode, Options, PutBlobError, PutManifest, ScrubOptions, ScrubReport, Store,
    StoreError,
};
use rstest::rstest;
use support::{blob_file, content, copy_folder, fast_folder, image, name, put, read, tag};

const LAYER: usize = 70_000;
const CONFIG: &[u8] = b"{}";

/// Pushes `images` images of one layer each.
async fn push(store: &Store, repository: &RepositoryName, images: u64) -> Vec<Digest> {
    let mut layers = Vec::new();
    put(store, repository, CONFIG).await;
    for image_number in 0..images {
        let layer = content(image_number + 1, LAYER);
        layers.push(put(store, repository, &layer).await);
        let document = image(CONFIG, &[&layer]);
        let options = PutManifest::pushed(vec![tag(&format!("t{image_number}"))]);
        store
            .put_manifest(repository, &document, options)
            .await
            .unwrap();
    }
    layers
}

async fn filled(folder: &Path, images: u64) -> Vec<Digest> {
    let store = Store::open(folder, Mode::Serve).await.unwrap();
    let layers = push(&store, &name("a"), images).await;
    store.close().await;
    layers
}

async fn all_readable(folder: &Path, layers: &[Digest]) {
    let store = Store::open(folder, Mode::Serve).await.unwrap();
    let report = store.scrub(ScrubOptions::default(), |_| {}).await.unwrap();
    assert!(report.is_clean(), "{report:?}");
    for (number, layer) in layers.iter().enumerate() {
        let found = read(&store, &name("a"), layer).await.unwrap();
        assert_eq!(found.unwrap(), content(number as u64 + 1, LAYER));
    }
    store.close().await;
}

fn everything() -> GcOptions {
    GcOptions {
        grace: Duration::ZERO,
        dry_run: false,
    }
}

fn accepting() -> Options {
    Options {
        accept_loss: true,
        ..Options::default()
    }
}

/// What may happen to the folder of blobs.
#[derive(Clone, Copy, Debug)]
enum Mishap {
    /// The file system is not mounted: the folder is there and empty.
    NotMounted,
    /// It is not even there.
    Gone,
    /// One algorithm's folder is empty.
    OneNotMounted,
    /// Another data folder's blobs are mounted.
    Another,
    /// Some of the 256 folders are gone.
    SomeFolders,
    /// All files are gone, folders and marks are there.
    Files,
    /// A third of the files is.
    SomeFiles,
}

/// Lets it happen; what is put back afterwards is what was moved to `aside`.
fn happen(mishap: Mishap, folder: &Path, layers: &[Digest], aside: &Path) {
    let blobs = folder.join("blobs");
    copy_folder(&blobs, aside);
    match mishap {
        Mishap::NotMounted => {
            fs::remove_dir_all(&blobs).unwrap();
            fs::create_dir(&blobs).unwrap();
        }
        Mishap::Gone => fs::remove_dir_all(&blobs).unwrap(),
        Mishap::OneNotMounted => {
            fs::remove_dir_all(blobs.join("sha256")).unwrap();
            fs::create_dir(blobs.join("sha256")).unwrap();
        }
        Mishap::Another => {
            for algorithm in ["sha256", "sha512"] {
                let text = r#"{"store":"another","epoch":1}"#;
                fs::write(blobs.join(algorithm).join("store.json"), text).unwrap();
            }
        }
        Mishap::SomeFolders => {
            for layer in layers.iter().step_by(3) {
                let folder = blob_file(folder, layer).parent().unwrap().to_owned();
                let _ = fs::remove_dir_all(folder);
            }
        }
        Mishap::Files => layers.iter().for_each(|layer| {
            fs::remove_file(blob_file(folder, layer)).unwrap();
        }),
        Mishap::SomeFiles => layers.iter().step_by(3).for_each(|layer| {
            fs::remove_file(blob_file(folder, layer)).unwrap();
        }),
    }
}

fn undo(folder: &Path, aside: &Path) {
    fs::remove_dir_all(folder.join("blobs")).unwrap_or_default();
    copy_folder(aside, &folder.join("blobs"));
}

#[rstest]
#[tokio::test]
async fn a_folder_of_blobs_that_is_not_in_place_is_not_opened_and_nothing_is_lost(
    #[values(
        Mishap::NotMounted,
        Mishap::Gone,
        Mishap::OneNotMounted,
        Mishap::Another,
        Mishap::SomeFolders,
        Mishap::Files,
        Mishap::SomeFiles
    )]
    mishap: Mishap,
    #[values(2, 7)] images: u64,
) {
    if images < 5 && matches!(mishap, Mishap::SomeFiles | Mishap::SomeFolders) {
        // One file of two, which is not told from a single loss.
        return;
    }
    let (folder, aside) = (fast_folder(), fast_folder());
    let layers = filled(folder.path(), images).await;
    happen(mishap, folder.path(), &layers, aside.path());
    let refused = Store::open(folder.path(), Mode::Serve).await;
    assert!(
        matches!(refused, Err(StoreError::ContentAbsent { .. })),
        "{mishap:?}: {refused:?}"
    );
    // Accounts can be looked after meanwhile, which makes no folders where a mount belongs.
    let beside = Store::open(folder.path(), Mode::Beside).await.unwrap();
    beside.accounts().await.unwrap();
    beside.close().await;
    undo(folder.path(), aside.path());
    all_readable(folder.path(), &layers).await;
}

#[rstest]
#[case::not_mounted(Mishap::NotMounted)]
#[case::gone(Mishap::Gone)]
#[case::another(Mishap::Another)]
#[tokio::test]
async fn a_folder_that_goes_while_the_store_is_open_loses_nothing(#[case] mishap: Mishap) {
    let (folder, aside) = (fast_folder(), fast_folder());
    let (repository, layers) = (name("a"), filled(folder.path(), 3).await);
    let store = Store::open(folder.path(), Mode::Serve).await.unwrap();
    let garbage = put(&store, &repository, &content(50, LAYER)).await;
    happen(mishap, folder.path(), &layers, aside.path());
    let absent = |result: Result<(), StoreError>, what: &str| {
        assert!(
            matches!(result, Err(StoreError::ContentAbsent { .. })),
            "{what}: {result:?}"
        );
    };
    let scrubbed = store.scrub(ScrubOptions::default(), |_| {}).await;
    absent(scrubbed.map(drop), "scrub");
    let accepted = ScrubOptions {
        accept_loss: true,
        ..ScrubOptions::default()
    };
    absent(
        store.scrub(accepted, |_| {}).await.map(drop),
        "scrub accepting loss",
    );
    absent(store.collect_garbage(&everything()).await.map(drop), "gc");
    let evicted = store
        .evict(&repository, &layers[0], SystemTime::now())
        .await;
    absent(evicted.map(drop), "eviction");
    absent(
        store
            .evict_unreferenced(Duration::ZERO, Duration::ZERO)
            .await
            .map(drop),
        "eviction of unreferenced blobs",
    );
    // What is stored now would be hidden by the mount.
    let bytes = content(60, LAYER);
    let pushed = store
        .put_blob(&repository, &Digest::sha256(&bytes), bytes.into())
        .await;
    assert!(matches!(
        pushed,
        Err(PutBlobError::Store(StoreError::ContentAbsent { .. }))
    ));
    if !matches!(mishap, Mishap::Another) {
        let found = store.blob(&repository, &layers[1]).await;
        absent(
            found.map(drop),
            "a blob that is out of reach is not said to be none",
        );
    }
    undo(folder.path(), aside.path());
    store.close().await;
    drop(store);
    let mut all = layers.clone();
    all.truncate(3);
    all_readable(folder.path(), &all).await;
    let store = Store::open(folder.path(), Mode::Serve).await.unwrap();
    assert!(read(&store, &repository, &garbage).await.unwrap().is_some());
}

#[tokio::test]
async fn scrub_drops_a_missing_file_and_not_many_and_what_comes_back_is_readable() {
    let folder = fast_folder();
    let (repository, layers) = (name("a"), filled(folder.path(), 12).await);
    let store = Store::open(folder.path(), Mode::Serve).await.unwrap();
    let aside = fast_folder();
    copy_folder(&folder.path().join("blobs"), aside.path());
    // Removed behind the store's back, with the marks still there.
    for layer in &layers[..4] {
        fs::remove_file(blob_file(folder.path(), layer)).unwrap();
    }
    let report = store.scrub(ScrubOptions::default(), |_| {}).await.unwrap();
    assert_eq!(
        (report.absent, report.files, report.blobs.len()),
        (4, 12, 4)
    );
    assert!(report.withheld.is_some(), "{report:?}");
    assert!(
        !report.is_clean() && report.missing.is_empty(),
        "{report:?}"
    );
    // Put back: as before.
    undo(folder.path(), aside.path());
    let report = store.scrub(ScrubOptions::default(), |_| {}).await.unwrap();
    assert!(report.is_clean(), "{report:?}");
    // One alone is a loss.
    fs::remove_file(blob_file(folder.path(), &layers[0])).unwrap();
    let report = store.scrub(ScrubOptions::default(), |_| {}).await.unwrap();
    assert_eq!((report.absent, report.withheld.as_ref()), (1, None));
    assert_eq!(report.missing.len(), 1, "a manifest names it");
    // Back after all, and not collected as a file without a row.
    undo(folder.path(), aside.path());
    let collected = store.collect_garbage(&everything()).await.unwrap();
    assert_eq!(collected.files, 0, "{collected:?}");
    let report = store.scrub(ScrubOptions::default(), |_| {}).await.unwrap();
    assert_eq!(report.adopted, [layers[0].clone()]);
    assert!(report.is_clean(), "{report:?}");
    let found = read(&store, &repository, &layers[0]).await.unwrap();
    assert_eq!(found.unwrap(), content(1, LAYER));
}

#[tokio::test]
async fn a_loss_is_accepted_when_somebody_says_so() {
    let (folder, aside) = (fast_folder(), fast_folder());
    let layers = filled(folder.path(), 5).await;
    happen(Mishap::NotMounted, folder.path(), &layers, aside.path());
    let store = Store::open_with(folder.path(), Mode::Serve, accepting())
        .await
        .unwrap();
    let options = ScrubOptions {
        accept_loss: true,
        ..ScrubOptions::default()
    };
    let report = store.scrub(options, |_| {}).await.unwrap();
    assert_eq!((report.absent, report.withheld), (5, None));
    store.close().await;
    drop(store);
    // An ordinary folder again, into which the lost can be pushed.
    let store = Store::open(folder.path(), Mode::Serve).await.unwrap();
    assert!(store.blob(&name("a"), &layers[0]).await.unwrap().is_none());
    push(&store, &name("a"), 5).await;
    store.close().await;
    drop(store);
    all_readable(folder.path(), &layers).await;
}

#[tokio::test]
async fn many_damaged_files_stay_where_they_are() {
    let folder = fast_folder();
    let layers = filled(folder.path(), 12).await;
    let store = Store::open(folder.path(), Mode::Serve).await.unwrap();
    for layer in &layers {
        fs::write(blob_file(folder.path(), layer), vec![0; LAYER]).unwrap();
    }
    let report = store.scrub(ScrubOptions::default(), |_| {}).await.unwrap();
    assert_eq!(report.damaged, 12);
    assert!(report.withheld.is_some());
    assert!(!folder.path().join("quarantine").exists());
    let options = ScrubOptions {
        accept_loss: true,
        ..ScrubOptions::default()
    };
    store.scrub(options, |_| {}).await.unwrap();
    assert_eq!(
        fs::read_dir(folder.path().join("quarantine"))
            .unwrap()
            .count(),
        12
    );
}

/// What scrub says of a folder.
async fn scrubbed(folder: &Path) -> ScrubReport {
    let store = Store::open(folder, Mode::Serve).await.unwrap();
    let report = store.scrub(ScrubOptions::default(), |_| {}).await.unwrap();
    store.close().await;
    report
}

fn restore_database(from: &Path, to: &Path) {
    for end in ["", "-wal", "-shm"] {
        let file = format!("metahub.db{end}");
        let _ = fs::remove_file(to.join(&file));
        if from.join(&file).exists() {
            fs::copy(from.join(&file), to.join(&file)).unwrap();
        }
    }
}

#[tokio::test]
async fn a_database_older_than_its_blobs_is_told_and_removes_none_of_them() {
    let (folder, before, after) = (fast_folder(), fast_folder(), fast_folder());
    filled(folder.path(), 2).await;
    copy_folder(folder.path(), before.path());
    let layers = filled(folder.path(), 6).await;
    copy_folder(folder.path(), after.path());
    restore_database(before.path(), folder.path());
    let store = Store::open(folder.path(), Mode::Serve).await.unwrap();
    assert!(store.suspect().unwrap().contains("the database is older"));
    // The newer database may be found yet.
    let collected = store.collect_garbage(&everything()).await;
    assert!(
        matches!(collected, Err(StoreError::ContentAbsent { .. })),
        "{collected:?}"
    );
    let evicted = store
        .evict_unreferenced(Duration::ZERO, Duration::ZERO)
        .await;
    assert!(
        matches!(evicted, Err(StoreError::ContentAbsent { .. })),
        "{evicted:?}"
    );
    let report = store.scrub(ScrubOptions::default(), |_| {}).await.unwrap();
    assert_eq!(report.orphans, 4);
    assert!(!report.is_clean(), "{report:?}");
    assert!(
        report.notes[0].contains("the database is older"),
        "{report:?}"
    );
    store.close().await;
    drop(store);
    // Still known after another start.
    assert!(scrubbed(folder.path()).await.notes[0].contains("the database is older"));
    // The newer database is found: nothing is lost.
    restore_database(after.path(), folder.path());
    let store = Store::open(folder.path(), Mode::Serve).await.unwrap();
    let report = store.scrub(ScrubOptions::default(), |_| {}).await.unwrap();
    assert!(report.is_clean(), "{report:?}");
    store.close().await;
    drop(store);
    all_readable(folder.path(), &layers).await;
}

#[tokio::test]
async fn blobs_older_than_their_database_are_told() {
    let (folder, before) = (fast_folder(), fast_folder());
    filled(folder.path(), 20).await;
    copy_folder(folder.path(), before.path());
    filled(folder.path(), 21).await;
    undo(folder.path(), &before.path().join("blobs"));
    let report = scrubbed(folder.path()).await;
    assert_eq!(report.absent, 1);
    assert!(
        report.notes[0].contains("the blobs are older"),
        "{report:?}"
    );
}

#[tokio::test]
async fn a_new_database_over_content_is_not_opened() {
    let (folder, aside) = (fast_folder(), fast_folder());
    let layers = filled(folder.path(), 3).await;
    copy_folder(folder.path(), aside.path());
    restore_database(&aside.path().join("blobs"), folder.path());
    assert!(!folder.path().join("metahub.db").exists());
    let refused = Store::open(folder.path(), Mode::Serve).await;
    assert!(
        matches!(refused, Err(StoreError::ContentAbsent { .. })),
        "{refused:?}"
    );
    restore_database(aside.path(), folder.path());
    all_readable(folder.path(), &layers).await;
}
