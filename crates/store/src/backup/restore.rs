//! Restores a backup into a new data folder. Every blob is hashed while it is copied. The database
//! comes last, and a marker in an unfinished folder keeps it from being served.

use std::fs;
use std::path::Path;

use metahub_oci::Digest;
use serde::Serialize;

use crate::StoreError;
use crate::backup::create::Copying;
use crate::backup::folder::{self as backup_folder, Copied, copy, copy_blob, failed};
use crate::content::{ALGORITHMS, Files, Marker, StoreMarks as _};
use crate::folder::layout::{Layout, make, sync_folder};
use crate::records::sqlite::snapshot::Snapshot;
use crate::records::{Cursor, UnlinkedBlob};
use crate::scrub::report::{ScrubOptions, ScrubReport};
use crate::steps::Steps;
use crate::store::{Mode, Options, Store};
use crate::task::blocking;

/// Rows that are read at once.
const BATCH: u32 = 200;

/// Options of a restore.
#[derive(Clone, Copy, Debug, Default)]
pub struct RestoreOptions {
    /// Read back and hash everything afterwards, manifests included.
    pub verify: bool,
}

/// The report of a restore.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RestoreReport {
    /// Intact blobs in files.
    pub blobs: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Blobs that the backup's database names and that the backup does not hold.
    pub missing: Vec<Digest>,
    /// Blobs that are damaged in the backup.
    pub damaged: Vec<Digest>,
    /// The report of reading everything back, if requested.
    pub verified: Option<ScrubReport>,
}

impl RestoreReport {
    /// Whether everything was restored intact.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let verified = self.verified.as_ref().is_none_or(ScrubReport::is_clean);
        self.missing.is_empty() && self.damaged.is_empty() && verified
    }
}

/// Restores the backup in `from` into the folder `to`, which must be empty, new, or left by an
/// interrupted restore of the same backup. `progress` is called after each blob.
///
/// # Errors
/// When `from` is no backup, `to` is in use, or a folder cannot be read or written. Content that
/// is missing or damaged is no error: it is reported.
pub async fn restore(
    from: &Path,
    to: &Path,
    options: RestoreOptions,
    mut progress: impl FnMut(Copying) + Send,
) -> Result<RestoreReport, StoreError> {
    let (source, target) = (from.to_owned(), to.to_owned());
    blocking(move || begin(&source, &target)).await?;
    files(to).create().await?;
    let mut report = copy_blobs(from, to, &mut progress).await?;
    let database = Layout::at(from).database();
    let known = known(&database).await?;
    finish(from, to, known).await?;
    if options.verify {
        report.verified = Some(verify(to).await?);
    }
    Ok(report)
}

/// Checks both folders, and marks the target as unfinished. Blocks.
fn begin(from: &Path, to: &Path) -> Result<(), StoreError> {
    let Some(label) = backup_folder::label(from)? else {
        return Err(failed(
            from,
            "it is no backup: give the folder that metahub backup wrote",
        ));
    };
    if !Layout::at(from).database().is_file() {
        return Err(failed(
            from,
            "its first backup was never finished: it holds no database to restore",
        ));
    }
    make(to)?;
    let layout = Layout::at(to);
    let restoring = layout.restoring();
    let before = fs::read_to_string(&restoring).ok();
    if before.as_deref() == Some(label.store.as_str()) {
        return Ok(());
    }
    let mut entries = fs::read_dir(to).map_err(|error| StoreError::io("list", to, error))?;
    if entries.next().is_some() {
        return Err(failed(
            to,
            "it is not empty: restore into a new folder, and put that in the place of this one",
        ));
    }
    backup_folder::write(&restoring, label.store.as_bytes())
}

/// The content of a folder.
fn files(folder: &Path) -> Files {
    Files::new(Layout::at(folder), Steps::default())
}

async fn copy_blobs(
    from: &Path,
    to: &Path,
    progress: &mut (dyn FnMut(Copying) + Send),
) -> Result<RestoreReport, StoreError> {
    let (source, target) = (Layout::at(from), Layout::at(to));
    let content = files(from);
    let mut copy = Snapshot::open(&source.database()).await?;
    let (_, total) = copy.total_of_files().await?;
    let mut now = Copying { bytes: 0, total };
    let (mut report, mut after) = (RestoreReport::default(), Some(Cursor::default()));
    while let Some(from) = after {
        let batch = copy.files(from, BATCH).await?;
        after = batch.next;
        for UnlinkedBlob { digest, size } in batch.items {
            let copied = copy_blob(&content, &target, &digest, size, &mut |_| {}).await?;
            now.bytes += size;
            progress(now);
            match copied {
                Copied::Right | Copied::There => {
                    report.blobs += 1;
                    report.bytes += size;
                }
                Copied::Missing => report.missing.push(digest),
                Copied::Damaged => report.damaged.push(digest),
            }
        }
    }
    copy.close().await?;
    blocking(move || {
        for algorithm in ALGORITHMS {
            for first in 0..=u8::MAX {
                sync_folder(&target.fan_out(algorithm, first))?;
            }
        }
        Ok(report)
    })
    .await
}

/// The mark that belongs to a backup's database.
async fn known(database: &Path) -> Result<Marker, StoreError> {
    let mut copy = Snapshot::open(database).await?;
    let marker = copy.marker().await?;
    copy.close().await?;
    Ok(marker)
}

/// Puts the rest in place, the database last, and then removes the mark of an unfinished folder.
async fn finish(from: &Path, to: &Path, known: Marker) -> Result<(), StoreError> {
    let (source, target) = (from.to_owned(), to.to_owned());
    blocking(move || backup_folder::copy_rest_back(&source, &target)).await?;
    files(to).mark(known).await?;
    let (source, target) = (Layout::at(from), Layout::at(to));
    blocking(move || {
        copy(&source.database(), &target.database())?;
        sync_folder(target.root())?;
        let restoring = target.restoring();
        fs::remove_file(&restoring).map_err(|error| StoreError::io("remove", &restoring, error))?;
        sync_folder(target.root())
    })
    .await
}

/// Reads everything back.
async fn verify(folder: &Path) -> Result<ScrubReport, StoreError> {
    let options = Options {
        // Missing content is reported, not refused.
        accept_loss: true,
        ..Options::default()
    };
    let store = Store::open_with(folder, Mode::Serve, options).await?;
    let options = ScrubOptions {
        dry_run: true,
        ..ScrubOptions::default()
    };
    let report = store.scrub(options, |_| {}).await;
    store.close().await;
    report
}
