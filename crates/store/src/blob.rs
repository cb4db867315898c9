//! Reading a blob: its size, its file, and its bytes as a stream that never ends as if whole when
//! it is not.
//!
//! The first whole read of a file that this process has not seen hashes it on the way and holds
//! the last portion back until the digest is right. Afterwards the file is trusted for as long as
//! the file system says that nobody touched it. What was written by this process was hashed then.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use metahub_oci::{Digest, Hasher, RepositoryName};

use crate::blob_stream::BlobStream;
use crate::staged::hash_file;
use crate::store::{Inner, Store, blocking};
use crate::{StoreError, encoding};

/// What the file system says of a file. Any change of its content changes this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// A blob that somebody may read. Its file may still be found missing or damaged.
#[derive(Clone)]
pub struct Blob {
    digest: Digest,
    size: u64,
    /// Whose cache entry led here, to be forgotten if the file has vanished.
    repository: Option<RepositoryName>,
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blob")
            .field("digest", &self.digest)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl Blob {
    pub(crate) fn new(
        inner: Arc<Inner>,
        digest: Digest,
        size: u64,
        repository: Option<RepositoryName>,
    ) -> Self {
        Self {
            digest,
            size,
            repository,
            inner,
        }
    }

    /// Its digest.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Its size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its file, which is never written again once it is there.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.inner.blob_path(&self.digest)
    }

    /// Opens the file and checks that it has the size that the blob has. Blocks.
    fn open_blocking(&self) -> Result<(File, Stamp), StoreError> {
        let path = self.path();
        let damaged = |problem: String| StoreError::Damaged {
            digest: self.digest.clone(),
            problem,
        };
        let opened = File::open(&path).and_then(|file| Ok((Stamp::of(&file)?, file)));
        match opened {
            Ok((stamp, file)) if stamp.size == self.size => Ok((file, stamp)),
            Ok((stamp, _)) => Err(damaged(format!(
                "its file holds {} bytes instead of {}",
                stamp.size, self.size
            ))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(damaged("its file is missing".to_owned()))
            }
            Err(error) => Err(StoreError::io("open", &path, error)),
        }
    }

    /// Opens the blob for reading. A missing or short file is found here, before anything is
    /// promised to a client.
    pub async fn open(&self) -> Result<OpenBlob, StoreError> {
        let this = self.clone();
        let opened = blocking(move || this.open_blocking()).await;
        if let (Err(StoreError::Damaged { .. }), Some(repository)) = (&opened, &self.repository) {
            let key = (repository.clone(), self.digest.clone());
            self.inner.caches.blobs.forget(&key);
        }
        let (file, stamp) = opened?;
        Ok(OpenBlob {
            trusted: self.inner.verified.get(&self.digest) == Some(stamp),
            blob: self.clone(),
            file: Arc::new(file),
            stamp,
        })
    }

    /// The bytes of `range`, opened on first use. See [`OpenBlob::stream`].
    pub fn stream(
        &self,
        range: Range<u64>,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static + use<> {
        use futures_util::StreamExt as _;
        let blob = self.clone();
        let opened = async move {
            match blob.open().await {
                Ok(open) => open.stream(range).left_stream(),
                Err(error) => {
                    let error = io::Error::new(io::ErrorKind::InvalidData, error);
                    stream::once(std::future::ready(Err(error))).right_stream()
                }
            }
        };
        stream::once(opened).flatten()
    }

    /// All bytes, verified, of a blob that should be small, such as a configuration.
    pub async fn read(&self, limit: u64) -> Result<Bytes, StoreError> {
        if self.size > limit {
            return Err(StoreError::Damaged {
                digest: self.digest.clone(),
                problem: format!(
                    "it has {} bytes where at most {limit} are read at once",
                    self.size
                ),
            });
        }
        let this = self.clone();
        blocking(move || {
            let (mut file, stamp) = this.open_blocking()?;
            let mut bytes = Vec::with_capacity(usize::try_from(this.size).unwrap_or(0));
            io::Read::read_to_end(&mut file, &mut bytes)
                .map_err(|error| StoreError::io("read", &this.path(), error))?;
            if this.digest.matches(&bytes) {
                this.inner.verified.insert(this.digest, stamp);
                Ok(Bytes::from(bytes))
            } else {
                this.inner.verified.invalidate(&this.digest);
                Err(StoreError::Damaged {
                    digest: this.digest,
                    problem: "its bytes hash to something else".to_owned(),
                })
            }
        })
        .await
    }
}

/// A blob whose file is open and has the right size. It can be read to its end even if the blob
/// is deleted meanwhile.
#[derive(Clone, Debug)]
pub struct OpenBlob {
    blob: Blob,
    file: Arc<File>,
    stamp: Stamp,
    trusted: bool,
}

impl OpenBlob {
    /// What is open.
    #[must_use]
    pub fn blob(&self) -> &Blob {
        &self.blob
    }

    /// The file. Read it by position; its own position is shared.
    #[must_use]
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Whether the file's bytes were seen to hash to the digest and nobody touched it since. Only
    /// then may it be sent without reading it, as `sendfile` does.
    #[must_use]
    pub fn trusted(&self) -> bool {
        self.trusted
    }

    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.blob.path()
    }

    /// Hashes the whole file now, unless it is trusted. Takes about half a second a gigabyte.
    pub async fn verify(&mut self) -> Result<(), StoreError> {
        if self.trusted {
            return Ok(());
        }
        let this = self.clone();
        let path = self.path();
        let found = blocking(move || {
            hash_file(&this.file, this.blob.size, this.blob.digest.algorithm())
                .map(Hasher::finish)
                .map_err(|error| StoreError::io("read", &path, error))
        })
        .await?;
        if found != self.blob.digest {
            return Err(StoreError::Damaged {
                digest: self.blob.digest.clone(),
                problem: format!("its bytes hash to {found}"),
            });
        }
        self.trust();
        Ok(())
    }

    fn trust(&mut self) {
        let verified = &self.blob.inner.verified;
        verified.insert(self.blob.digest.clone(), self.stamp);
        self.trusted = true;
    }

    /// The bytes of `range`, cut to the blob's size, read in large portions off the asynchronous
    /// workers with one portion ahead.
    ///
    /// Ends with an error if a byte is missing or, where the whole blob is read and is not
    /// trusted yet, if the bytes hash to something else; the last portion is then held back.
    #[must_use]
    pub fn stream(&self, range: Range<u64>) -> BlobStream {
        let end = range.end.min(self.blob.size);
        let range = range.start.min(end)..end;
        let whole = range == (0..self.blob.size);
        let check = (whole && !self.trusted).then(|| Check {
            hasher: Hasher::new(self.blob.digest.algorithm()),
            blob: self.blob.clone(),
            stamp: self.stamp,
        });
        BlobStream::new(
            Arc::clone(&self.file),
            range,
            check,
            Arc::clone(&self.blob.inner.streams),
        )
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
        let found = self.hasher.finish();
        if found == self.blob.digest {
            let verified = &self.blob.inner.verified;
            verified.insert(self.blob.digest, self.stamp);
            return Ok(());
        }
        tracing::error!(digest = %self.blob.digest, %found, "stored content is damaged");
        let error = StoreError::Damaged {
            digest: self.blob.digest,
            problem: format!("its bytes hash to {found}"),
        };
        Err(io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

impl Store {
    /// The blob `digest` if `repository` holds it: pushed there, mounted, or fetched for it.
    /// Knowing a digest opens nothing. A blob whose file has vanished is not there.
    pub async fn blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<Blob>, StoreError> {
        let key = (repository.clone(), digest.clone());
        let blobs = &self.inner.caches.blobs;
        let (repository, digest) = (Some(key.0.clone()), key.1.clone());
        if let Some(size) = blobs.get(&key) {
            let inner = Arc::clone(&self.inner);
            return Ok(Some(Blob::new(inner, digest, size, repository)));
        }
        let ticket = blobs.ticket(&key);
        let size: Option<i64> = sqlx::query_scalar(
            "SELECT b.size FROM blobs b
             JOIN repo_blobs l ON l.blob_id = b.id
             JOIN repositories r ON r.id = l.repository_id
             WHERE r.name = $1 AND b.digest = $2",
        )
        .bind(key.0.as_str())
        .bind(encoding::digest_to_bytes(&digest))
        .fetch_optional(&self.inner.database.readers)
        .await
        .map_err(|error| self.inner.database.error(error))?;
        let Some(size) = self.present(&digest, size).await? else {
            return Ok(None);
        };
        blobs.fill(ticket, key, size);
        let inner = Arc::clone(&self.inner);
        Ok(Some(Blob::new(inner, digest, size, repository)))
    }

    /// The blob `digest` if it is stored at all. Never for an answer to a client: whether it may
    /// read the blob is what [`Store::blob`] says.
    pub async fn blob_anywhere(&self, digest: &Digest) -> Result<Option<Blob>, StoreError> {
        let size: Option<i64> = sqlx::query_scalar("SELECT size FROM blobs WHERE digest = $1")
            .bind(encoding::digest_to_bytes(digest))
            .fetch_optional(&self.inner.database.readers)
            .await
            .map_err(|error| self.inner.database.error(error))?;
        let size = self.present(digest, size).await?;
        Ok(size.map(|size| Blob::new(Arc::clone(&self.inner), digest.clone(), size, None)))
    }

    /// The size, if the database knows one and the file is there.
    async fn present(&self, digest: &Digest, size: Option<i64>) -> Result<Option<u64>, StoreError> {
        let Some(size) = size.and_then(|size| u64::try_from(size).ok()) else {
            return Ok(None);
        };
        let path = self.inner.blob_path(digest);
        let there = blocking(move || exists(&path)).await?;
        if !there {
            tracing::error!(%digest, "the file of a stored blob has vanished");
        }
        Ok(there.then_some(size))
    }
}

fn exists(path: &Path) -> Result<bool, StoreError> {
    path.try_exists()
        .map_err(|error| StoreError::io("look for", path, error))
}
