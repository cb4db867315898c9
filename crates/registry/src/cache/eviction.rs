//! Evicts content cached from upstreams, least recently used first, to keep the cache within its
//! bounds. Evicted content is fetched again on demand.
//!
//! Not evicted: pinned names, content that the current collections name, content that was used a
//! moment ago, and everything that pushed content refers to. Content that only a single client
//! without an account asked for has a share of its own, and is evicted first where that is
//! exceeded, so that no such client evicts what others use. See
//! `docs/decisions/evict-least-recently-used.md`.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, SystemTime};

use metahub_oci::{Digest, Reference, RepositoryName};
use metahub_store::{Candidate, CandidatesAfter, Disk, Evicted, Origin, Use, Which};

use crate::Registry;
use crate::access::pass_through::{PASS_THROUGH_PREFIX, shown};
use crate::cache::settings::CacheSettings;
use crate::error::RegistryError;
use crate::provenance::parse_sources;
use crate::pull::source::parse;

/// Candidates that are put in order at once: one ordering is enough for nearly every eviction.
const PAGE: usize = 10_000;

/// The report of one check of the bounds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EvictionReport {
    /// Cached bytes, by the host as in repositories' names.
    pub bytes: BTreeMap<String, u64>,
    /// Images and artifacts that were evicted.
    pub evicted: u64,
    /// Bytes that were freed.
    pub freed: u64,
    /// Whether the cache still exceeds a bound.
    pub over: bool,
}

/// Checks after an eviction: it can free less than it seemed to, where content is held twice.
const MOST_PASSES: usize = 3;

/// Bytes by which bounds are exceeded.
#[derive(Debug, Default, PartialEq, Eq)]
struct CacheExcess {
    /// Of the whole cache, or of the disk.
    total: u64,
    /// The part of that above the share of single clients without an account.
    of_one_client: u64,
    /// The part of that which is still arriving: no content that others use is evicted for it.
    arriving: u64,
    /// Of one upstream.
    of_hosts: Vec<(String, u64)>,
}

impl CacheExcess {
    fn is_none(&self) -> bool {
        self.total == 0 && self.of_hosts.is_empty()
    }
}

/// How many bytes must be evicted, given `all` bytes that are cached and being fetched, and
/// `needed` more: for the cache's bound, or for the disk, to which `to_come` of these bytes are not
/// written yet.
fn total_excess(cache: &CacheSettings, disk: Disk, all: u64, to_come: u64, needed: u64) -> u64 {
    let bound = cache.size.unwrap_or(u64::MAX);
    let over_bound = all.saturating_add(needed).saturating_sub(bound);
    let least_free = cache.keep_free.of(disk.size).saturating_add(to_come);
    over_bound.max(least_free.saturating_sub(disk.free))
}

/// The maximum size of the cache, by its bound or by the disk.
fn whole_cache(cache: &CacheSettings, disk: Disk, all: u64, to_come: u64) -> u64 {
    let more = disk.free.saturating_sub(cache.keep_free.of(disk.size));
    let on_disk = all.saturating_sub(to_come).saturating_add(more);
    cache.size.unwrap_or(u64::MAX).min(on_disk)
}

/// Manifests that are not evicted: their repository and digest.
type Safe = HashSet<(RepositoryName, Digest)>;

impl Registry {
    /// Notes a use of a manifest, where that decides about eviction.
    pub(crate) fn used(&self, repository: &RepositoryName, digest: &Digest) {
        if self.settings().cache.is_bounded() {
            self.inner.usage.note(repository, digest, self.client);
        }
    }

    /// Notes a use of derived content, which always has a bound.
    pub(crate) fn used_derived(&self, repository: &RepositoryName, digest: &Digest) {
        self.inner.usage.note(repository, digest, self.client);
    }

    /// Stores the uses since the last call.
    pub async fn write_usage(&self) -> Result<(), RegistryError> {
        let mut used = self.inner.usage.take();
        let mut sources = Vec::new();
        for one in &used {
            sources.extend(self.sources_of(one).await?);
        }
        used.extend(sources);
        if used.is_empty() {
            return Ok(());
        }
        Ok(self.store().record_use(used).await?)
    }

    /// The sources of a derived manifest, which are used with it.
    async fn sources_of(&self, used: &Use) -> Result<Vec<Use>, RegistryError> {
        let stored = self
            .store()
            .manifest(&used.repository, &used.digest)
            .await?;
        let Some(stored) = stored else {
            return Ok(Vec::new());
        };
        if stored.origin != Origin::Derived {
            return Ok(Vec::new());
        }
        let mut sources = Vec::new();
        for image in parse_sources(&stored.sources) {
            let Reference::Digest(digest) = image.reference() else {
                continue;
            };
            for location in self.as_itself().locations_of_image(&image).await? {
                sources.push(Use {
                    repository: location.storage().clone(),
                    digest: digest.clone(),
                    ..used.clone()
                });
            }
        }
        Ok(sources)
    }

    /// Evicts until the bounds hold, as far as content may be evicted.
    pub async fn evict_to_bounds(&self) -> Result<EvictionReport, RegistryError> {
        let _making = self.inner.room.making().await;
        self.make_room(0).await
    }

    /// Evicts until the bounds hold with `needed` bytes more, as far as content may be evicted. For
    /// one caller at a time.
    pub(crate) async fn make_room(&self, needed: u64) -> Result<EvictionReport, RegistryError> {
        self.write_usage().await?;
        let mut report = EvictionReport {
            bytes: self.measured().await?,
            ..EvictionReport::default()
        };
        let excess = self.excess(&report, needed).await?;
        if excess.is_none() {
            return Ok(self.counted(report));
        }
        let spare = self.settings().cache.spare;
        // Bytes that are needed now take precedence over interrupted fetches, and over content that
        // was requested by its digest alone: so no client exceeds the bound by many requests in a
        // row.
        let idle = if needed > 0 { Duration::ZERO } else { spare };
        report.freed += self.store().evict_unreferenced(spare, idle).await?.bytes;
        report.freed += self.store().sweep_fills(idle).await?;
        let safe = self.safe().await?;
        for _ in 0..MOST_PASSES {
            report.bytes = self.measured().await?;
            let Some(excess) = self.excess(&report, needed).await? else {
                break;
            };
            if !self.shrink(&mut report, &excess, &safe).await? {
                break;
            }
        }
        report.bytes = self.measured().await?;
        report.over = self.excess(&report, needed).await?.is_some();
        let cached = report.bytes.values().sum::<u64>();
        tracing::info!(
            evicted = report.evicted,
            freed = report.freed,
            cached,
            "evicted what was used least recently"
        );
        if report.over && cached == 0 {
            tracing::warn!(
                "nothing can be fetched from upstreams: less of the disk is free than the cache \
                 leaves free (cache.keep_free), and nothing is cached that could be evicted"
            );
        } else if report.over {
            tracing::warn!(
                cached,
                "more is cached of upstreams than configured: the rest is pinned, named by a \
                 collection, pushed as well, or in use"
            );
        }
        Ok(self.counted(report))
    }

    /// Cached bytes, and those of running fetches, by host.
    async fn measured(&self) -> Result<BTreeMap<String, u64>, RegistryError> {
        let mut bytes = self.store().cached_bytes().await?;
        self.inner.room.counted(bytes.values().sum());
        for (host, taken) in self.inner.room.taken() {
            *bytes.entry(host).or_default() += taken;
        }
        Ok(bytes)
    }

    /// By how much the cache exceeds its bounds, with `needed` bytes more.
    async fn excess(
        &self,
        report: &EvictionReport,
        needed: u64,
    ) -> Result<Option<CacheExcess>, RegistryError> {
        let cache = &self.settings().cache;
        if self.upstreams().offline() {
            return Ok(None);
        }
        let disk = self.store().disk().await?;
        let to_come = self.inner.room.to_come().saturating_add(needed);
        let all: u64 = report.bytes.values().sum();
        let total = total_excess(cache, disk, all, to_come, needed);
        let of_hosts = cache.sizes.iter().filter_map(|(host, bound)| {
            let host = self.storage_host(host);
            let bytes = report.bytes.get(&host).copied().unwrap_or(0);
            let over = bytes.checked_sub(*bound).filter(|over| *over > 0)?;
            Some((host, over))
        });
        let mut excess = CacheExcess {
            total,
            of_one_client: 0,
            arriving: 0,
            of_hosts: of_hosts.collect(),
        };
        let whole = whole_cache(cache, disk, all, to_come);
        let share = whole / 100 * u64::from(cache.anonymous_share.min(100));
        // While there is room for all, shares do not matter.
        if total > 0 && cache.anonymous_share < 100 {
            let asked = if self.client == 0 { 0 } else { needed };
            let arriving = self.inner.room.of_clients().saturating_add(asked);
            let brought = self.store().bytes_of_one_client().await?;
            let above = brought.saturating_add(arriving).saturating_sub(share);
            excess.of_one_client = above.min(total);
            excess.arriving = arriving.min(excess.of_one_client);
        }
        Ok((!excess.is_none()).then_some(excess))
    }

    /// Evicts for the exceeded bounds. Returns whether anything was evicted.
    async fn shrink(
        &self,
        report: &mut EvictionReport,
        excess: &CacheExcess,
        safe: &Safe,
    ) -> Result<bool, RegistryError> {
        let (before, freed_before) = (report.evicted, report.freed);
        let now = SystemTime::now();
        let spared = now
            .checked_sub(self.settings().cache.spare)
            .unwrap_or(SystemTime::UNIX_EPOCH);
        let one_client = Which {
            host: None,
            of_one_client: true,
        };
        // Recent use does not protect content of a client that fills its share within a moment.
        self.evict_some(report, one_client, excess.of_one_client, now, safe)
            .await?;
        for (host, over) in &excess.of_hosts {
            let of_host = Which {
                host: Some(host),
                of_one_client: false,
            };
            self.evict_some(report, of_host, *over, spared, safe)
                .await?;
        }
        let freed = report.freed - freed_before;
        let rest = excess.total.saturating_sub(freed.max(excess.arriving));
        self.evict_some(report, Which::default(), rest, spared, safe)
            .await?;
        Ok(report.evicted > before)
    }

    /// Evicts what was not used since `cutoff`, until about `excess` bytes are free.
    async fn evict_some(
        &self,
        report: &mut EvictionReport,
        which: Which<'_>,
        excess: u64,
        cutoff: SystemTime,
        safe: &Safe,
    ) -> Result<(), RegistryError> {
        let (mut after, mut freed) = (CandidatesAfter::default(), 0);
        while freed < excess {
            let (candidates, next) = self.store().candidates(which, after, PAGE).await?;
            after = next;
            let last_page = candidates.len() < PAGE;
            for candidate in candidates {
                if candidate.used_at > cutoff || freed >= excess {
                    return Ok(());
                }
                if self.stays(&candidate, safe).await? {
                    continue;
                }
                let (repository, digest) = (&candidate.repository, &candidate.digest);
                let went = self.store().evict(repository, digest, cutoff).await?;
                let Some(Evicted { bytes, .. }) = went else {
                    continue;
                };
                tracing::debug!(%repository, %digest, bytes, "evicted");
                freed += bytes;
                report.evicted += 1;
                report.freed += bytes;
            }
            if last_page {
                return Ok(());
            }
        }
        Ok(())
    }

    fn counted(&self, report: EvictionReport) -> EvictionReport {
        let counters = self.counters();
        counters.evicted.inc_by(report.evicted);
        counters.bytes_evicted.inc_by(report.freed);
        let mut shown = BTreeMap::new();
        for (host, bytes) in &report.bytes {
            let host = host.strip_prefix(PASS_THROUGH_PREFIX).unwrap_or(host);
            *shown.entry(host.to_owned()).or_insert(0) += *bytes;
        }
        *counters.cached_bytes.lock() = shown;
        report
    }

    async fn stays(&self, candidate: &Candidate, safe: &Safe) -> Result<bool, RegistryError> {
        let (repository, digest) = (&candidate.repository, &candidate.digest);
        if safe.contains(&(repository.clone(), digest.clone())) {
            return Ok(true);
        }
        let pinned = &self.settings().cache.pinned;
        if pinned.is_empty() {
            return Ok(false);
        }
        let name = shown(repository);
        let tags = self.store().tags_of(candidate).await?;
        Ok(tags.iter().any(|tag| pinned.has(&name, tag)))
    }

    /// Everything that the current collections and pins lead to.
    async fn safe(&self) -> Result<Safe, RegistryError> {
        let mut safe: Safe = self.pinned().await?.into_iter().collect();
        let catalog = self.catalog();
        for entry in catalog.collections().flat_map(|c| &c.entries) {
            for location in self.as_itself().locations_of_image(&entry.image).await? {
                let storage = location.storage();
                let digest = match entry.image.reference() {
                    Reference::Digest(digest) => Some(digest),
                    Reference::Tag(tag) => {
                        let record = location.stored().tag(&tag).await?;
                        record.map(|record| record.digest.clone())
                    }
                };
                let Some(digest) = digest else { continue };
                if let Some(stored) = location.stored().manifest(&digest).await?
                    && let Ok(metahub_oci::Document::Index(index)) = parse(&stored)
                {
                    let children = index.manifests().iter().map(|c| c.digest().clone());
                    safe.extend(children.map(|child| (storage.clone(), child)));
                }
                safe.insert((storage.clone(), digest));
            }
        }
        Ok(safe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::free_space::Free;

    #[test]
    fn what_must_go_is_what_passes_the_bound_or_the_free_space() {
        let disk = |free| Disk { size: 1000, free };
        let cache = |size| CacheSettings {
            size,
            keep_free: Free::Percent(10),
            ..CacheSettings::default()
        };
        for (size, free, all, to_come, needed, total, whole) in [
            (None, 500, 400, 0, 0, 0, 800),
            (None, 100, 400, 0, 0, 0, 400),
            (None, 50, 400, 0, 0, 50, 400),
            // What is being fetched is not on the disk yet.
            (None, 150, 400, 60, 0, 10, 390),
            (None, 150, 400, 60, 60, 10, 390),
            (Some(300), 500, 400, 0, 0, 100, 300),
            (Some(300), 500, 200, 0, 100, 0, 300),
            (Some(300), 500, 250, 0, 100, 50, 300),
            (Some(300), 0, 250, 0, 100, 100, 250),
        ] {
            let cache = cache(size);
            assert_eq!(
                total_excess(&cache, disk(free), all, to_come, needed),
                total
            );
            assert_eq!(whole_cache(&cache, disk(free), all, to_come), whole);
        }
    }
}
