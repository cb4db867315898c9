//! Blobs of repositories: access checks and sizes.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use metahub_oci::{Digest, RepositoryName};

use crate::StoreError;
use crate::records::Access;
use crate::store::{Inner, Store};

/// Blobs up to this size, in bytes, are stored in the database and served from memory: most
/// configurations, and artifacts.
pub(crate) const INLINE: u64 = 64 * 1024;

/// A blob with read access granted. Its content may still turn out missing or damaged.
#[derive(Clone)]
pub struct Blob {
    digest: Digest,
    pub(crate) access: Access,
    /// Whether `access.body` was seen to hash to something else.
    pub(crate) damaged: bool,
    /// The repository of the cache entry that led here, to be dropped if the file has vanished.
    pub(crate) repository: Option<RepositoryName>,
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
    /// A blob with verified content.
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

    /// Whether its bytes are in the database, as those of small blobs are.
    pub(crate) fn is_inline(&self) -> bool {
        self.access.body.is_some()
    }

    /// The bytes of `range`, opened on first use. See [`OpenBlob::stream`](crate::OpenBlob::stream).
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

    /// All bytes, verified, of a small blob, such as a configuration.
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
        self.open().await?.read_all().await
    }
}

impl Store {
    /// The blob `digest` if `repository` holds it: pushed there, mounted, or fetched for it. A
    /// digest alone gives no access. A blob whose file has vanished counts as absent.
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

    /// The blob `digest` if it is stored at all. Never for an answer to a client: [`Store::blob`]
    /// checks its access.
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
        if !blob.is_inline() && self.inner.content.size(digest).await?.is_none() {
            // Unless all have vanished, as on an unmounted disk.
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
