//! The part of garbage collection for derived manifests that cannot be served any more: an image
//! that they were derived from is in no repository, or no record leads to them. A derived manifest
//! stays while anything refers to it: a tag, an index, a referrer.
//!
//! Works in batches: memory does not grow with the number of manifests.

use crate::StoreError;
use crate::gc::collect::Gc;
use crate::records::Cursor;

/// Manifests that are looked at, and removed, at once.
const BATCH: u32 = 200;

impl Gc<'_> {
    /// Removes derived manifests that cannot be served any more. Returns how many.
    pub(crate) async fn derived(&self) -> Result<u64, StoreError> {
        let records = &self.store.inner.records;
        if self.dry_run {
            return records.count_stale(self.cutoff).await;
        }
        let mut removed = 0;
        // The children of an index can be removed after it: repeated until nothing is.
        loop {
            let before = removed;
            let mut after = Some(Cursor::default());
            while let Some(from) = after {
                let batch = records.stale_derived(self.cutoff, from, BATCH).await?;
                after = batch.next;
                if batch.items.is_empty() {
                    continue;
                }
                // No outcome is being stored that refers to removed manifests.
                let _alone = self.store.inner.deriving.write().await;
                removed += records.remove_stale(batch.items, self.cutoff).await?;
            }
            if removed == before {
                return Ok(removed);
            }
        }
    }
}
