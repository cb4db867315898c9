//! Locks between processes, by `flock` on files of the data folder. The kernel lets go of them
//! when a process dies, however it dies. Never used between tasks of one process.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::StoreError;

/// A held lock. Dropping it lets go.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

fn open(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| StoreError::io("open the lock", path, error))
}

impl FolderLock {
    /// Takes the lock, or `None` if another process holds it.
    pub(crate) fn try_take(path: &Path) -> Result<Option<Self>, StoreError> {
        let file = open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(StoreError::io("lock", path, error.into())),
        }
    }

    /// Takes the lock as soon as it is free. Blocks.
    pub(crate) fn take(path: &Path) -> Result<Self, StoreError> {
        let file = open(path)?;
        flock(&file, FlockOperation::LockExclusive)
            .map_err(|error| StoreError::io("lock", path, error.into()))?;
        Ok(Self { _file: file })
    }
}
