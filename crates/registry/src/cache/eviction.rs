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

use metahub_oci::{Digest, Host, Reference, RepositoryName};
use metahub_store::{Candidate, CandidatesAfter, Disk, Evicted, Origin, Use, Which};

use crate::Registry;
use crate::access::pass_through::{PASS_THROUGH_PREFIX, shown};
use crate::cache::free_space::Free;
use crate::error::RegistryError;
use crate::provenance::parse_sources;
use crate::pull::source::parse;
use crate::push::immutable::ImmutableTags;

/// Candidates that are put in order at once: one ordering is enough for nearly every eviction.
const PAGE: usize = 10_000;

/// How much may be cached from upstreams.
#[derive(Clone, Debug)]
pub struct CacheSettings {
    /// Bytes of all together.
    pub size: Option<u64>,
    /// Bytes of one, by its host.
    pub sizes: BTreeMap<Host, u64>,
    /// What is left free of the disk. Nothing unless it is said: what is right depends on whose
    /// disk it is, which the program that serves decides.
    pub keep_free: Free,
    /// The largest blob that is fetched, in bytes.
    pub largest_blob: u64,
    /// Percent of the cache for what only single clients without an account asked for.
    pub anonymous_share: u8,
    /// Names that never go: patterns of a whole `HOST/NAME:TAG`.
    pub pinned: ImmutableTags,
    /// What was used less than this ago stays, though the bound is passed.
    pub spare: Duration,
    /// Bytes of what was derived here: of the documents. Their layers lie where they came from.
    pub derived: u64,
    /// What was derived here and not used for so long is evicted; for ever, if it is zero.
    pub keep_derived: Duration,
    /// How long a fetch that nobody reads waits for a reader before it is given up. Nothing is read
    /// from the upstream meanwhile.
    pub unread: Duration,
    /// How long a fetch waits for room before its client is told to come again.
    pub patience: Duration,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            size: None,
            sizes: BTreeMap::new(),
            keep_free: Free::Bytes(0),
            largest_blob: 64 * 1024 * 1024 * 1024,
            anonymous_share: 50,
            pinned: ImmutableTags::default(),
            spare: Duration::from_secs(60),
            derived: 1024 * 1024 * 1024,
            keep_derived: Duration::from_secs(90 * 24 * 60 * 60),
            unread: Duration::from_secs(5),
            patience: Duration::from_secs(20),
        }
    }
}

impl CacheSettings {
    /// Whether anything of upstreams has a bound.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        self.size.is_some()
            || !self.sizes.is_empty()
            || !matches!(self.keep_free, Free::Bytes(0) | Free::Percent(0))
    }
}

/// What one look at the bounds found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EvictionReport {
    /// Bytes that are kept now, by the host as repositories' names have it.
    pub bytes: BTreeMap<String, u64>,
    /// Images and artifacts that were evicted.
    pub evicted: u64,
    /// Bytes that came free.
    pub freed: u64,
    /// Whether more is kept than configured all the same.
    pub over: bool,
}

/// Looks at what is over after an eviction: it can free less than it seemed to, where content is
/// held twice.
const MOST_PASSES: usize = 3;

/// Bytes by which bounds are passed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Excess {
    /// Of the whole cache, or of the disk.
    total: u64,
    /// So much of that is above the share of single clients without an account.
    of_one_client: u64,
    /// So much of that in turn only arrives: nothing that others use goes for it.
    arriving: u64,
    /// Of one upstream.
    of_hosts: Vec<(String, u64)>,
}

impl Excess {
    fn is_none(&self) -> bool {
        self.total == 0 && self.of_hosts.is_empty()
    }
}

/// How many bytes must go for `all` that is kept and being fetched, and `needed` more: for the
/// cache's bound, or for the disk, on which `to_come` bytes of all this are not written yet.
fn total_excess(cache: &CacheSettings, disk: Disk, all: u64, to_come: u64, needed: u64) -> u64 {
    let bound = cache.size.unwrap_or(u64::MAX);
    let over_bound = all.saturating_add(needed).saturating_sub(bound);
    let least_free = cache.keep_free.of(disk.size).saturating_add(to_come);
    over_bound.max(least_free.saturating_sub(disk.free))
}

/// How large the cache may be: as its bound says, or as the disk allows.
fn whole_cache(cache: &CacheSettings, disk: Disk, all: u64, to_come: u64) -> u64 {
    let more = disk.free.saturating_sub(cache.keep_free.of(disk.size));
    let on_disk = all.saturating_sub(to_come).saturating_add(more);
    cache.size.unwrap_or(u64::MAX).min(on_disk)
}

/// Manifests that stay: the repository that keeps them, and their digest.
type Safe = HashSet<(RepositoryName, Digest)>;

impl Registry {
    /// Notes that a manifest is used, where that decides what stays.
    pub(crate) fn used(&self, repository: &RepositoryName, digest: &Digest) {
        if self.settings().cache.is_bounded() {
            self.inner.usage.note(repository, digest, self.client);
        }
    }

    /// Notes that what a login chose is used: what is derived has a bound in any case.
    pub(crate) fn used_derived(&self, repository: &RepositoryName, digest: &Digest) {
        self.inner.usage.note(repository, digest, self.client);
    }

    /// Writes down what was used since the last call.
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

    /// What a derived manifest was made from is used with it.
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

    /// Evicts until the bounds hold, as far as anything may go.
    pub async fn evict_to_bounds(&self) -> Result<EvictionReport, RegistryError> {
        let _making = self.inner.room.making().await;
        self.make_room(0).await
    }

    /// Evicts until the bounds hold with `needed` bytes more, as far as anything may go. For one
    /// caller at a time.
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
        // What is needed at once comes before what somebody may go on with, and before what was
        // asked for by its digest alone: so no client passes the bound by asking for much in a row.
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

    /// Bytes that are kept, and those of running fetches, by host.
    async fn measured(&self) -> Result<BTreeMap<String, u64>, RegistryError> {
        let mut bytes = self.store().cached_bytes().await?;
        self.inner.room.counted(bytes.values().sum());
        for (host, taken) in self.inner.room.taken() {
            *bytes.entry(host).or_default() += taken;
        }
        Ok(bytes)
    }

    /// By how much the cache passes its bounds, with `needed` bytes more; nothing where all
    /// hold.
    async fn excess(
        &self,
        report: &EvictionReport,
        needed: u64,
    ) -> Result<Option<Excess>, RegistryError> {
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
        let mut excess = Excess {
            total,
            of_one_client: 0,
            arriving: 0,
            of_hosts: of_hosts.collect(),
        };
        let whole = whole_cache(cache, disk, all, to_come);
        let share = whole / 100 * u64::from(cache.anonymous_share.min(100));
        // While there is room for all, nobody's share matters.
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

    /// Evicts by what is passed. Whether anything went.
    async fn shrink(
        &self,
        report: &mut EvictionReport,
        excess: &Excess,
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
        // One that fills its share within a moment is not spared for having done so just now.
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

    /// What the collections in force and pins lead to.
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
