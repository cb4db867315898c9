//! The metadata by which a change of a file is noticed.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;

/// A file's metadata, which every change of its content changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    links: u64,
}

impl Stamp {
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            links: metadata.nlink(),
        })
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Whether the file still has a name.
    pub(crate) fn linked(&self) -> bool {
        self.links > 0
    }
}
