//! Evicts records of derived content beyond their bound or age, least recently used first, with
//! their manifests, the children that were made for those, their configurations and their
//! provenance. All of it can be derived again, to the same bytes.
//!
//! A manifest stays while anything else refers to it: a tag, an index, a referrer, another record,
//! or a push of it; then only its record is removed. A pinned manifest stays with its record.

use std::time::SystemTime;

use crate::StoreError;
use crate::gc::collect::Gc;
use crate::records::DerivedEviction;
use crate::store::Store;

/// Most records that are evicted in one transaction, so that others can write in between.
const BATCH: u32 = 100;

/// The bound of derived content. Pinned content does not count, and stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DerivedBound {
    /// Bytes of all records together.
    pub bytes: u64,
    /// Bytes of those that only one client without an account requested: if `bytes` is exceeded,
    /// content above this is evicted first.
    pub of_one_client: u64,
    /// Content that was not used since is evicted in any case.
    pub unused_since: SystemTime,
}

/// The evicted derived content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EvictedDerived {
    /// Records.
    pub records: u64,
    /// Manifests and indexes.
    pub manifests: u64,
    /// Configurations and documents.
    pub blobs: u64,
}

impl Store {
    /// Evicts records of derived content, least recently used first, if they take more than
    /// `most` bytes, until they take a little less.
    pub async fn evict_derived(&self, most: u64) -> Result<EvictedDerived, StoreError> {
        let bound = DerivedBound {
            bytes: most,
            of_one_client: most,
            unused_since: SystemTime::UNIX_EPOCH,
        };
        self.bound_derived(bound).await
    }

    /// The same; and evicts those that were not used since `bound` says, however few there are.
    pub async fn bound_derived(&self, bound: DerivedBound) -> Result<EvictedDerived, StoreError> {
        let mut evicted = EvictedDerived::default();
        let is_over = self.derived_total().await?.bytes > bound.bytes;
        if !is_over && bound.unused_since == SystemTime::UNIX_EPOCH {
            return Ok(evicted);
        }
        let records = &self.inner.records;
        let mut eviction = DerivedEviction {
            bytes: bound.bytes,
            of_one_client: 0,
            unused_since: bound.unused_since,
        };
        if is_over {
            eviction.bytes -= bound.bytes / 20;
            let theirs = records.derived_of_one_client().await?;
            eviction.of_one_client = theirs.saturating_sub(bound.of_one_client);
        }
        loop {
            let batch = {
                // No outcome is being stored that shares parts with the evicted ones.
                let _alone = self.inner.deriving.write().await;
                records.evict_derived(eviction, BATCH).await?
            };
            let gone = batch.of_one_client;
            eviction.of_one_client = eviction.of_one_client.saturating_sub(gone);
            evicted.records += batch.records;
            evicted.manifests += batch.manifests;
            let gc = Gc::now(self);
            for blob in &batch.blobs {
                evicted.blobs += u64::from(gc.remove_blob(blob).await?);
            }
            if batch.records == 0 {
                return Ok(evicted);
            }
        }
    }
}
