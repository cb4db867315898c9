//! Disk space reserved for a full disk: garbage collection frees it first, because even deleting a
//! row needs space in the database's log.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};

use crate::StoreError;
use crate::folder::layout::remove_file;

/// Its size in bytes: enough for what a collection writes before it has removed the first files.
const SIZE: u64 = 4 * 1024 * 1024;

/// Reserves the space, unless it is reserved. A full disk is no error: it is retried after the next
/// collection.
pub(crate) fn keep(path: &Path) {
    let kept = || {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)?;
        if file.metadata()?.len() != SIZE {
            allocate(&file)?;
        }
        Ok::<_, std::io::Error>(())
    };
    if let Err(error) = kept() {
        tracing::debug!(%error, "no space could be set aside");
        let _ = remove_file(path);
    }
}

fn allocate(file: &File) -> std::io::Result<()> {
    use std::io::Write as _;
    let Err(error) = fallocate(file, FallocateFlags::empty(), 0, SIZE) else {
        return Ok(());
    };
    if error != rustix::io::Errno::OPNOTSUPP {
        return Err(error.into());
    }
    // Some file systems only give space to bytes that are written.
    let zeros = vec![0; 64 * 1024];
    let mut file = file;
    for _ in 0..SIZE / zeros.len() as u64 {
        file.write_all(&zeros)?;
    }
    Ok(())
}

/// Frees the space.
pub(crate) fn release(path: &Path) -> Result<(), StoreError> {
    remove_file(path).map(drop)
}
