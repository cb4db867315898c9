//! Blobs as repositories hold them: whether one may be read, how large it is, and opening it.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use metahub_oci::{Digest, RepositoryName};

use crate::StoreError;
use crate::open_blob::{OpenBlob, Stamp, judge};
use crate::records::Access;
use crate::store::{Inner, Store, blocking};

/// Blobs up to this size, in bytes, lie in the database and are served from memory: most
/// configurations, and what artifacts hold.
pub(crate) const INLINE: u64 = 64 * 1024;

/// What is wrong with a blob whose file is missing.
pub(crate) const MISSING: &str = "its file is missing";

/// A blob that somebody may read. Its content may still be found missing or damaged.
#[derive(Clone)]
pub struct Blob {
    digest: Digest,
    access: Access,
    /// Whether `access.body` was seen to hash to something else.
    damaged: bool,
    /// Whose cache entry led here, to be forgotten if the file has vanished.
    repository: Option<RepositoryName>,
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blob")
            .field("digest", &self.digest)
            .field("size", &self.access.size)
            .finish_non_exhaustive()
    }
}

impl Blob {
    /// A blob whose content is known to be right.
    pub(crate) fn new(
        inner: Arc<Inner>,
        digest: Digest,
        access: Access,
        repository: Option<RepositoryName>,
    ) -> Self {
        Self {
            digest,
            access,
            damaged: false,
            repository,
            inner,
        }
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// Its digest.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Its size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.access.size
    }

    /// Its file, which is never written again once it is there. Small blobs have none.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        let in_file = self.access.body.is_none();
        in_file.then(|| self.inner.blob_path(&self.digest))
    }

    fn problem(&self, problem: String) -> StoreError {
        StoreError::Damaged {
            digest: self.digest.clone(),
            problem,
        }
    }

    /// Opens the file and checks that it has the size that the blob has. Blocks.
    fn open_file(&self) -> Result<(File, Stamp), StoreError> {
        let path = self.inner.blob_path(&self.digest);
        let opened = File::open(&path).and_then(|file| Ok((Stamp::of(&file)?, file)));
        match opened {
            Ok((stamp, file)) if stamp.size() == self.size() => Ok((file, stamp)),
            Ok((stamp, _)) => Err(self.problem(format!(
                "its file holds {} bytes instead of {}",
                stamp.size(),
                self.size()
            ))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Unless all of them are.
                self.inner.check_in_place_now()?;
                Err(self.problem(MISSING.to_owned()))
            }
            Err(error) => Err(StoreError::io("open", &path, error)),
        }
    }

    /// Opens the blob for reading. A missing or short file is found here, before anything is
    /// promised to a client.
    pub async fn open(&self) -> Result<OpenBlob, StoreError> {
        if let Some(body) = &self.access.body {
            if self.damaged {
                return Err(self.problem("its bytes hash to something else".to_owned()));
            }
            return Ok(OpenBlob::in_memory(self.clone(), body.clone()));
        }
        // What is hot costs no open, and no way to a blocking thread and back.
        if let Some((file, stamp)) = self.inner.verified.opened(&self.digest)
            && stamp.size() == self.size()
        {
            return Ok(OpenBlob::in_file(self.clone(), file, stamp));
        }
        let this = self.clone();
        let opened = blocking(move || this.open_file()).await;
        if let (Err(StoreError::Damaged { .. }), Some(repository)) = (&opened, &self.repository) {
            let key = (repository.clone(), self.digest.clone());
            self.inner.caches.blobs.forget(&key);
        }
        let (file, stamp) = opened?;
        let (file, verified) = (Arc::new(file), &self.inner.verified);
        if verified.holds(&self.digest, stamp) {
            verified.keep_open(&self.digest, &file);
        }
        Ok(OpenBlob::in_file(self.clone(), file, stamp))
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
        let size = self.size();
        if size > limit {
            return Err(StoreError::TooLarge {
                digest: self.digest.clone(),
                size,
                limit,
            });
        }
        if let Some(body) = self.access.body.as_ref().filter(|_| !self.damaged) {
            return Ok(body.clone());
        }
        let this = self.clone();
        blocking(move || {
            let (mut file, stamp) = this.open_file()?;
            let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
            io::Read::read_to_end(&mut file, &mut bytes).map_err(|error| {
                StoreError::io("read", &this.inner.blob_path(&this.digest), error)
            })?;
            let found = Digest::of(this.digest.algorithm(), &bytes);
            judge(&this, stamp, found)?;
            Ok(Bytes::from(bytes))
        })
        .await
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
        if let Some(access) = blobs.get(&key) {
            let (repository, digest) = key;
            let inner = Arc::clone(&self.inner);
            return Ok(Some(Blob::new(inner, digest, access, Some(repository))));
        }
        let ticket = blobs.ticket(&key);
        let access = self.inner.records.blob(repository, digest).await?;
        let Some(blob) = self.found(digest, access, Some(repository)).await? else {
            return Ok(None);
        };
        if !blob.damaged {
            blobs.fill(ticket, key, blob.access.clone());
        }
        Ok(Some(blob))
    }

    /// The blob `digest` if it is stored at all. Never for an answer to a client: whether it may
    /// read the blob is what [`Store::blob`] says.
    pub async fn blob_anywhere(&self, digest: &Digest) -> Result<Option<Blob>, StoreError> {
        let access = self.inner.records.stored_blob(digest).await?;
        self.found(digest, access, None).await
    }

    /// The blob that the records know, if its content is there.
    async fn found(
        &self,
        digest: &Digest,
        access: Option<Access>,
        repository: Option<&RepositoryName>,
    ) -> Result<Option<Blob>, StoreError> {
        let Some(access) = access else {
            return Ok(None);
        };
        let blob = self.known_blob(digest, access, repository);
        if let Some(path) = blob.path()
            && !blocking(move || exists(&path)).await?
        {
            // Unless all of them have: that it is not there would not be true.
            self.check_in_place().await?;
            tracing::error!(%digest, "the file of a stored blob has vanished");
            return Ok(None);
        }
        Ok(Some(blob))
    }

    /// The blob that the records know, whether or not its content is there.
    pub(crate) fn known_blob(
        &self,
        digest: &Digest,
        access: Access,
        repository: Option<&RepositoryName>,
    ) -> Blob {
        let damaged = access
            .body
            .as_ref()
            .is_some_and(|body| body.len() as u64 != access.size || !digest.matches(body));
        if damaged {
            tracing::error!(%digest, "stored content is damaged");
        }
        Blob {
            damaged,
            ..Blob::new(
                Arc::clone(&self.inner),
                digest.clone(),
                access,
                repository.cloned(),
            )
        }
    }
}

fn exists(path: &Path) -> Result<bool, StoreError> {
    path.try_exists()
        .map_err(|error| StoreError::io("look for", path, error))
}
