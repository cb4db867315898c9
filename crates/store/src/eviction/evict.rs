//! Evicts content that came from upstreams, least recently used first, to keep the cache within
//! bounds. Evicted content can be fetched again.
//!
//! Only manifests that were fetched from an upstream are evicted, in repositories without pushes,
//! and the blobs that nothing else needs. The rows are removed in one transaction, which checks
//! again whether the manifest was used meanwhile; a blob's file is removed as garbage is. Open
//! readers of it are not disturbed. The caller decides when and how much to evict.

use std::time::{Duration, SystemTime};

use metahub_oci::{Digest, RepositoryName};

use crate::StoreError;
use crate::gc::collect::Gc;
use crate::records::UnlinkedBlob;
use crate::store::Store;

/// Blobs that are evicted at once.
const BATCH: u32 = 1000;

/// The evicted content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evicted {
    /// Removed blobs.
    pub blobs: u64,
    /// Bytes of those, and of removed manifests.
    pub bytes: u64,
}

impl Store {
    /// Evicts a manifest that was not used since `unused_since`, with the indexes that lead to
    /// nothing else here, their tags, and the blobs that nothing else needs. `None` if it was used
    /// or is no longer a candidate.
    pub async fn evict(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        unused_since: SystemTime,
    ) -> Result<Option<Evicted>, StoreError> {
        self.check_removable().await?;
        let records = &self.inner.records;
        let evicted = records
            .evict_manifest(repository, digest, unused_since)
            .await?;
        let Some(manifest) = evicted else {
            return Ok(None);
        };
        let mut evicted = self.remove_unlinked(&manifest.blobs).await?;
        evicted.bytes += manifest.bytes;
        Ok(Some(evicted))
    }

    /// Evicts blobs of upstreams that no manifest there names, and that came longer than
    /// `spare` ago; those that were fetched there, longer than `spare_fetched` ago. Others may be
    /// part of an import whose manifest comes last.
    pub async fn evict_unreferenced(
        &self,
        spare: Duration,
        spare_fetched: Duration,
    ) -> Result<Evicted, StoreError> {
        self.check_removable().await?;
        let now = SystemTime::now();
        let [linked, given] = [spare, spare_fetched]
            .map(|spare| now.checked_sub(spare).unwrap_or(SystemTime::UNIX_EPOCH));
        let records = &self.inner.records;
        let blobs = records.evict_unreferenced(linked, given, BATCH).await?;
        self.remove_unlinked(&blobs).await
    }

    /// Removes blobs that no repository may read any more.
    async fn remove_unlinked(&self, blobs: &[UnlinkedBlob]) -> Result<Evicted, StoreError> {
        let gc = Gc::now(self);
        let mut evicted = Evicted::default();
        for blob in blobs {
            if gc.remove_blob(blob).await? {
                evicted.blobs += 1;
                evicted.bytes += blob.size;
            }
        }
        Ok(evicted)
    }
}
