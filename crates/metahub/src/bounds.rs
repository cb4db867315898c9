//! Checks after fetches whether the cache of upstream content is within its bounds.

use std::time::{Duration, Instant};

use metahub_registry::{CacheSettings, Registry, RegistryError};
use metahub_store::StoreError;
use tokio::time::{MissedTickBehavior, interval};

use crate::guarded::guarded;

/// The interval of checking a counter in memory.
const LOOK: Duration = Duration::from_secs(2);
/// Uses that are not stored yet are lost with the process.
const WRITE: Duration = Duration::from_secs(60);
/// Content also comes by other ways, such as imports.
const AT_LEAST: Duration = Duration::from_mins(10);

/// Keeps the bounds for as long as the store is open.
pub(crate) fn keep(registry: Registry, settings: &CacheSettings) {
    if !settings.is_bounded() {
        write_usage(registry);
        return;
    }
    // Recently used content may be evicted later.
    let again = settings.spare.clamp(LOOK, AT_LEAST);
    let mut clock = interval(LOOK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::spawn(async move {
        let (mut seen, mut next, mut written) = (None, Instant::now(), Instant::now());
        loop {
            clock.tick().await;
            let counts = registry.counts();
            // A part of an interrupted fetch may be kept.
            let ended = counts.fetches_failed + counts.fetches_paused;
            let blobs = (counts.bytes_fetched, ended);
            let fetched = (blobs, counts.manifests_fetched);
            let now = Instant::now();
            let outcome = if seen != Some(fetched) || now >= next {
                seen = Some(fetched);
                written = now;
                let bounded = registry.clone();
                let kept = guarded("bounds", async move { bounded.evict_to_bounds().await }).await;
                let holds = kept.as_ref().is_ok_and(|kept| !kept.over);
                next = now + if holds { AT_LEAST } else { again };
                kept.map(drop)
            } else if now >= written + WRITE {
                written = now;
                let used = registry.clone();
                guarded("usage", async move { used.write_usage().await }).await
            } else {
                Ok(())
            };
            match outcome {
                Ok(()) => {}
                Err(RegistryError::Store(StoreError::Closed)) => return,
                Err(error) => tracing::warn!(%error, "the bounds of the cache were not kept"),
            }
        }
    });
}

/// Stores uses, if the cache of upstreams has no bound: derived content has one.
fn write_usage(registry: Registry) {
    let mut clock = interval(WRITE);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::spawn(async move {
        loop {
            clock.tick().await;
            let used = registry.clone();
            match guarded("usage", async move { used.write_usage().await }).await {
                Ok(()) => {}
                Err(RegistryError::Store(StoreError::Closed)) => return,
                Err(error) => tracing::warn!(%error, "what was used is not written down"),
            }
        }
    });
}
