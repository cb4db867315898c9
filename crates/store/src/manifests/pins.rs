//! Pins: manifests that stay until an operator removes the pin. See
//! `docs/decisions/derived-content-is-kept-for-a-time.md`.

use metahub_oci::{Digest, RepositoryName};

use crate::StoreError;
use crate::records::{Pin, Pinning};
use crate::store::Store;

impl Store {
    /// Pins, at most: each is looked at before content of upstreams is evicted.
    pub const MOST_PINS: u64 = 10_000;

    /// Pins a manifest: neither it nor what it leads to is evicted or collected.
    pub async fn pin(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Pinning, StoreError> {
        let records = &self.inner.records;
        records.pin(repository, digest, Self::MOST_PINS).await
    }

    /// Removes a pin. Returns whether there was one.
    pub async fn unpin(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, StoreError> {
        self.inner.records.unpin(repository, digest).await
    }

    /// All pins, in order of their names.
    pub async fn pins(&self) -> Result<Vec<Pin>, StoreError> {
        self.inner.records.pins().await
    }
}
