//! The only way into `blobs`: moves a file with a verified digest to its path, and makes file and
//! folder durable.
//!
//! A crash in between leaves at most a file without a row, which nothing opens and which garbage
//! collection removes. A file that exists already is replaced, which also repairs a damaged one.

use std::fs::{self, File};
use std::path::Path;

use metahub_oci::Digest;

use crate::StoreError;
use crate::content::files::folder::Folder;
use crate::content::files::stamp::Stamp;
use crate::content::traits::Placing;
use crate::folder::layout::{remove_file, sync_folder};

/// Files up to this size, in bytes, are flushed together with their folder. Larger ones are flushed
/// before, so that no task waits for them at the digest's guard.
pub(crate) const TOGETHER: u64 = 8 * 1024 * 1024;

/// Moves `file` of `size` bytes, which is at `from`, to where it is found by its digest, durably.
/// Blocks.
///
/// A file that no row names is never opened. So if there is no row yet, the file is moved first and
/// then flushed together with its folder's entry: a journaling file system then writes its journal
/// once for both. After a failure the file is gone, unless it is placed reversibly.
pub(crate) fn put_in_place(
    folder: &Folder,
    (file, size): (&File, u64),
    from: &Path,
    digest: &Digest,
    placing: Placing,
) -> Result<(), StoreError> {
    let careful = placing.replaces || size > TOGETHER;
    let to = folder.layout.blob(digest);
    let durable = || {
        file.sync_data()
            .map_err(|error| StoreError::io("make durable", from, error))
    };
    if careful {
        durable()?;
    }
    folder.steps.before("move a blob to", &to)?;
    fs::rename(from, &to).map_err(|error| StoreError::io("move a blob to", &to, error))?;
    let file_settled = folder
        .steps
        .before("make durable", &to)
        .and_then(|()| if careful { Ok(()) } else { durable() });
    let settled = file_settled.and_then(|()| to.parent().map_or(Ok(()), sync_folder));
    if settled.is_err() && !careful && !placing.reversible {
        let _ = remove_file(&to);
    }
    settled?;
    let stamp = Stamp::of(file).map_err(|error| StoreError::io("look at", &to, error))?;
    // The caller saw that the bytes hash to the digest.
    folder.verified.insert(digest.clone(), stamp);
    Ok(())
}

/// Writes bytes that are at hand into a new file. Blocks.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<File, StoreError> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            Ok(file)
        })
        .map_err(|error| StoreError::io("write", path, error))
}
