//! Writes the counts in memory to the records, and reads a report from those.

use std::time::{Duration, SystemTime};

use metahub_oci::{Digest, RepositoryName, Tag};

use crate::Registry;
use crate::demand::got::{DemandKind, Got};
use crate::demand::report::Demand;
use crate::demand::settings::{DemandSettings, Puller};
use crate::error::RegistryError;

impl Registry {
    /// Notes what a pull got, in memory only.
    pub(crate) fn note_demand(
        &self,
        image: (&RepositoryName, &Tag),
        got: &Got,
        puller: &Puller<'_>,
    ) {
        let counters = self.counters();
        match got.kind() {
            DemandKind::None => counters.demand_none.inc(),
            DemandKind::Generic => counters.demand_generic.inc(),
            DemandKind::Fallback => counters.demand_fallback.inc(),
            DemandKind::Exact => counters.demand_exact.inc(),
        };
        if self.settings().demand.limit == 0 {
            return;
        }
        let node = puller.node.and_then(|node| self.number_of(node));
        if !self.inner.demand.note(image, got, puller, node) {
            counters.demand_dropped.inc();
        }
    }

    /// A keyed hash that distinguishes nodes without naming them.
    fn number_of(&self, node: &str) -> Option<i64> {
        let secret = self.settings().demand.secret.as_ref()?.expose();
        let hash = Digest::sha256(&[secret.as_slice(), node.as_bytes()].concat());
        let number = u64::from_str_radix(hash.hex().get(..16)?, 16).ok()?;
        Some(number.cast_signed())
    }

    /// Removes old records, and all of them if nothing is recorded any more.
    pub async fn expire_demand(&self) -> Result<(), RegistryError> {
        let DemandSettings { limit, keep, .. } = &self.settings().demand;
        let (limit, keep) = (*limit, *keep);
        let keep = if limit == 0 { Duration::ZERO } else { keep };
        let expired = self.store().add_demand(Vec::new(), limit, keep);
        Ok(expired.await.map(drop)?)
    }

    /// Records the counts since the last call, and removes old records. Counts that cannot be
    /// recorded now are dropped.
    pub async fn write_demand(&self) -> Result<(), RegistryError> {
        let settings = &self.settings().demand;
        let counts = self.inner.demand.take();
        if counts.is_empty() {
            return Ok(());
        }
        let noted = counts.len() as u64;
        let added = self
            .store()
            .add_demand(counts, settings.limit, settings.keep);
        let dropped = match added.await {
            Ok(dropped) => dropped,
            Err(error) => {
                self.counters().demand_dropped.inc_by(noted);
                return Err(error.into());
            }
        };
        self.counters().demand_dropped.inc_by(dropped);
        Ok(())
    }

    /// The demand since then, for the images `NAME:TAG` that `is_shown`.
    pub async fn demand(
        &self,
        since: SystemTime,
        is_shown: impl Fn(&str) -> bool + Send,
    ) -> Result<Demand, RegistryError> {
        self.write_demand().await?;
        let records = self.store().demand(since).await?;
        let is_recorded = self.settings().demand.limit > 0;
        Ok(Demand::of(records, is_shown, is_recorded))
    }
}
