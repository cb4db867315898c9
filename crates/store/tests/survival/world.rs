//! The store under failures, and what was acknowledged of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use metahub_oci::Digest;
use metahub_store::{
    BackupOptions, GcOptions, Mode, Options, PutManifest, RestoreOptions, ScrubOptions, Steps,
    Store, UploadId, restore,
};
use parking_lot::Mutex;

use crate::steps::{Failure, IMAGES, Step, Work};
use crate::support::{chunks, content, copy_folder, fast_folder, image, name, put, read, tag};

const LAYER: usize = 66_000;
const CONFIG: &[u8] = b"{}";

/// What is to happen at the steps of the store.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) seen: usize,
    pub(crate) failure: Option<Failure>,
    /// What a kill left.
    pub(crate) left: Option<tempfile::TempDir>,
}

/// What was acknowledged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Acknowledged {
    pub(crate) images: BTreeSet<u64>,
    /// Images of which either may be true.
    pub(crate) open: BTreeSet<u64>,
    pub(crate) uploads: BTreeMap<String, (u64, usize)>,
}

pub(crate) struct World {
    /// Holds the data folder and the backup.
    pub(crate) folder: tempfile::TempDir,
    pub(crate) store: Store,
    pub(crate) plan: Arc<Mutex<Plan>>,
    pub(crate) known: Acknowledged,
    pub(crate) in_backup: Option<BTreeSet<u64>>,
    pub(crate) failures: usize,
}

fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}

fn target(folder: &Path) -> PathBuf {
    folder.join("backup")
}

async fn open(folder: &Path, plan: &Arc<Mutex<Plan>>) -> Result<Store, metahub_store::StoreError> {
    let (plan, world) = (Arc::clone(plan), folder.to_owned());
    let steps = Steps::new(move |_| {
        let mut plan = plan.lock();
        let number = plan.seen;
        plan.seen += 1;
        match plan.failure {
            Some(Failure::Kill(at)) if at == number && plan.left.is_none() => {
                let copy = fast_folder();
                copy_folder(&world, copy.path());
                let _ = fs::remove_file(data(copy.path()).join("lease"));
                plan.left = Some(copy);
                Ok(())
            }
            Some(Failure::Fail(at, full)) if at == number => {
                Err(io::Error::from_raw_os_error(if full { 28 } else { 5 }))
            }
            _ => Ok(()),
        }
    });
    let options = Options {
        steps,
        ..Options::default()
    };
    Store::open_with(&data(folder), Mode::Serve, options).await
}

fn layer(number: u64) -> Vec<u8> {
    content(number + 1, LAYER)
}

fn everything() -> GcOptions {
    GcOptions {
        grace: Duration::ZERO,
        dry_run: false,
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        let (folder, plan) = (fast_folder(), Arc::default());
        let store = open(folder.path(), &plan).await.unwrap();
        Self {
            folder,
            store,
            plan,
            known: Acknowledged::default(),
            in_backup: None,
            failures: 0,
        }
    }

    async fn push(&self, number: u64) -> Result<(), String> {
        let repository = name("a");
        let bytes = layer(number);
        put(&self.store, &repository, CONFIG).await;
        let digest = Digest::sha256(&bytes);
        let document = image(CONFIG, &[&bytes]);
        let stored = self
            .store
            .put_blob(&repository, &digest, bytes.into())
            .await;
        stored.map_err(|error| error.to_string())?;
        let options = PutManifest::pushed(vec![tag(&format!("t{number}"))]);
        let put = self
            .store
            .put_manifest(&repository, &document, options)
            .await;
        put.map_err(|error| error.to_string())
    }

    /// Does one piece of work; whether it was acknowledged.
    async fn work(&mut self, work: Work) -> Result<(), String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let repository = name("a");
        match work {
            Work::Push(number) => {
                if !self.known.images.contains(&number) {
                    self.known.open.insert(number);
                }
                self.push(number).await?;
                self.known.open.remove(&number);
                self.known.images.insert(number);
            }
            Work::Delete(number) => {
                let document = image(CONFIG, &[&layer(number)]);
                self.known.images.remove(&number);
                self.known.open.insert(number);
                let deleted = self
                    .store
                    .delete_manifest(&repository, document.digest())
                    .await;
                deleted.map_err(|error| text(&error))?;
                self.known.open.remove(&number);
            }
            Work::Begin(number) => {
                let id = self.store.start_upload(&repository).await;
                let id = id.map_err(|error| text(&error))?;
                let upload = self.store.upload(&repository, &id).await.unwrap().unwrap();
                let bytes = content(100 + number, LAYER);
                upload
                    .append(Some(0), chunks(&bytes, 8192))
                    .await
                    .map_err(|e| text(&e))?;
                self.known.uploads.insert(id.to_string(), (number, LAYER));
            }
            Work::Finish => {
                let Some((id, (number, _))) = self.known.uploads.first_key_value() else {
                    return Ok(());
                };
                let (id, number) = (id.clone(), *number);
                let parsed: UploadId = id.parse().unwrap();
                let upload = self
                    .store
                    .upload(&repository, &parsed)
                    .await
                    .unwrap()
                    .unwrap();
                let digest = Digest::sha256(&content(100 + number, LAYER));
                upload.finish(&digest).await.map_err(|error| text(&error))?;
                // No manifest names it, so the next collection may have it.
                self.known.uploads.remove(&id);
            }
            Work::Collect => {
                let collected = self.store.collect_garbage(&everything()).await;
                collected.map_err(|error| text(&error))?;
            }
            Work::Scrub => {
                let scrubbed = self.store.scrub(ScrubOptions::default(), |_| {}).await;
                scrubbed.map_err(|error| text(&error))?;
            }
            Work::Backup => {
                let options = BackupOptions::default();
                let images = self.known.images.clone();
                let folder = target(self.folder.path());
                let made = self.store.backup(&folder, options, |_| {}).await;
                let report = made.map_err(|error| text(&error))?;
                assert!(report.is_whole(), "{report:?}");
                self.in_backup = Some(images);
            }
        }
        Ok(())
    }

    async fn perform(&mut self, work: Work, failure: Failure) {
        *self.plan.lock() = Plan {
            failure: Some(failure),
            ..Plan::default()
        };
        let (before, backup_before) = (self.known.clone(), self.in_backup.clone());
        let outcome = self.work(work).await;
        let left = std::mem::take(&mut *self.plan.lock()).left;
        if !matches!(failure, Failure::Fail(..)) {
            outcome.unwrap();
        } else if outcome.is_err() {
            self.failures += 1;
        }
        let Some(left) = left else {
            return;
        };
        // Killed in the middle: the answer never came.
        self.failures += 1;
        let done = std::mem::replace(&mut self.known, before);
        for number in 0..IMAGES {
            if done.images.contains(&number) != self.known.images.contains(&number) {
                self.known.images.remove(&number);
                self.known.open.insert(number);
            }
        }
        if matches!(work, Work::Begin(_)) {
            self.known
                .uploads
                .retain(|id, _| done.uploads.contains_key(id));
        }
        self.in_backup = backup_before;
        self.store.close().await;
        self.folder = left;
        self.store = open(self.folder.path(), &self.plan).await.unwrap();
        if matches!(work, Work::Finish) {
            self.settle_finish().await;
        }
    }

    /// An upload whose end was not acknowledged is there, or has become a blob.
    async fn settle_finish(&mut self) {
        let Some((id, (number, _))) = self.known.uploads.first_key_value() else {
            return;
        };
        let (id, number) = (id.clone(), *number);
        let parsed = id.parse().unwrap();
        if self
            .store
            .upload(&name("a"), &parsed)
            .await
            .unwrap()
            .is_none()
        {
            let bytes = content(100 + number, LAYER);
            let found = read(&self.store, &name("a"), &Digest::sha256(&bytes)).await;
            assert_eq!(found.unwrap(), Some(bytes), "neither upload nor blob");
            self.known.uploads.remove(&id);
        }
    }

    async fn restart(&mut self) {
        self.store.close().await;
        self.store = open(self.folder.path(), &self.plan).await.unwrap();
    }

    pub(crate) async fn step(&mut self, step: Step) {
        *self.plan.lock() = Plan::default();
        let folder = self.folder.path().to_owned();
        let (blobs, aside) = (data(&folder).join("blobs"), folder.join("aside"));
        match step {
            Step::Do(work, failure) => self.perform(work, failure).await,
            Step::Restart => self.restart().await,
            Step::Away => {
                self.failures += 1;
                self.store.close().await;
                fs::rename(&blobs, &aside).unwrap();
                if let Ok(store) = open(&folder, &self.plan).await {
                    // Nothing of this database lies in files.
                    assert!(self.known.images.is_empty());
                    store.close().await;
                    drop(store);
                    fs::remove_dir_all(&blobs).unwrap();
                }
                fs::rename(&aside, &blobs).unwrap();
                self.store = open(&folder, &self.plan).await.unwrap();
                self.clear_suspicion().await;
            }
            Step::AwayMeanwhile => {
                self.failures += 1;
                fs::rename(&blobs, &aside).unwrap();
                let accepted = ScrubOptions {
                    accept_loss: true,
                    ..ScrubOptions::default()
                };
                assert!(self.store.scrub(accepted, |_| {}).await.is_err());
                assert!(self.store.collect_garbage(&everything()).await.is_err());
                assert!(self.push(1000).await.is_err());
                fs::rename(&aside, &blobs).unwrap();
            }
            Step::Some(divisor) => {
                self.failures += 1;
                copy_folder(&blobs, &aside);
                let files = crate::support::files(&blobs)
                    .into_iter()
                    .map(|(path, _)| path);
                let blob = |path: &PathBuf| path.extension().is_none();
                for file in files.filter(blob).step_by(divisor) {
                    fs::remove_file(file).unwrap();
                }
                self.store
                    .scrub(ScrubOptions::default(), |_| {})
                    .await
                    .unwrap();
                let _ = self.store.collect_garbage(&everything()).await;
                copy_folder(&aside, &blobs);
                fs::remove_dir_all(&aside).unwrap();
                self.store
                    .scrub(ScrubOptions::default(), |_| {})
                    .await
                    .unwrap();
            }
            Step::Half(database) => self.half(database).await,
            Step::Restore => {
                let Some(images) = self.in_backup.clone() else {
                    return;
                };
                let new = fast_folder();
                let options = RestoreOptions { verify: true };
                let report = restore(&target(&folder), new.path(), options, |_| {})
                    .await
                    .unwrap();
                assert!(report.is_whole(), "{report:?}");
                let store = Store::open(new.path(), Mode::Serve).await.unwrap();
                audit(&store, &images).await;
                store.close().await;
            }
        }
    }

    async fn half(&mut self, database: bool) {
        let folder = self.folder.path().to_owned();
        if self.in_backup.is_none() {
            return;
        }
        self.failures += 1;
        self.store.close().await;
        let (data, backup, aside) = (data(&folder), target(&folder), folder.join("aside"));
        let parts: &[&str] = if database {
            &["metahub.db", "metahub.db-wal", "metahub.db-shm"]
        } else {
            &["blobs"]
        };
        fs::create_dir(&aside).unwrap();
        for part in parts {
            if data.join(part).exists() {
                fs::rename(data.join(part), aside.join(part)).unwrap();
            }
        }
        if database {
            fs::copy(backup.join("metahub.db"), data.join("metahub.db")).unwrap();
        } else {
            copy_folder(&backup.join("blobs"), &data.join("blobs"));
        }
        // Uploads are the present database's.
        copy_folder(&data.join("staging"), &aside.join("staging"));
        if let Ok(store) = open(&folder, &self.plan).await {
            let _ = store.collect_garbage(&everything()).await;
            let _ = store.scrub(ScrubOptions::default(), |_| {}).await;
            let _ = store.collect_garbage(&everything()).await;
            store.close().await;
        }
        for part in ["metahub.db", "metahub.db-wal", "metahub.db-shm", "blobs"] {
            if parts.contains(&part) {
                let _ = fs::remove_file(data.join(part));
                let _ = fs::remove_dir_all(data.join(part));
            }
            if aside.join(part).exists() {
                fs::rename(aside.join(part), data.join(part)).unwrap();
            }
        }
        let _ = fs::remove_dir_all(data.join("staging"));
        copy_folder(&aside.join("staging"), &data.join("staging"));
        fs::remove_dir_all(&aside).unwrap();
        self.store = open(&folder, &self.plan).await.unwrap();
        self.clear_suspicion().await;
    }

    /// The other half's start may have left marks that speak against this one.
    async fn clear_suspicion(&self) {
        if self.store.suspect().is_some() {
            let accepted = ScrubOptions {
                accept_loss: true,
                ..ScrubOptions::default()
            };
            let report = self.store.scrub(accepted, |_| {}).await.unwrap();
            // A blob that no manifest names may have been garbage to the other half; whether all
            // that was acknowledged is there is what the audit looks at.
            assert_eq!(report.damaged, 0, "{report:?}");
        }
    }

    /// Compares with what was acknowledged, and takes over what was open.
    pub(crate) async fn audit(&mut self) {
        audit(&self.store, &self.known.images).await;
        for number in std::mem::take(&mut self.known.open) {
            let document = image(CONFIG, &[&layer(number)]);
            let found = self
                .store
                .manifest(&name("a"), document.digest())
                .await
                .unwrap();
            if found.is_some() {
                self.known.images.insert(number);
            }
        }
        for (id, (number, size)) in &self.known.uploads {
            let upload = self
                .store
                .upload(&name("a"), &id.parse().unwrap())
                .await
                .unwrap();
            let upload = upload.unwrap_or_else(|| panic!("upload {id} of {number} is gone"));
            assert!(upload.size() >= *size as u64, "upload {id}");
        }
    }
}

async fn audit(store: &Store, images: &BTreeSet<u64>) {
    for number in images {
        let bytes = layer(*number);
        let document = image(CONFIG, &[&bytes]);
        let found = store.manifest(&name("a"), document.digest()).await.unwrap();
        assert!(found.is_some(), "image {number} is gone");
        let found = read(store, &name("a"), &Digest::sha256(&bytes))
            .await
            .unwrap();
        assert_eq!(found, Some(bytes), "layer of {number}");
    }
}
