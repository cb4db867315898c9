//! What happened since the start, for monitoring: how often kept content was enough, and what
//! upstreams gave. Counting never waits for anybody.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use metahub_oci::Host;
use parking_lot::Mutex;

use crate::Registry;

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tags of upstreams that were answered without asking them.
    pub tags_kept: u64,
    /// Tags of upstreams that were asked for there.
    pub tags_asked: u64,
    /// Tags of upstreams that were answered from what is kept because the upstream failed.
    pub tags_stale: u64,
    /// Manifests that were fetched from upstreams.
    pub manifests_fetched: u64,
    /// Blobs that were read from here.
    pub blobs_held: u64,
    /// Blobs that were read while they arrived from an upstream.
    pub blobs_arriving: u64,
    /// Blobs that were fetched from upstreams, each once however many read along.
    pub blobs_fetched: u64,
    /// The bytes of those.
    pub bytes_fetched: u64,
    /// Blobs that were not fetched, because they had come for another repository.
    pub blobs_shared: u64,
    /// Blobs whose fetching broke off.
    pub fetches_failed: u64,
    /// Blobs whose fetching paused, because nobody read them.
    pub fetches_paused: u64,
    /// Tags whose derived content was known.
    pub derived_known: u64,
    /// Tags whose content was derived.
    pub derived_made: u64,
    /// Choices of an image of which something that it requires cannot be read.
    pub unknown_served: u64,
    /// Refusals because no image fits the login.
    pub nothing_fitted: u64,
    /// Look-ups of what refers to an image that an upstream refused or does not offer.
    pub referrers_refused: u64,
    /// Records of derived content that were evicted.
    pub derived_evicted: u64,
    /// Images and artifacts of upstreams that were evicted.
    pub evicted: u64,
    /// Bytes that came free by that.
    pub bytes_evicted: u64,
    /// Garbage collections that were done.
    pub gc_runs: u64,
    /// Blobs that they removed.
    pub gc_blobs: u64,
    /// Bytes that they freed.
    pub gc_bytes: u64,
    /// Scrubs that were done.
    pub scrub_runs: u64,
    /// Blobs and manifests that they found damaged or missing.
    pub scrub_findings: u64,
    /// Those that could be fetched again.
    pub scrub_refilled: u64,
}

/// Requests to one upstream since the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamCounts {
    /// The host that its images are written with.
    pub host: Host,
    /// Requests, each attempt counted.
    pub asked: u64,
    /// Those that failed.
    pub failed: u64,
    /// Whether it failed too often in a row and is left alone for now.
    pub resting: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) tags_kept: Counter,
    pub(crate) tags_asked: Counter,
    pub(crate) tags_stale: Counter,
    pub(crate) manifests_fetched: Counter,
    pub(crate) blobs_held: Counter,
    pub(crate) blobs_arriving: Counter,
    pub(crate) blobs_fetched: Counter,
    pub(crate) bytes_fetched: Counter,
    pub(crate) blobs_shared: Counter,
    pub(crate) fetches_failed: Counter,
    pub(crate) fetches_paused: Counter,
    pub(crate) derived_known: Counter,
    pub(crate) derived_made: Counter,
    pub(crate) unknown_served: Counter,
    pub(crate) nothing_fitted: Counter,
    pub(crate) referrers_refused: Counter,
    pub(crate) derived_evicted: Counter,
    pub(crate) evicted: Counter,
    pub(crate) bytes_evicted: Counter,
    /// Bytes that are cached from upstreams, as they were last looked at.
    pub(crate) cached_bytes: Mutex<BTreeMap<String, u64>>,
    pub(crate) gc_runs: Counter,
    pub(crate) gc_blobs: Counter,
    pub(crate) gc_bytes: Counter,
    pub(crate) scrub_runs: Counter,
    pub(crate) scrub_findings: Counter,
    pub(crate) scrub_refilled: Counter,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn one_more(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Registry {
    /// What happened since the start.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let counters = self.counters();
        Counts {
            tags_kept: counters.tags_kept.get(),
            tags_asked: counters.tags_asked.get(),
            tags_stale: counters.tags_stale.get(),
            manifests_fetched: counters.manifests_fetched.get(),
            blobs_held: counters.blobs_held.get(),
            blobs_arriving: counters.blobs_arriving.get(),
            blobs_fetched: counters.blobs_fetched.get(),
            bytes_fetched: counters.bytes_fetched.get(),
            blobs_shared: counters.blobs_shared.get(),
            fetches_failed: counters.fetches_failed.get(),
            fetches_paused: counters.fetches_paused.get(),
            derived_known: counters.derived_known.get(),
            derived_made: counters.derived_made.get(),
            unknown_served: counters.unknown_served.get(),
            nothing_fitted: counters.nothing_fitted.get(),
            referrers_refused: counters.referrers_refused.get(),
            derived_evicted: counters.derived_evicted.get(),
            evicted: counters.evicted.get(),
            bytes_evicted: counters.bytes_evicted.get(),
            gc_runs: counters.gc_runs.get(),
            gc_blobs: counters.gc_blobs.get(),
            gc_bytes: counters.gc_bytes.get(),
            scrub_runs: counters.scrub_runs.get(),
            scrub_findings: counters.scrub_findings.get(),
            scrub_refilled: counters.scrub_refilled.get(),
        }
    }

    /// Bytes that are cached from upstreams, as they were last looked at; nothing where no bound is
    /// configured.
    #[must_use]
    pub fn kept_bytes(&self) -> BTreeMap<String, u64> {
        self.counters().cached_bytes.lock().clone()
    }

    /// The same of each upstream, those of one host together.
    #[must_use]
    pub fn upstream_counts(&self) -> Vec<UpstreamCounts> {
        let mut counts: Vec<UpstreamCounts> = Vec::new();
        for upstream in self.upstreams().known() {
            let (asked, failed) = upstream.requests();
            match counts.iter_mut().find(|of| of.host == *upstream.host()) {
                Some(of) => {
                    of.asked += asked;
                    of.failed += failed;
                    of.resting |= upstream.is_resting();
                }
                None => counts.push(UpstreamCounts {
                    host: upstream.host().clone(),
                    asked,
                    failed,
                    resting: upstream.is_resting(),
                }),
            }
        }
        counts
    }
}
