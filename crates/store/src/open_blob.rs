//! A blob that is open: its bytes as a stream that never ends as if whole when it is not.
//!
//! The first whole read of a file that this process has not seen hashes it on the way and holds
//! the last chunk back until the digest is right. Afterwards the file is trusted for as long as
//! the file system says that nobody touched it. What was written by this process was hashed then.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use bytes::Bytes;
use metahub_oci::{Digest, Hasher};

use crate::StoreError;
use crate::blob::Blob;
use crate::blob_chunks::BlobChunks;
use crate::blob_stream::BlobStream;
use crate::staged::hash_file;
use crate::store::{Inner, blocking};

/// What the file system says of a file. Any change of its content changes this.
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

/// Where an open blob's bytes are.
#[derive(Clone, Debug)]
pub enum Content {
    /// In a file. Read it by position: its own position is shared.
    File(Arc<File>),
    /// In memory, all of them: small blobs.
    Memory(Bytes),
}

/// A blob that is open and has the right size. It can be read to its end even if the blob is
/// deleted meanwhile.
#[derive(Clone, Debug)]
pub struct OpenBlob {
    blob: Blob,
    content: Content,
    /// Absent for what is in memory.
    stamp: Option<Stamp>,
    trusted: bool,
}

impl OpenBlob {
    pub(crate) fn in_memory(blob: Blob, bytes: Bytes) -> Self {
        Self {
            blob,
            content: Content::Memory(bytes),
            stamp: None,
            trusted: true,
        }
    }

    pub(crate) fn in_file(blob: Blob, file: Arc<File>, stamp: Stamp) -> Self {
        let trusted = blob.inner().verified.holds(blob.digest(), stamp);
        Self {
            blob,
            content: Content::File(file),
            stamp: Some(stamp),
            trusted,
        }
    }

    /// What is open.
    #[must_use]
    pub fn blob(&self) -> &Blob {
        &self.blob
    }

    /// Where its bytes are. Look at [`OpenBlob::trusted`] before sending them unread.
    #[must_use]
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Whether the bytes were seen to hash to the digest and nobody touched them since. Only then
    /// may the file be sent without reading it, as `sendfile` does.
    #[must_use]
    pub fn trusted(&self) -> bool {
        self.trusted
    }

    /// Hashes the whole file now, unless it is trusted. Takes about half a second a gigabyte.
    pub async fn verify(&mut self) -> Result<(), StoreError> {
        if !self.trusted {
            self.verify_again().await?;
            self.trusted = true;
        }
        Ok(())
    }

    /// Hashes the whole file now.
    pub(crate) async fn verify_again(&self) -> Result<(), StoreError> {
        let (Some(stamp), Content::File(file)) = (self.stamp, &self.content) else {
            return Ok(());
        };
        let (file, blob) = (Arc::clone(file), self.blob.clone());
        blocking(move || {
            let found = hash_file(&file, blob.size(), blob.digest().algorithm());
            match found.map(Hasher::finish) {
                Ok(found) => judge(&blob, stamp, found),
                // A disk that cannot read a sector says so here.
                Err(error) => Err(StoreError::Damaged {
                    digest: blob.digest().clone(),
                    problem: format!("it cannot be read: {error}"),
                }),
            }
        })
        .await
    }

    /// The bytes of `range`, cut to the blob's size, read in large chunks off the asynchronous
    /// workers with one chunk ahead.
    ///
    /// Ends with an error if a byte is missing or, where the whole blob is read and is not
    /// trusted yet, if the bytes hash to something else; the last chunk is then held back.
    #[must_use]
    pub fn stream(&self, range: Range<u64>) -> BlobStream {
        let size = self.blob.size();
        let end = range.end.min(size);
        let range = range.start.min(end)..end;
        let streams = Arc::clone(&self.blob.inner().streams);
        let file = match &self.content {
            Content::File(file) => Arc::clone(file),
            Content::Memory(bytes) => {
                let index = |offset| usize::try_from(offset).unwrap_or(usize::MAX);
                let range = index(range.start)..index(range.end).min(bytes.len());
                let part = bytes.slice(range.start.min(range.end)..range.end);
                return BlobStream::of_bytes(part, streams);
            }
        };
        let unproven = self.stamp.filter(|_| !self.trusted && range == (0..size));
        let check = unproven.map(|stamp| Check {
            hasher: Hasher::new(self.blob.digest().algorithm()),
            blob: self.blob.clone(),
            stamp,
        });
        BlobStream::of_file(file, range, check, streams)
    }
}

impl OpenBlob {
    /// The same as [`OpenBlob::stream`] for whoever can send a part of a file unread, which is
    /// given out of a trusted file only.
    #[must_use]
    pub fn chunks(&self, range: Range<u64>) -> BlobChunks {
        let size = self.blob.size();
        match &self.content {
            Content::File(file) if self.trusted => {
                let end = range.end.min(size);
                let streams = Arc::clone(&self.blob.inner().streams);
                BlobChunks::windows(Arc::clone(file), range.start.min(end)..end, streams)
            }
            _ => BlobChunks::read(self.stream(range)),
        }
    }
}

/// The hashing of a blob that is read as a whole.
pub(crate) struct Check {
    hasher: Hasher,
    blob: Blob,
    stamp: Stamp,
}

impl Check {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    /// Whether all bytes together are the blob's.
    pub(crate) fn finish(self) -> io::Result<()> {
        judge(&self.blob, self.stamp, self.hasher.finish())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

/// Trusts the file from now on if it hashes to the digest.
pub(crate) fn judge(blob: &Blob, stamp: Stamp, found: Digest) -> Result<(), StoreError> {
    let inner: &Inner = blob.inner();
    if found == *blob.digest() {
        inner.verified.insert(found, stamp);
        return Ok(());
    }
    inner.verified.forget(blob.digest());
    tracing::error!(digest = %blob.digest(), %found, "stored content is damaged");
    Err(StoreError::Damaged {
        digest: blob.digest().clone(),
        problem: format!("its bytes hash to {found}"),
    })
}
