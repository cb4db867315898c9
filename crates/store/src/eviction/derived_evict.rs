//! Keeping records of derived content within their bound: what was used least recently goes, with
//! its manifest, the children that were made for it, and their configurations. All of it can be
//! derived again, to the same bytes.
//!
//! A manifest stays while anything else refers to it: a tag, an index, a referrer, another record,
//! or somebody who pushed it; then only its record goes.

use crate::StoreError;
use crate::gc::collect::Gc;
use crate::store::Store;

/// Records that go in one transaction, at most: others write in between.
const BATCH: u32 = 100;

/// What went of derived content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EvictedDerived {
    /// Records.
    pub records: u64,
    /// Manifests and indexes.
    pub manifests: u64,
    /// Configurations.
    pub blobs: u64,
}

impl Store {
    /// Evicts records of derived content, least recently used first, if they take more than
    /// `most` bytes, until they take a little less.
    pub async fn evict_derived(&self, most: u64) -> Result<EvictedDerived, StoreError> {
        let mut evicted = EvictedDerived::default();
        let target = most - most / 20;
        loop {
            if self.derived_total().await?.bytes <= if evicted.records == 0 { most } else { target }
            {
                return Ok(evicted);
            }
            let batch = {
                // Nobody is in the middle of storing what shares parts with what goes.
                let _alone = self.inner.deriving.write().await;
                self.inner.records.evict_derived(target, BATCH).await?
            };
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
