//! The bound of derived content: what was used least recently goes.

use crate::Registry;
use crate::error::RegistryError;

impl Registry {
    /// Evicts derived content that was used least recently, if there is more than the bound. A
    /// failure is no reason to refuse a pull.
    pub(crate) async fn bound_derived(&self) {
        let most = self.settings().cache.derived;
        let outcome = async {
            if self.store().derived_total().await?.bytes <= most {
                return Ok(());
            }
            self.write_usage().await?;
            let evicted = self.store().evict_derived(most).await?;
            self.counters().derived_evicted.inc_by(evicted.records);
            tracing::info!(
                records = evicted.records,
                manifests = evicted.manifests,
                "evicted derived content that was used least recently"
            );
            Ok::<_, RegistryError>(())
        };
        if let Err(error) = outcome.await {
            tracing::warn!(%error, "derived content is beyond its bound");
        }
    }
}
