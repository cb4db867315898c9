//! What machines of each kind got for images, by day.

use std::time::{Duration, SystemTime};

use crate::StoreError;
use crate::records::{DemandBounds, DemandCount, DemandRecord};
use crate::store::Store;

/// Most nodes that are counted for each kind of machine and image.
pub const MOST_NODES: usize = 64;

/// Counts that share a transaction, so that other writes do not wait long.
const AT_ONCE: usize = 256;

const DAY: u64 = 24 * 60 * 60;

impl Store {
    /// Adds pulls of today, with at most `keys` different ones, and removes records older than
    /// `keep`. Returns how many counts were dropped for want of room. Becomes durable a little
    /// later.
    pub async fn add_demand(
        &self,
        counts: Vec<DemandCount>,
        keys: u64,
        keep: Duration,
    ) -> Result<u64, StoreError> {
        let now = SystemTime::now();
        let bounds = DemandBounds {
            keys,
            nodes: MOST_NODES,
            since: day(now.checked_sub(keep).unwrap_or(SystemTime::UNIX_EPOCH)),
        };
        let mut dropped = 0;
        let mut counts = counts.into_iter();
        loop {
            let some: Vec<DemandCount> = counts.by_ref().take(AT_ONCE).collect();
            let last = some.len() < AT_ONCE;
            let added = self.inner.records.add_demand(some, day(now), bounds);
            dropped += added.await?;
            if last {
                return Ok(dropped);
            }
        }
    }

    /// Pulls from the day of `since` on, in order.
    pub async fn demand(&self, since: SystemTime) -> Result<Vec<DemandRecord>, StoreError> {
        self.inner.records.demand(day(since)).await
    }
}

/// The day, counted from 1970 in UTC.
fn day(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs() / DAY).unwrap_or(0))
}
