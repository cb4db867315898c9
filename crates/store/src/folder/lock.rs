//! Locks between processes, by `flock` on files of the data folder. The kernel releases them when a
//! process dies, however it dies. Never used between tasks of one process.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock, fstatfs};
use rustix::io::Errno;

use crate::StoreError;

/// How processes exclude each other; for tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Locking {
    /// By the file system's locks.
    #[default]
    System,
    /// By locks that do nothing, as on some file systems.
    NoOp,
}

/// A held lock. Dropping it releases it.
#[derive(Debug)]
pub(crate) struct FolderLock {
    file: File,
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
    pub(crate) fn try_take(path: &Path, locking: Locking) -> Result<Option<Self>, StoreError> {
        let file = open(path)?;
        match try_lock(&file, locking) {
            Ok(()) => Ok(Some(Self { file })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            // A file system without locks: the lease keeps servers apart.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::NOLCK) => Ok(Some(Self { file })),
            Err(error) => Err(StoreError::io("lock", path, error.into())),
        }
    }

    /// Takes the lock as soon as it is free. Blocks.
    pub(crate) fn take(path: &Path) -> Result<Self, StoreError> {
        let file = open(path)?;
        match flock(&file, FlockOperation::LockExclusive) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::NOLCK) => Ok(Self { file }),
            Err(error) => Err(StoreError::io("lock", path, error.into())),
        }
    }

    /// Whether holding it keeps every other process of this machine out: the file system is a
    /// local one, and a second attempt on the same file fails.
    pub(crate) fn excludes(&self, path: &Path, locking: Locking) -> bool {
        let Ok(second) = open(path) else {
            return false;
        };
        let refused = try_lock(&second, locking) == Err(Errno::WOULDBLOCK);
        refused && fstatfs(&self.file).is_ok_and(|found| is_local(found.f_type))
    }
}

fn try_lock(file: &File, locking: Locking) -> Result<(), Errno> {
    match locking {
        Locking::System => flock(file, FlockOperation::NonBlockingLockExclusive),
        Locking::NoOp => Ok(()),
    }
}

/// Whether a file system is on this machine's own disk or in its memory, by its magic number
/// (statfs(2)). One that is not known counts as shared.
fn is_local(magic: impl Into<i64>) -> bool {
    // ext2 to ext4, XFS, Btrfs, tmpfs, overlayfs, F2FS, ZFS, bcachefs.
    const LOCAL: [i64; 8] = [
        0xef53,
        0x5846_5342,
        0x9123_683e,
        0x0102_1994,
        0x794c_7630,
        0xf2f5_2010,
        0x2fc1_2fc1,
        0xca45_1a4e,
    ];
    LOCAL.contains(&(magic.into() & 0xffff_ffff))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_everybody_gets_is_known_for_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = FolderLock::try_take(&path, Locking::System)
            .unwrap()
            .unwrap();
        assert!(
            FolderLock::try_take(&path, Locking::System)
                .unwrap()
                .is_none()
        );
        assert!(
            FolderLock::try_take(&path, Locking::NoOp)
                .unwrap()
                .is_some()
        );
        assert!(!held.excludes(&path, Locking::NoOp));
    }

    #[test]
    fn network_file_systems_are_not_local() {
        assert!(is_local(0xef53_i64));
        // NFS, SMB 2, FUSE, Ceph, Lustre.
        for magic in [
            0x6969_i64,
            0xfe53_4d42,
            0x6573_5546,
            0x00c3_6400,
            0x0bd0_0bd0,
        ] {
            assert!(!is_local(magic), "{magic:x}");
        }
    }
}
