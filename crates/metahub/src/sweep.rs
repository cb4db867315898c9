//! Periodically discards abandoned uploads: those that were not continued for the configured time.

use std::time::Duration;

use metahub_store::Store;
use tokio::time::{MissedTickBehavior, interval};

use crate::guarded::guarded;

/// The longest interval of checks, which are cheap.
const OFTEN_ENOUGH: Duration = Duration::from_mins(10);
const NOT_TOO_OFTEN: Duration = Duration::from_secs(1);

/// Checks for abandoned uploads for as long as the store is open.
pub(crate) fn keep(store: Store, idle: Duration) {
    let mut clock = interval((idle / 4).clamp(NOT_TOO_OFTEN, OFTEN_ENOUGH));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::spawn(async move {
        loop {
            clock.tick().await;
            let swept = store.clone();
            match guarded("sweep", async move { swept.sweep_uploads(idle).await }).await {
                Ok(_) => {}
                Err(metahub_store::StoreError::Closed) => return,
                // Retried later; until then they only take space.
                Err(error) => tracing::warn!(%error, "abandoned uploads could not be discarded"),
            }
        }
    });
}
