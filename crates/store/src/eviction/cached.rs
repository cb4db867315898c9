//! Content cached from upstreams: its size, when it was used, and which manifests can be evicted,
//! least recently used first. Only reads the database; [`crate::eviction::evict`] evicts.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use metahub_oci::Tag;

use crate::StoreError;
use crate::records::{Candidate, CandidatesAfter, Use, Which};
use crate::store::Store;

impl Store {
    /// Records uses of manifests. A power cut may undo it.
    pub async fn record_use(&self, used: Vec<Use>) -> Result<(), StoreError> {
        self.inner.records.record_use(used).await
    }

    /// Bytes of the blobs and manifests that are cached from upstreams, each counted once for an
    /// upstream, by the first component of the repositories' names; and of its interrupted fills.
    /// Costs the same however much is cached.
    pub async fn cached_bytes(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        let mut cached = self.inner.records.cached_bytes().await?;
        for (host, bytes) in self.inner.content.resumable_bytes() {
            *cached.entry(host).or_default() += bytes;
        }
        Ok(cached)
    }

    /// The same without interrupted fills, recounted from all cached content: for tests.
    #[doc(hidden)]
    pub async fn recounted_bytes(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        self.inner.records.recounted_bytes().await
    }

    /// Bytes of content that only single clients without an account requested: blobs that no other
    /// manifest of their repository names, and manifests. Reads all cached content.
    pub async fn bytes_of_one_client(&self) -> Result<u64, StoreError> {
        self.inner.records.bytes_of_one_client().await
    }

    /// How often all cached manifests were sorted since startup.
    #[must_use]
    pub fn orderings(&self) -> u64 {
        self.inner.orderings.load(Ordering::Relaxed)
    }

    /// Manifests that can be evicted, least recently used first. At most `limit`, and the start of
    /// the next ones. Sorts all of them, whatever the limit is: ask for many at once.
    pub async fn candidates(
        &self,
        which: Which<'_>,
        after: CandidatesAfter,
        limit: usize,
    ) -> Result<(Vec<Candidate>, CandidatesAfter), StoreError> {
        self.inner.orderings.fetch_add(1, Ordering::Relaxed);
        let records = &self.inner.records;
        records.eviction_candidates(which, after, limit).await
    }

    /// The tags that lead to it.
    pub async fn tags_of(&self, candidate: &Candidate) -> Result<Vec<Tag>, StoreError> {
        let records = &self.inner.records;
        records
            .tags_leading_to(&candidate.repository, &candidate.digest)
            .await
    }
}
