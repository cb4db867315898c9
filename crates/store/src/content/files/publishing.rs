//! Keeps an upload whose file is being moved into `blobs`: until the database commits the end of
//! the upload, its acknowledged bytes must stay resumable.
//!
//! A note next to the staging file names the blob that it becomes. Where there is a note and no
//! staging file, the blob's file is moved back: after a failure at once, after a kill at the next
//! start.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use metahub_oci::Digest;

use crate::StoreError;
use crate::folder::layout::remove_file;

/// What a note's name has more than its upload's.
const NOTE: &str = "publishing";

fn note_of(staging: &Path) -> PathBuf {
    staging.with_extension(NOTE)
}

/// Writes the note. Blocks.
pub(crate) fn begin(staging: &Path, digest: &Digest) -> Result<(), StoreError> {
    let note = note_of(staging);
    fs::write(&note, digest.to_string()).map_err(|error| StoreError::io("write", &note, error))
}

/// Removes the note: the upload has ended, or its file is back. Blocks.
pub(crate) fn end(staging: &Path) {
    if let Err(error) = remove_file(&note_of(staging)) {
        tracing::warn!(%error, "a note stays until the next start");
    }
}

/// The uploads of `names` that have a note, and what it says, by name. Blocks.
pub(crate) fn interrupted(
    folder: &Path,
    names: &HashSet<String>,
) -> Result<Vec<(String, Digest)>, StoreError> {
    let list = |error| StoreError::io("list", folder, error);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(list)? {
        let path = entry.map_err(list)?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let Some(name) = stem.filter(|stem| names.contains(*stem)) else {
            continue;
        };
        if path.extension().is_none_or(|end| end != NOTE) {
            continue;
        }
        // A note that was cut off was written before anything was moved.
        let text = fs::read_to_string(&path).unwrap_or_default();
        if let Ok(digest) = text.parse() {
            found.push((name.to_owned(), digest));
        }
    }
    // Where two uploads became one blob, which of them gets it back must not depend on the order
    // in which the file system lists a folder.
    found.sort();
    Ok(found)
}

/// Makes the file at `place` the upload's again. Where the database names it, it stays there as
/// well. Blocks.
pub(crate) fn take_back(staging: &Path, place: &Path, named: bool) -> Result<(), StoreError> {
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
