//! Keeping what is kept of upstreams within bounds: what was used least recently goes, and is
//! fetched again when somebody asks for it.
//!
//! Safe are pinned names, what the collections in force name, what was used a moment ago, and
//! whatever pushed content refers to.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, SystemTime};

use metahub_oci::{Digest, Host, Reference, RepositoryName};
use metahub_store::{Candidate, CandidatesAfter, Evicted, Origin};

use crate::blob::parse_sources;
use crate::enter::{BEHIND, shown};
use crate::source::parse;
use crate::usage::Used;
use crate::{ImmutableTags, Registry, RegistryError};

/// Candidates that are looked at at once.
const PAGE: usize = 200;

/// How much may be kept of upstreams.
#[derive(Clone, Debug)]
pub struct CacheSettings {
    /// Bytes of all together.
    pub size: Option<u64>,
    /// Bytes of one, by its host.
    pub sizes: BTreeMap<Host, u64>,
    /// Names that never go: patterns of a whole `HOST/NAME:TAG`.
    pub pinned: ImmutableTags,
    /// What was used less than this ago stays, though the bound is passed.
    pub spare: Duration,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            size: None,
            sizes: BTreeMap::new(),
            pinned: ImmutableTags::default(),
            spare: Duration::from_secs(60),
        }
    }
}

impl CacheSettings {
    /// Whether anything has a bound.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        self.size.is_some() || !self.sizes.is_empty()
    }
}

/// What one look at the bounds found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Bytes that are kept now, by the host as repositories' names have it.
    pub bytes: BTreeMap<String, u64>,
    /// Images and artifacts that were evicted.
    pub evicted: u64,
    /// Bytes that came free.
    pub freed: u64,
    /// Whether more is kept than configured all the same.
    pub over: bool,
}

/// Manifests that stay: the repository that keeps them, and their digest.
type Safe = HashSet<(RepositoryName, Digest)>;

impl Registry {
    /// Notes that a manifest is used, where that decides what stays.
    pub(crate) fn used(&self, repository: &RepositoryName, digest: &Digest) {
        if self.settings().cache.is_bounded() {
            self.inner.usage.note(repository, digest);
        }
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
        Ok(self.store().touch_manifests(used).await?)
    }

    /// What a derived manifest was made from is used with it.
    async fn sources_of(&self, (name, digest, at): &Used) -> Result<Vec<Used>, RegistryError> {
        let Some(stored) = self.store().manifest(name, digest).await? else {
            return Ok(Vec::new());
        };
        if stored.origin != Origin::Derived {
            return Ok(Vec::new());
        }
        let mut sources = Vec::new();
        for image in parse_sources(stored.source.as_deref().unwrap_or_default()) {
            let Reference::Digest(digest) = image.reference() else {
                continue;
            };
            for place in self.as_itself().places_of_image(&image)? {
                sources.push((place.kept().clone(), digest.clone(), *at));
            }
        }
        Ok(sources)
    }

    /// Evicts until the bounds hold, as far as anything may go.
    pub async fn keep_bounds(&self) -> Result<Kept, RegistryError> {
        self.write_usage().await?;
        let bytes = self.store().kept_bytes().await?;
        let mut kept = Kept {
            bytes,
            ..Kept::default()
        };
        if !self.is_over(&kept) {
            return Ok(self.told(kept));
        }
        let strays = self.store().evict_strays().await?;
        kept.freed += strays.bytes;
        let spare = self.settings().cache.spare;
        kept.freed += self.store().sweep_fills(spare).await?;
        let safe = self.safe().await?;
        let cache = self.settings().cache.clone();
        for (host, bound) in &cache.sizes {
            let host = self.kept_host(host);
            self.shrink(&mut kept, Some(&host), *bound, &safe).await?;
        }
        if let Some(bound) = cache.size {
            self.shrink(&mut kept, None, bound, &safe).await?;
        }
        kept.bytes = self.store().kept_bytes().await?;
        tracing::info!(
            evicted = kept.evicted,
            freed = kept.freed,
            kept = kept.bytes.values().sum::<u64>(),
            "evicted what was used least recently"
        );
        kept.over = self.is_over(&kept);
        if kept.over {
            tracing::warn!(
                kept = kept.bytes.values().sum::<u64>(),
                "more is kept of upstreams than configured: the rest is pinned, named by a \
                 collection, pushed as well, or in use"
            );
        }
        Ok(self.told(kept))
    }

    fn told(&self, kept: Kept) -> Kept {
        let counters = self.counters();
        counters.evicted.add(kept.evicted);
        counters.bytes_evicted.add(kept.freed);
        let mut shown = BTreeMap::new();
        for (host, bytes) in &kept.bytes {
            let host = host.strip_prefix(BEHIND).unwrap_or(host);
            *shown.entry(host.to_owned()).or_insert(0) += *bytes;
        }
        *counters.kept.lock() = shown;
        kept
    }

    fn is_over(&self, kept: &Kept) -> bool {
        let cache = &self.settings().cache;
        let over = |bytes: u64, bound: Option<u64>| bound.is_some_and(|bound| bytes > bound);
        let of = |host: &Host| {
            let host = self.kept_host(host);
            kept.bytes.get(&host).copied().unwrap_or(0)
        };
        over(kept.bytes.values().sum(), cache.size)
            || cache
                .sizes
                .iter()
                .any(|(host, size)| over(of(host), Some(*size)))
    }

    /// Evicts of one host, or of all, until at most `bound` bytes are kept.
    async fn shrink(
        &self,
        kept: &mut Kept,
        host: Option<&str>,
        bound: u64,
        safe: &Safe,
    ) -> Result<(), RegistryError> {
        loop {
            let bytes = self.store().kept_bytes().await?;
            let now = match host {
                Some(host) => bytes.get(host).copied().unwrap_or(0),
                None => bytes.values().sum(),
            };
            let Some(excess) = now.checked_sub(bound).filter(|excess| *excess > 0) else {
                return Ok(());
            };
            if !self.evict_some(kept, host, excess, safe).await? {
                return Ok(());
            }
        }
    }

    /// Evicts until about `excess` bytes are free. Whether anything went.
    async fn evict_some(
        &self,
        kept: &mut Kept,
        host: Option<&str>,
        excess: u64,
        safe: &Safe,
    ) -> Result<bool, RegistryError> {
        let cutoff = SystemTime::now()
            .checked_sub(self.settings().cache.spare)
            .unwrap_or(SystemTime::UNIX_EPOCH);
        let (mut after, mut freed, mut any) = (CandidatesAfter::default(), 0, false);
        loop {
            let (candidates, next) = self.store().candidates(host, after, PAGE).await?;
            after = next;
            if candidates.is_empty() {
                return Ok(any);
            }
            for candidate in candidates {
                if candidate.used_at > cutoff || freed >= excess {
                    return Ok(any);
                }
                if self.stays(&candidate, safe) {
                    continue;
                }
                let (repository, digest) = (&candidate.repository, &candidate.digest);
                let went = self.store().evict(repository, digest, cutoff).await?;
                let Some(Evicted { bytes, .. }) = went else {
                    continue;
                };
                tracing::debug!(%repository, %digest, bytes, "evicted");
                any = true;
                freed += bytes;
                kept.evicted += 1;
                kept.freed += bytes;
            }
        }
    }

    fn stays(&self, candidate: &Candidate, safe: &Safe) -> bool {
        let Candidate {
            repository,
            digest,
            tags,
            ..
        } = candidate;
        let pinned = &self.settings().cache.pinned;
        let name = shown(repository);
        tags.iter().any(|tag| pinned.has(&name, tag))
            || safe.contains(&(repository.clone(), digest.clone()))
    }

    /// What the collections in force lead to.
    async fn safe(&self) -> Result<Safe, RegistryError> {
        let mut safe = Safe::new();
        let catalog = self.catalog();
        for entry in catalog.collections().flat_map(|c| &c.entries) {
            for place in self.as_itself().places_of_image(&entry.image)? {
                let kept = place.kept();
                let digest = match entry.image.reference() {
                    Reference::Digest(digest) => Some(digest),
                    Reference::Tag(tag) => {
                        let record = self.store().tag(kept, &tag).await?;
                        record.map(|record| record.digest.clone())
                    }
                };
                let Some(digest) = digest else { continue };
                if let Some(stored) = self.store().manifest(kept, &digest).await?
                    && let Ok(metahub_oci::Document::Index(index)) = parse(&stored)
                {
                    let children = index.manifests().iter().map(|c| c.digest().clone());
                    safe.extend(children.map(|child| (kept.clone(), child)));
                }
                safe.insert((kept.clone(), digest));
            }
        }
        Ok(safe)
    }
}
