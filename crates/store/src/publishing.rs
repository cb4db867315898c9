//! Keeps an upload whose file is on its way into `blobs`: until the database commits that the
//! upload has ended, what was acknowledged of it must be there to go on with.
//!
//! A note beside the staging file says which blob it becomes. Whoever finds the note and no staging
//! file takes the blob's file back: after a failure at once, after a kill at the next start.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use metahub_oci::Digest;

use crate::StoreError;
use crate::layout::remove_file;
use crate::store::{Inner, blocking};
use crate::upload_id::UploadId;

/// What a note's name has more than its upload's.
const NOTE: &str = "publishing";

/// A staging file that is being published.
pub(crate) struct Publishing {
    staging: PathBuf,
    digest: Digest,
}

impl Publishing {
    /// Writes the note. Blocks.
    pub(crate) fn begin(staging: &Path, digest: &Digest) -> Result<Self, StoreError> {
        let this = Self {
            staging: staging.to_owned(),
            digest: digest.clone(),
        };
        let note = this.note();
        fs::write(&note, digest.to_string())
            .map_err(|error| StoreError::io("write", &note, error))?;
        Ok(this)
    }

    fn note(&self) -> PathBuf {
        self.staging.with_extension(NOTE)
    }

    /// Removes the note: the upload has ended, or its file is back. Blocks.
    pub(crate) fn end(&self) {
        if let Err(error) = remove_file(&self.note()) {
            tracing::warn!(%error, "a note stays until the next start");
        }
    }
}

impl Inner {
    /// Takes the file of an upload back that did not become a blob. To be called under the
    /// digest's guard.
    pub(crate) async fn put_back(
        self: &Arc<Self>,
        publishing: Publishing,
    ) -> Result<(), StoreError> {
        // Where this fails, the note stays, and the next start does it.
        let stored = self.records.stored_blob(&publishing.digest).await?;
        let named = stored.is_some_and(|access| access.body.is_none());
        let place = self.blob_path(&publishing.digest);
        blocking(move || {
            put_back(&publishing.staging, &place, named)?;
            publishing.end();
            Ok(())
        })
        .await
    }

    /// Takes back the files of uploads whose publishing a kill interrupted. To be done before
    /// staging is swept.
    pub(crate) async fn put_interrupted_back(
        self: &Arc<Self>,
        uploads: &[UploadId],
    ) -> Result<(), StoreError> {
        let (folder, known) = (
            self.layout.staging(),
            uploads
                .iter()
                .map(UploadId::to_string)
                .collect::<HashSet<_>>(),
        );
        let interrupted = blocking(move || notes(&folder, &known)).await?;
        for publishing in interrupted {
            let _guard = self.guard(&publishing.digest).await;
            let staging = publishing.staging.clone();
            self.put_back(publishing).await?;
            tracing::info!(upload = %staging.display(), "an upload goes on that a kill interrupted");
        }
        Ok(())
    }
}

/// The notes of uploads that are in progress. Blocks.
fn notes(folder: &Path, uploads: &HashSet<String>) -> Result<Vec<Publishing>, StoreError> {
    let list = |error| StoreError::io("list", folder, error);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(list)? {
        let path = entry.map_err(list)?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        if path.extension().is_none_or(|end| end != NOTE)
            || stem.is_none_or(|stem| !uploads.contains(stem))
        {
            continue;
        }
        // A note that was cut off was written before anything was moved.
        let text = fs::read_to_string(&path).unwrap_or_default();
        if let Ok(digest) = text.parse() {
            let staging = path.with_extension("");
            found.push(Publishing { staging, digest });
        }
    }
    Ok(found)
}

/// Makes the file at `place` the upload's again. Where the database names it, it stays there as
/// well. Blocks.
fn put_back(staging: &Path, place: &Path, named: bool) -> Result<(), StoreError> {
    let failed = |error| StoreError::io("take back", staging, error);
    if staging.try_exists().map_err(failed)? {
        return Ok(());
    }
    let taken = if named {
        let draft = staging.with_extension("draft");
        fs::copy(place, &draft).and_then(|_| fs::rename(&draft, staging))
    } else {
        fs::rename(place, staging)
    };
    match taken {
        // Neither here nor there: there is nothing to go on with.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome.map_err(failed),
    }
}
