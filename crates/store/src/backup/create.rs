//! Creates backups: a consistent copy of the database, and every blob that it names, in a folder
//! that may hold blobs of former backups. Pushes and pulls go on meanwhile.
//!
//! The database is copied first. What it names stays, because garbage collection waits until the
//! blobs are copied; only a bounded cache may evict something meanwhile, which is then removed from
//! the copy as well. The copy replaces the former one last.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metahub_oci::Digest;
use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::backup::folder::{self as backup_folder, Copied, copy_blob};
use crate::content::ALGORITHMS;
use crate::folder::layout::{Layout, make, remove_file, sync_folder};
use crate::records::sqlite::snapshot::Snapshot;
use crate::records::{Cursor, UnlinkedBlob};
use crate::store::Store;
use crate::task::blocking;

/// Rows that are read at once.
const BATCH: u32 = 200;

/// The name of the database's copy until the blobs are copied.
const DRAFT: &str = "metahub.db.new";

/// How a backup is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct BackupOptions {
    /// Remove blobs of former backups that this one does not name.
    pub prune: bool,
}

/// The progress of a copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copying {
    /// Bytes that are copied.
    pub bytes: u64,
    /// Bytes in all.
    pub total: u64,
}

/// The report of a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupReport {
    /// Blobs in files.
    pub blobs: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Blobs that were copied; the others were there already.
    pub copied: u64,
    /// Bytes of those.
    pub copied_bytes: u64,
    /// Blobs of former backups that were removed.
    pub pruned: u64,
    /// Blobs that the database names and whose files are missing: not in the backup either.
    pub missing: Vec<Digest>,
    /// Blobs that are damaged: not in the backup, unless a former one has them.
    pub damaged: Vec<Digest>,
}

impl BackupReport {
    /// Whether everything that the database names is in the backup.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.missing.is_empty() && self.damaged.is_empty()
    }
}

impl Store {
    /// Makes a backup in the folder `target`, or updates the one there. An interrupted one resumes
    /// with the blobs that it had copied. `progress` is called after each chunk.
    pub async fn backup(
        &self,
        target: &Path,
        options: BackupOptions,
        mut progress: impl FnMut(Copying) + Send,
    ) -> Result<BackupReport, StoreError> {
        let inner = &self.inner;
        let Some(store) = self.id().map(str::to_owned) else {
            return Err(StoreError::Closed);
        };
        self.check_in_place().await?;
        let (root, folder) = (self.folder().to_owned(), target.to_owned());
        let lock = blocking(move || {
            check_apart(&root, &folder)?;
            backup_folder::begin(&folder, &store)
        })
        .await?;
        let _removing = inner.removing.lock().await;
        let draft = target.join(DRAFT);
        let stale = draft.clone();
        // Made here, so that only its owner may read it; SQLite takes an empty file.
        blocking(move || backup_folder::create(&stale).map(drop)).await?;
        inner.options.steps.before("copy the database to", &draft)?;
        inner.records.snapshot_to(&draft).await?;
        // Later changes belong to another epoch, so that restoring only one half is noticed.
        self.next_epoch().await?;
        let mut copy = Snapshot::open(&draft).await?;
        let copied = self.copy_blobs(&mut copy, target, &mut progress).await;
        let closed = copy.close().await;
        let report = copied?;
        closed?;
        let report = self.put_in_place(target, options, report).await?;
        drop(lock);
        tracing::info!(
            folder = %target.display(),
            blobs = report.blobs,
            copied = report.copied,
            missing = report.missing.len(),
            damaged = report.damaged.len(),
            "made a backup"
        );
        Ok(report)
    }

    async fn copy_blobs(
        &self,
        copy: &mut Snapshot,
        target: &Path,
        progress: &mut (dyn FnMut(Copying) + Send),
    ) -> Result<BackupReport, StoreError> {
        let (blobs, bytes) = copy.total_of_files().await?;
        let mut report = BackupReport {
            blobs,
            bytes,
            ..BackupReport::default()
        };
        let mut touched = BTreeSet::new();
        let (mut after, mut done) = (Some(Cursor::default()), 0);
        while let Some(from) = after {
            let batch = copy.files(from, BATCH).await?;
            after = batch.next;
            for UnlinkedBlob { digest, size } in batch.items {
                let so_far = Copying {
                    bytes: done,
                    total: report.bytes,
                };
                let outcome = self
                    .copy_one(&digest, size, target, so_far, progress)
                    .await?;
                done += size;
                progress(Copying {
                    bytes: done,
                    total: report.bytes,
                });
                match outcome {
                    Copied::There => {}
                    Copied::Right => {
                        touched
                            .extend(Layout::at(target).blob(&digest).parent().and_then(relative));
                        report.copied += 1;
                        report.copied_bytes += size;
                    }
                    // It was evicted since the database was copied.
                    Copied::Missing if !self.inner.records.is_stored(&digest).await? => {
                        copy.take_out(&digest).await?;
                        report.blobs -= 1;
                        report.bytes = report.bytes.saturating_sub(size);
                    }
                    Copied::Missing => report.missing.push(digest),
                    Copied::Damaged => report.damaged.push(digest),
                }
            }
        }
        let layout = Layout::at(target);
        blocking(move || {
            for folder in touched {
                sync_folder(&layout.root().join("blobs").join(folder))?;
            }
            for algorithm in ALGORITHMS {
                make(&layout.blobs(algorithm))?;
                sync_folder(&layout.blobs(algorithm))?;
            }
            sync_folder(&layout.root().join("blobs"))?;
            Ok(report)
        })
        .await
    }

    /// Copies one blob, with progress.
    async fn copy_one(
        &self,
        digest: &Digest,
        size: u64,
        target: &Path,
        so_far: Copying,
        progress: &mut (dyn FnMut(Copying) + Send),
    ) -> Result<Copied, StoreError> {
        let (inner, to) = (&self.inner, Layout::at(target));
        let copied = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&copied);
        let copying = async {
            inner.options.steps.before("copy", &to.blob(digest))?;
            // Unmounted content would look like missing blobs.
            inner.content.check_in_place().await?;
            let mut told = |bytes| {
                count.fetch_add(bytes, Ordering::Relaxed);
            };
            copy_blob(&*inner.content, &to, digest, size, &mut told).await
        };
        let mut copying = std::pin::pin!(copying);
        let mut clock = tokio::time::interval(std::time::Duration::from_millis(200));
        loop {
            tokio::select! {
                outcome = &mut copying => return outcome,
                _ = clock.tick() => progress(Copying {
                    bytes: so_far.bytes + copied.load(Ordering::Relaxed),
                    ..so_far
                }),
            }
        }
    }

    /// Replaces the former copy of the database by the new one.
    async fn put_in_place(
        &self,
        target: &Path,
        options: BackupOptions,
        mut report: BackupReport,
    ) -> Result<BackupReport, StoreError> {
        let (from, to) = (self.folder().to_owned(), target.to_owned());
        let steps = self.inner.options.steps.clone();
        blocking(move || {
            let (draft, database) = (to.join(DRAFT), Layout::at(&to).database());
            backup_folder::copy_rest(&from, &to)?;
            fs::File::open(&draft)
                .and_then(|file| file.sync_all())
                .map_err(|error| StoreError::io("make durable", &draft, error))?;
            steps.before("put in place", &database)?;
            fs::rename(&draft, &database)
                .map_err(|error| StoreError::io("put in place", &database, error))?;
            sync_folder(&to)?;
            Ok::<_, StoreError>(())
        })
        .await?;
        if options.prune {
            report.pruned = prune(target).await?;
        }
        Ok(report)
    }
}

/// The algorithm and the first digits of a blob's folder.
fn relative(folder: &Path) -> Option<PathBuf> {
    let algorithm = folder.parent()?.file_name()?;
    Some(Path::new(algorithm).join(folder.file_name()?))
}

/// Neither folder may be within the other: a backup would contain itself.
fn check_apart(data: &Path, target: &Path) -> Result<(), StoreError> {
    let real = |path: &Path| {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let there = absolute.ancestors().find(|folder| folder.exists());
        let known = there.and_then(|folder| folder.canonicalize().ok());
        match (
            known,
            there.and_then(|folder| absolute.strip_prefix(folder).ok()),
        ) {
            (Some(known), Some(rest)) => known.join(rest),
            _ => absolute.clone(),
        }
    };
    let (data, folder) = (real(data), real(target));
    if folder.starts_with(&data) || data.starts_with(&folder) {
        return Err(backup_folder::failed(
            target,
            format!(
                "a backup cannot lie in the data folder {}, or around it: choose another folder",
                data.display()
            ),
        ));
    }
    Ok(())
}

/// Removes the blobs that the backup's database does not name. Returns how many.
async fn prune(target: &Path) -> Result<u64, StoreError> {
    let layout = Layout::at(target);
    let mut copy = Snapshot::open(&layout.database()).await?;
    let mut pruned = 0;
    for algorithm in ALGORITHMS {
        for first in 0..=u8::MAX {
            let folder = layout.fan_out(algorithm, first);
            let files = blocking(move || Ok::<_, StoreError>(list(&folder))).await?;
            for path in files {
                let name = path.file_name().and_then(|name| name.to_str());
                let digest = name.and_then(|name| format!("{algorithm}:{name}").parse().ok());
                let named = match &digest {
                    Some(digest) => copy.has_file(digest).await?,
                    None => false,
                };
                if !named && blocking(move || remove_file(&path)).await? {
                    pruned += 1;
                }
            }
        }
    }
    copy.close().await?;
    Ok(pruned)
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect()
}
