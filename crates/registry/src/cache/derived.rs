//! The bound and the maximum age of derived content: least recently used content is evicted.

use std::time::SystemTime;

use metahub_store::DerivedBound;

use crate::Registry;
use crate::error::RegistryError;

impl Registry {
    /// Evicts the least recently used derived content beyond the bound. A failure does not fail a
    /// pull.
    pub(crate) async fn bound_derived(&self) {
        if let Err(error) = self.evict_derived(SystemTime::UNIX_EPOCH).await {
            tracing::warn!(%error, "derived content is beyond its bound");
        }
    }

    /// The same, and content beyond its maximum age.
    pub(crate) async fn expire_derived(&self) {
        let keep = self.settings().cache.keep_derived;
        let expired = SystemTime::now().checked_sub(keep);
        let unused_since = match expired.filter(|_| !keep.is_zero()) {
            Some(time) => time,
            None => SystemTime::UNIX_EPOCH,
        };
        if let Err(error) = self.evict_derived(unused_since).await {
            tracing::warn!(%error, "derived content that was not used for long stays");
        }
    }

    async fn evict_derived(&self, unused_since: SystemTime) -> Result<(), RegistryError> {
        let cache = &self.settings().cache;
        let is_over = self.store().derived_total().await?.bytes > cache.derived;
        if !is_over && unused_since == SystemTime::UNIX_EPOCH {
            return Ok(());
        }
        self.write_usage().await?;
        let share = u64::from(cache.anonymous_share.min(100));
        let bound = DerivedBound {
            bytes: cache.derived,
            of_one_client: cache.derived / 100 * share,
            unused_since,
        };
        let evicted = self.store().bound_derived(bound).await?;
        self.counters().derived_evicted.inc_by(evicted.records);
        if evicted.records > 0 {
            tracing::info!(
                records = evicted.records,
                manifests = evicted.manifests,
                "evicted derived content that was used least recently"
            );
        }
        Ok(())
    }
}
