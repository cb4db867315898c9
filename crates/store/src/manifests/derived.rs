//! Records of derived content: which manifest an outcome led to, found again by the digest over
//! everything that decided its bytes. A bounded cache; see [`crate::eviction::derived_evict`].

use std::sync::Arc;

use metahub_oci::{Digest, RepositoryName};
use tokio::sync::OwnedRwLockReadGuard;

use crate::StoreError;
use crate::records::{Derived, DerivedTotal};
use crate::store::Store;

/// While this is held, no derived manifest, and nothing that one names, is evicted or collected.
#[derive(Debug)]
pub struct Deriving {
    _guard: OwnedRwLockReadGuard<()>,
}

impl Store {
    /// To be held from before the first part of derived content is stored until its record is:
    /// a child or a configuration that another record shares must not go in between.
    pub async fn deriving(&self) -> Deriving {
        Deriving {
            _guard: Arc::clone(&self.inner.deriving).read_owned().await,
        }
    }

    /// What the outcome `key` led to.
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

    /// Remembers that the outcome `key` led to the manifest `digest`, which `repository` holds,
    /// and which takes `bytes` with what was made for it. Whether the repository holds it; if not,
    /// nothing is remembered. Forgotten with the manifest.
    pub async fn put_derived(
        &self,
        key: &Digest,
        repository: &RepositoryName,
        digest: &Digest,
        bytes: u64,
    ) -> Result<bool, StoreError> {
        let records = &self.inner.records;
        records.put_derived(key, repository, digest, bytes).await
    }

    /// How much derived content is remembered.
    pub async fn derived_total(&self) -> Result<DerivedTotal, StoreError> {
        self.inner.records.derived_total().await
    }
}
