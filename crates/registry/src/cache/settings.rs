//! The settings of the cache.

use std::collections::BTreeMap;
use std::time::Duration;

use metahub_oci::Host;

use crate::cache::free_space::Free;
use crate::push::immutable::ImmutableTags;

/// Bounds of the cache of upstream content and of derived content.
#[derive(Clone, Debug)]
pub struct CacheSettings {
    /// Most bytes of all upstreams together.
    pub size: Option<u64>,
    /// Most bytes of one upstream, by its host.
    pub sizes: BTreeMap<Host, u64>,
    /// How much of the disk is left free. Nothing by default: what is right depends on whose disk
    /// it is, which the serving program decides.
    pub keep_free: Free,
    /// The largest blob that is fetched, in bytes.
    pub largest_blob: u64,
    /// Percent of the cache for what only single clients without an account asked for.
    pub anonymous_share: u8,
    /// Names that are never evicted: patterns of a whole `HOST/NAME:TAG`.
    pub pinned: ImmutableTags,
    /// Content that was used less than this ago is not evicted, even beyond the bound.
    pub spare: Duration,
    /// Most bytes of derived documents. Their layers are stored with their sources.
    pub derived: u64,
    /// Derived content that was not used for so long is evicted; never, if it is zero.
    pub keep_derived: Duration,
    /// How long a fetch without readers waits for one before it is abandoned. Nothing is read from
    /// the upstream meanwhile.
    pub unread: Duration,
    /// How long a fetch waits for room before its client gets 503 and retries.
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
    /// Whether the cache of upstream content has a bound.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        self.size.is_some()
            || !self.sizes.is_empty()
            || !matches!(self.keep_free, Free::Bytes(0) | Free::Percent(0))
    }
}
