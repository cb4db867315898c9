//! Records what the machines of logins got, once a minute, for as long as the store is open.

use std::time::Duration;

use metahub_registry::{Registry, RegistryError};
use metahub_store::StoreError;
use tokio::time::{MissedTickBehavior, interval};

use crate::guarded::guarded;

/// Counts that are not recorded yet are lost with the process.
const WRITE: Duration = Duration::from_secs(60);

/// Records what is counted, and first removes what is too old.
pub(crate) fn keep(registry: Registry) {
    let mut clock = interval(WRITE);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::spawn(async move {
        let mut is_first = true;
        loop {
            clock.tick().await;
            let of = registry.clone();
            let written = guarded("demand", async move {
                if is_first {
                    of.expire_demand().await?;
                }
                of.write_demand().await
            });
            match written.await {
                Ok(()) => is_first = false,
                Err(RegistryError::Store(StoreError::Closed)) => return,
                Err(error) => tracing::warn!(%error, "what machines got is not recorded"),
            }
        }
    });
}
