//! Counters since startup, for monitoring: cache hits, fetches, derivations, upkeep. Each counter
//! is declared once, in `counters!`; counting is one atomic addition.

use std::collections::BTreeMap;

use metahub_oci::Host;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use crate::Registry;

/// A counter with one label.
type Labelled = Family<[(&'static str, &'static str); 1], Counter>;

/// Declares the counters: their metric (to which `_total` is added) with its help, and the field
/// that counts it, or one field for each value of its label.
macro_rules! counters {
    (
        $($plain:ident: $metric:literal, $help:literal;)+
        $([by $label:ident] $name:literal, $about:literal: {
            $($field:ident = $value:literal,)+
        })+
    ) => {
        /// Counts since the start.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counts {
            $(#[doc = $help] pub $plain: u64,)+
            $($(#[doc = $about] #[doc = concat!(": ", $value)] pub $field: u64,)+)+
        }

        #[derive(Debug)]
        pub(crate) struct Counters {
            $(pub(crate) $plain: Counter,)+
            $($(pub(crate) $field: Counter,)+)+
            /// Metrics with a label, which share their counters with the fields above.
            labelled: Vec<(&'static str, &'static str, Labelled)>,
            /// Bytes cached from upstreams, as last measured.
            pub(crate) cached_bytes: Mutex<BTreeMap<String, u64>>,
        }

        impl Default for Counters {
            fn default() -> Self {
                let mut labelled = Vec::new();
                $(
                    let family = Labelled::default();
                    $(let $field = family.get_or_create_owned(&[(stringify!($label), $value)]);)+
                    labelled.push(($name, $about, family));
                )+
                Self {
                    $($plain: Counter::default(),)+
                    $($($field,)+)+
                    labelled,
                    cached_bytes: Mutex::default(),
                }
            }
        }

        impl Counters {
            fn counts(&self) -> Counts {
                Counts {
                    $($plain: self.$plain.get(),)+
                    $($($field: self.$field.get(),)+)+
                }
            }

            fn register(&self, metrics: &mut prometheus_client::registry::Registry) {
                $(metrics.register($metric, $help, self.$plain.clone());)+
                for (name, about, family) in &self.labelled {
                    metrics.register(*name, *about, family.clone());
                }
            }
        }
    };
}

counters! {
    manifests_fetched: "metahub_fetched_manifests", "Manifests that were fetched from upstreams";
    bytes_fetched: "metahub_fetched_bytes", "Bytes of blobs that were fetched from upstreams";
    nothing_fitted: "metahub_nothing_fits",
        "Pulls that were refused because no image fits the login";
    named_looked_up: "metahub_named_images_looked_up",
        "Images that profiles and collections name which were looked up, because what was known of \
         them no longer stood";
    answers_standing: "metahub_pulls_answered_as_before",
        "Pulls under a profile that were answered as the one before, because nothing had changed";
    denied_by_profile: "metahub_denied_by_profile", "Pulls that a profile refused";
    unknown_served: "metahub_unknown_requirements",
        "Choices of an image of which something that it requires cannot be read";
    referrers_refused: "metahub_referrers_refused",
        "Look-ups of what refers to an image that an upstream refused or does not offer";
    derived_evicted: "metahub_derived_evicted",
        "Records of derived content that were evicted to keep their bound";
    evicted: "metahub_evictions", "Images and artifacts of upstreams that were evicted";
    bytes_evicted: "metahub_evicted_bytes", "Bytes that came free by that";
    gc_runs: "metahub_gc_runs", "Garbage collections that were done";
    gc_blobs: "metahub_gc_removed_blobs", "Blobs that garbage collection removed";
    gc_bytes: "metahub_gc_freed_bytes", "Bytes that garbage collection freed";
    scrub_runs: "metahub_scrub_runs", "Scrubs that were done";

    demand_dropped: "metahub_demand_dropped",
        "Combinations of image, kind of machine and what it got whose pulls were not recorded, for \
         want of room or because the records could not be written";

    layers_inspected: "metahub_inspected_layers", "Layers whose code was read";

    [by outcome] "metahub_inspections",
        "Images whose code was read, of which something could not be read, that were left out \
         because too many waited, or because their layers were not here": {
        images_inspected = "done",
        inspections_failed = "failed",
        inspections_dropped = "dropped",
        inspections_absent = "absent",
    }
    [by outcome] "metahub_inspection_findings",
        "Choices of an image whose code requires more than the login has, or may require more, \
         that were served with a warning, or refused": {
        inspections_warned = "warned",
        inspections_refused = "refused",
    }
    [by got] "metahub_hardware_pulls",
        "Pulls by logins that name a processor of images that are built for some, by what they \
         got: a build for it, for another that it runs, for any, or nothing": {
        demand_exact = "exact",
        demand_fallback = "fallback",
        demand_generic = "generic",
        demand_none = "none",
    }
    [by answer] "metahub_upstream_tags",
        "Tags of upstreams that were answered from the cache, by asking the upstream, or from the \
         cache because the upstream failed": {
        tags_kept = "kept",
        tags_asked = "asked",
        tags_stale = "stale",
    }
    [by source] "metahub_blob_reads",
        "Blobs that were read from the store, or while they arrived from an upstream": {
        blobs_held = "held",
        blobs_arriving = "arriving",
    }
    [by outcome] "metahub_fetches",
        "Blobs that were fetched from upstreams, each once however many clients wait for it": {
        blobs_fetched = "done",
        blobs_shared = "shared",
        fetches_failed = "failed",
        fetches_paused = "paused",
    }
    [by outcome] "metahub_derivations",
        "Tags whose derived content was known already, or was made": {
        derived_known = "known",
        derived_made = "made",
    }
    [by outcome] "metahub_signatures",
        "Derived manifests and indexes that were signed, and outcomes of which some could not be": {
        signed = "done",
        sign_failures = "failed",
    }
    [by state] "metahub_scrub_findings",
        "Content that a scrub found damaged or missing, and what of it was fetched again": {
        scrub_findings = "found",
        scrub_refilled = "refilled",
    }
}

/// Requests to one upstream since the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamCounts {
    /// The host in its images' names.
    pub host: Host,
    /// Requests, each attempt counted.
    pub asked: u64,
    /// Those that failed.
    pub failed: u64,
    /// Whether its circuit breaker is open, after repeated failures.
    pub resting: bool,
}

impl Registry {
    /// The counters' values.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counters().counts()
    }

    /// Registers these counters with `metrics`.
    pub fn register(&self, metrics: &mut prometheus_client::registry::Registry) {
        self.counters().register(metrics);
    }

    /// Bytes cached from upstreams, as last measured; empty if no bound is configured.
    #[must_use]
    pub fn cached_bytes(&self) -> BTreeMap<String, u64> {
        self.counters().cached_bytes.lock().clone()
    }

    /// The requests to each upstream, summed by host.
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

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn each_counter_is_shown_with_its_labels_and_explained_in_the_manual() {
        let counters = Counters::default();
        counters.tags_stale.inc();
        counters.bytes_fetched.inc_by(5);
        assert_eq!(counters.counts().tags_stale, 1);
        let mut shown = Registry::default();
        counters.register(&mut shown);
        let mut written = String::new();
        text::encode(&mut written, &shown).unwrap();
        for line in [
            "metahub_fetched_bytes_total 5",
            "metahub_evictions_total 0",
            "metahub_upstream_tags_total{answer=\"stale\"} 1",
            "metahub_upstream_tags_total{answer=\"kept\"} 0",
        ] {
            assert!(
                written.lines().any(|found| found == line),
                "{line}\n{written}"
            );
        }
        let manual = include_str!("../../../docs/monitoring.md");
        for metric in written
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
        {
            let name = metric.split(' ').next().unwrap();
            assert!(
                manual.contains(&format!("`{name}`")),
                "{name} is not in the manual"
            );
        }
    }
}
