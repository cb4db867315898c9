//! Records of derived content: the manifest of an outcome, by the digest over everything that
//! decided its bytes. A bounded cache; see [`crate::eviction::derived_evict`].

use std::sync::Arc;

use bytes::Bytes;
use metahub_oci::{Digest, Document, RepositoryName};
use tokio::sync::OwnedRwLockReadGuard;

use crate::StoreError;
use crate::blobs::blob::INLINE;
use crate::records::{
    Access, Derived, DerivedTotal, NewBlob, NewManifest, NewOutcome, PutError, PutManifest,
};
use crate::store::Store;

/// The outcome of a derivation.
#[derive(Clone, Debug)]
pub struct DerivedOutcome {
    /// Its key: the digest over everything that decided its bytes.
    pub key: Digest,
    /// Its configurations and documents, and their bytes, which hash to their digests.
    pub blobs: Vec<(Digest, Bytes)>,
    /// Its manifests, each after those that it names.
    pub manifests: Vec<(Document, PutManifest)>,
    /// The manifest of them that is served.
    pub served: Digest,
    /// Its size in bytes.
    pub bytes: u64,
}

/// While this is held, no derived manifest, and nothing that one names, is evicted or collected.
#[derive(Debug)]
pub struct Deriving {
    _guard: OwnedRwLockReadGuard<()>,
}

impl Store {
    /// To be held from before the first part of derived content is stored until its record is
    /// written: a child or a configuration that another record shares must not be removed in
    /// between.
    pub async fn deriving(&self) -> Deriving {
        Deriving {
            _guard: Arc::clone(&self.inner.deriving).read_owned().await,
        }
    }

    /// The manifest of the outcome `key`.
    pub async fn derived(&self, key: &Digest) -> Result<Option<Arc<Derived>>, StoreError> {
        let cache = &self.inner.caches.derived;
        if let Some(derived) = cache.get(key) {
            return Ok(Some(derived));
        }
        let ticket = cache.ticket(key);
        let derived = self.inner.records.derived(key).await?.map(Arc::new);
        if let Some(derived) = &derived {
            cache.fill(ticket, key.clone(), Arc::clone(derived));
        }
        Ok(derived)
    }

    /// Stores an outcome in `repository` and records it, durably: in one transaction, except for
    /// blobs that are too large for the database, which come first. The record is removed with the
    /// manifest that is served.
    pub async fn put_outcome(
        &self,
        repository: &RepositoryName,
        outcome: DerivedOutcome,
    ) -> Result<(), PutError> {
        let (small, large): (Vec<_>, Vec<_>) = outcome
            .blobs
            .into_iter()
            .partition(|(_, bytes)| bytes.len() as u64 <= INLINE);
        for (digest, bytes) in large {
            self.inner.publish_made(repository, digest, bytes).await?;
        }
        let blobs = small.into_iter().map(|(digest, bytes)| NewBlob {
            digest,
            access: Access {
                size: bytes.len() as u64,
                body: Some(bytes),
            },
            repository: Some(repository.clone()),
            given: false,
            upload: None,
        });
        let manifests = outcome.manifests.into_iter();
        let manifests =
            manifests.map(|(document, options)| NewManifest::new(repository, &document, options));
        let new = NewOutcome {
            key: outcome.key,
            repository: repository.clone(),
            blobs: blobs.collect(),
            manifests: manifests.collect(),
            served: outcome.served,
            bytes: outcome.bytes,
        };
        self.inner.records.publish_outcome(new).await
    }

    /// The total of derived content.
    pub async fn derived_total(&self) -> Result<DerivedTotal, StoreError> {
        self.inner.records.derived_total().await
    }
}
