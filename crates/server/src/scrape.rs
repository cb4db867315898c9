//! The text that Prometheus reads (OpenMetrics): names, words and labels for what was counted.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use metahub_registry::{Counts, Registry, UpstreamCounts};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet, text};
use prometheus_client::metrics::MetricType;

use crate::kind::Kind;
use crate::metrics::{BUCKETS, Histogram, Metrics, STATUSES};

/// The type of the text.
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All that was counted, as text.
pub(crate) fn scrape(metrics: &Arc<Metrics>, registry: &Registry, in_flight: usize) -> String {
    let documents = registry.documents();
    write(Scrape {
        in_flight,
        documents: [documents.used(), documents.size(), documents.refused()],
        metrics: Arc::clone(metrics),
        counts: registry.counts(),
        upstreams: registry.upstream_counts(),
        kept: registry.kept_bytes(),
    })
}

fn write(scrape: Scrape) -> String {
    let mut metrics = prometheus_client::registry::Registry::default();
    metrics.register_collector(Box::new(scrape));
    let mut written = String::new();
    // Writing to memory does not fail, and nothing else in there can.
    let _ = text::encode(&mut written, &metrics);
    written
}

/// What one reading shows.
#[derive(Debug)]
struct Scrape {
    metrics: Arc<Metrics>,
    counts: Counts,
    upstreams: Vec<UpstreamCounts>,
    kept: BTreeMap<String, u64>,
    /// Requests that are being answered.
    in_flight: usize,
    /// Memory for documents: bytes in use, bytes in all, and documents that were refused.
    documents: [u64; 3],
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        self.process(&mut page)?;
        self.requests(&mut page)?;
        self.connections(&mut page)?;
        self.room(&mut page)?;
        self.resolutions(&mut page)?;
        self.content(&mut page)?;
        self.upkeep(&mut page)?;
        self.upstreams(&mut page)?;
        self.kept(&mut page)
    }
}

impl Scrape {
    fn process(&self, page: &mut Page<'_>) -> fmt::Result {
        page.info(
            "metahub_build",
            "The version that runs",
            &[("version", env!("CARGO_PKG_VERSION"))],
        )?;
        let started = self.metrics.started.duration_since(SystemTime::UNIX_EPOCH);
        page.level(
            "process_start_time_seconds",
            "When the server started, in seconds since 1970",
            started.unwrap_or_default().as_secs_f64(),
        )?;
        match resident_bytes() {
            Some(bytes) => page.level(
                "process_resident_memory_bytes",
                "Memory that the server occupies",
                bytes,
            ),
            None => Ok(()),
        }
    }

    fn requests(&self, page: &mut Page<'_>) -> fmt::Result {
        let metrics = &self.metrics;
        let mut counts = Vec::new();
        for (kind, statuses) in Kind::ALL.iter().zip(metrics.requests.chunks(STATUSES)) {
            for (status, count) in statuses.iter().enumerate() {
                let count = count.load(Relaxed);
                if count > 0 {
                    let labels = [
                        ("operation", kind.name().to_owned()),
                        ("status", status.to_string()),
                    ];
                    counts.push((labels, count));
                }
            }
        }
        page.counter(
            "metahub_requests",
            "Requests that were answered, or whose client left",
            &counts,
        )?;
        page.histogram(
            "metahub_answer_seconds",
            "Time from a request's head to the head of its answer",
            &metrics.answered,
        )?;
        let sent = metrics.sent.load(Relaxed);
        page.total("metahub_sent_bytes", "Bytes of answers' bodies", sent)?;
        let received = metrics.received.load(Relaxed);
        page.total(
            "metahub_received_bytes",
            "Bytes of requests' bodies",
            received,
        )
    }

    #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
    fn room(&self, page: &mut Page<'_>) -> fmt::Result {
        page.level(
            "metahub_requests_in_flight",
            "Requests that are being answered",
            self.in_flight as f64,
        )?;
        let [all, client] = &self.metrics.shed;
        page.counter(
            "metahub_requests_shed",
            "Requests refused because too many were being answered, of all or of their client",
            &[
                ([("reason", "all")], all.load(Relaxed)),
                ([("reason", "client")], client.load(Relaxed)),
            ],
        )?;
        page.total(
            "metahub_requests_panicked",
            "Requests whose handling failed by a fault of the program",
            self.metrics.panics.load(Relaxed),
        )?;
        let [used, size, refused] = self.documents;
        page.level(
            "metahub_document_memory_used_bytes",
            "Memory reserved for manifests and indexes that are read, parsed or derived from",
            used as f64,
        )?;
        page.level(
            "metahub_document_memory_bytes",
            "The most that is ever reserved for them",
            size as f64,
        )?;
        page.total(
            "metahub_documents_refused",
            "Manifests and indexes refused because there was no memory for them in time",
            refused,
        )
    }

    fn connections(&self, page: &mut Page<'_>) -> fmt::Result {
        let metrics = &self.metrics;
        #[allow(clippy::cast_precision_loss, reason = "there are never that many")]
        let open = metrics.open.load(Relaxed) as f64;
        page.level(
            "metahub_connections_open",
            "Connections that are open",
            open,
        )?;
        let taken = metrics.connections.load(Relaxed);
        page.total("metahub_connections", "Connections that were taken", taken)?;
        let [head, idle, stalled] = &metrics.overdue;
        let by_reason = |reason, count: &AtomicU64| ([("reason", reason)], count.load(Relaxed));
        page.counter(
            "metahub_connections_overdue",
            "Connections that were ended because their client kept them waiting",
            &[
                by_reason("head", head),
                by_reason("idle", idle),
                by_reason("stalled", stalled),
            ],
        )
    }

    fn resolutions(&self, page: &mut Page<'_>) -> fmt::Result {
        let profiles = self.metrics.profiles.read();
        let mut counts: Vec<_> = profiles
            .values()
            .map(|(name, count)| ([("profile", name.clone())], count.load(Relaxed)))
            .collect();
        let others = self.metrics.other_profiles.load(Relaxed);
        if others > 0 {
            counts.push(([("profile", "others".to_owned())], others));
        }
        counts.sort();
        page.counter(
            "metahub_pulls",
            "Tags that were answered with an image, by the profile of the login",
            &counts,
        )
    }

    fn content(&self, page: &mut Page<'_>) -> fmt::Result {
        let counts = &self.counts;
        let by = |label, value, count| ([(label, value)], count);
        page.counter(
            "metahub_upstream_tags",
            "Tags of upstreams that were answered from what is kept, by asking the upstream, or \
             from what is kept because the upstream failed",
            &[
                by("answer", "kept", counts.tags_kept),
                by("answer", "asked", counts.tags_asked),
                by("answer", "stale", counts.tags_stale),
            ],
        )?;
        page.counter(
            "metahub_blob_reads",
            "Blobs that were read from the store, or while they arrived from an upstream",
            &[
                by("source", "held", counts.blobs_held),
                by("source", "arriving", counts.blobs_arriving),
            ],
        )?;
        page.counter(
            "metahub_derivations",
            "Tags whose derived content was known already, or was made",
            &[
                by("outcome", "known", counts.derived_known),
                by("outcome", "made", counts.derived_made),
            ],
        )?;
        page.total(
            "metahub_nothing_fits",
            "Pulls that were refused because no image fits the login",
            counts.nothing_fitted,
        )?;
        page.total(
            "metahub_unknown_requirements",
            "Choices of an image of which something that it requires cannot be read",
            counts.unknown_served,
        )?;
        page.total(
            "metahub_referrers_refused",
            "Look-ups of what refers to an image that an upstream refused or does not offer",
            counts.referrers_refused,
        )?;
        page.total(
            "metahub_derived_evicted",
            "Records of derived content that were evicted to keep their bound",
            counts.derived_evicted,
        )
    }

    fn upkeep(&self, page: &mut Page<'_>) -> fmt::Result {
        let counts = &self.counts;
        page.total(
            "metahub_gc_runs",
            "Garbage collections that were done",
            counts.gc_runs,
        )?;
        page.total(
            "metahub_gc_removed_blobs",
            "Blobs that garbage collection removed",
            counts.gc_blobs,
        )?;
        page.total(
            "metahub_gc_freed_bytes",
            "Bytes that garbage collection freed",
            counts.gc_bytes,
        )?;
        page.total(
            "metahub_scrub_runs",
            "Scrubs that were done",
            counts.scrub_runs,
        )?;
        page.counter(
            "metahub_scrub_findings",
            "Content that a scrub found damaged or missing, and what of it was fetched again",
            &[
                ([("state", "found")], counts.scrub_findings),
                ([("state", "refilled")], counts.scrub_refilled),
            ],
        )
    }

    fn upstreams(&self, page: &mut Page<'_>) -> fmt::Result {
        let by_host = |count: &dyn Fn(&UpstreamCounts) -> u64| -> Vec<_> {
            let one = |of: &UpstreamCounts| ([("upstream", of.host.to_string())], count(of));
            self.upstreams.iter().map(one).collect()
        };
        page.counter(
            "metahub_upstream_requests",
            "Requests to upstreams, each attempt counted",
            &by_host(&|of| of.asked),
        )?;
        page.counter(
            "metahub_upstream_failures",
            "Requests to upstreams that failed, each attempt counted",
            &by_host(&|of| of.failed),
        )?;
        page.levels(
            "metahub_upstream_resting",
            "Whether an upstream failed too often in a row and is left alone: 1 or 0",
            &by_host(&|of| u64::from(of.resting))
                .into_iter()
                .map(|(labels, count)| (labels, if count == 0 { 0.0 } else { 1.0 }))
                .collect::<Vec<_>>(),
        )?;
        let outcome = |outcome, count| ([("outcome", outcome)], count);
        page.counter(
            "metahub_fetches",
            "Blobs that were fetched from upstreams, each once however many clients wait for it",
            &[
                outcome("done", self.counts.blobs_fetched),
                outcome("shared", self.counts.blobs_shared),
                outcome("failed", self.counts.fetches_failed),
                outcome("paused", self.counts.fetches_paused),
            ],
        )?;
        page.total(
            "metahub_fetched_manifests",
            "Manifests that were fetched from upstreams",
            self.counts.manifests_fetched,
        )?;
        page.total(
            "metahub_fetched_bytes",
            "Bytes of blobs that were fetched from upstreams",
            self.counts.bytes_fetched,
        )
    }
}

impl Scrape {
    fn kept(&self, page: &mut Page<'_>) -> fmt::Result {
        #[allow(clippy::cast_precision_loss, reason = "no disk holds that much")]
        let one = |(host, bytes): (&String, &u64)| ([("upstream", host.clone())], *bytes as f64);
        page.levels(
            "metahub_kept_bytes",
            "Bytes of blobs and manifests that are cached from each upstream, where what may be kept has a bound",
            &self.kept.iter().map(one).collect::<Vec<_>>(),
        )?;
        page.total(
            "metahub_evictions",
            "Images and artifacts of upstreams that were evicted",
            self.counts.evicted,
        )?;
        page.total(
            "metahub_evicted_bytes",
            "Bytes that came free by that",
            self.counts.bytes_evicted,
        )
    }
}

/// The text being written.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    /// Its name gets `_total` behind it.
    fn counter<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        counts: &[(L, u64)],
    ) -> fmt::Result {
        let mut metric = self
            .0
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, count) in counts {
            metric
                .encode_family(labels)?
                .encode_counter::<NoLabelSet, u64, f64>(count, None)?;
        }
        Ok(())
    }

    /// A counter without labels.
    fn total(&mut self, name: &str, help: &str, count: u64) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, u64, f64>(&count, None)
    }

    /// A value that goes up and down.
    fn level(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, None, MetricType::Gauge)?
            .encode_gauge(&value)
    }

    /// Values that go up and down, each with its labels.
    fn levels<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: &[(L, f64)],
    ) -> fmt::Result {
        let mut metric = self
            .0
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in values {
            metric.encode_family(labels)?.encode_gauge(value)?;
        }
        Ok(())
    }

    /// What is told by labels alone.
    fn info<L: EncodeLabelSet>(&mut self, name: &str, help: &str, labels: &L) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, None, MetricType::Info)?
            .encode_info(labels)
    }

    #[allow(clippy::cast_precision_loss, reason = "times are short")]
    fn histogram(&mut self, name: &str, help: &str, of: &[Histogram]) -> fmt::Result {
        let seconds = |micros: u64| micros as f64 / 1e6;
        let mut metric = self
            .0
            .encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (kind, histogram) in Kind::ALL.iter().zip(of) {
            let counts = histogram.buckets.iter().map(|count| count.load(Relaxed));
            let ends = BUCKETS.iter().map(|end| seconds(*end));
            let buckets: Vec<(f64, u64)> = ends.chain([f64::MAX]).zip(counts).collect();
            let count = buckets.iter().map(|(_, count)| count).sum();
            if count == 0 {
                continue;
            }
            let sum = seconds(histogram.micros.load(Relaxed));
            metric
                .encode_family(&[("operation", kind.name())])?
                .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        Ok(())
    }
}

/// Nothing where the operating system does not tell it this way.
fn resident_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;
    use metahub_catalog::Composed;

    use super::*;
    use crate::timeouts::Overdue;

    fn text(metrics: &Arc<Metrics>) -> String {
        write(Scrape {
            metrics: Arc::clone(metrics),
            counts: Counts {
                bytes_fetched: 5,
                ..Counts::default()
            },
            upstreams: vec![UpstreamCounts {
                host: "quay.io".parse().unwrap(),
                asked: 3,
                failed: 1,
                resting: true,
            }],
            kept: BTreeMap::from([("quay.io".to_owned(), 9)]),
            in_flight: 2,
            documents: [10, 20, 3],
        })
    }

    #[test]
    fn what_was_counted_is_in_the_text() {
        let metrics = Arc::new(Metrics::default());
        let ok = StatusCode::OK;
        metrics.answers(Kind::GetManifest, Duration::from_micros(100));
        metrics.answers(Kind::GetManifest, Duration::from_millis(3));
        metrics.answers(Kind::GetManifest, Duration::from_secs(100));
        metrics.answered(Kind::GetManifest, ok, 10);
        metrics.answered(Kind::GetManifest, ok, 20);
        metrics.answered(Kind::Unknown, StatusCode::NOT_FOUND, 0);
        metrics.received(7);
        metrics.shed(metahub_limits::Full::Share);
        metrics.resolved(&Composed::none());
        metrics.overdue(Overdue::Stalled);
        let (_open, closed) = (metrics.connection(), metrics.connection());
        drop(closed);
        let text = text(&metrics);
        for line in [
            "# TYPE metahub_requests counter",
            "metahub_requests_total{operation=\"get-manifest\",status=\"200\"} 2",
            "metahub_requests_total{operation=\"unknown\",status=\"404\"} 1",
            "metahub_answer_seconds_count{operation=\"get-manifest\"} 3",
            "metahub_answer_seconds_bucket{le=\"0.0001\",operation=\"get-manifest\"} 1",
            "metahub_answer_seconds_bucket{le=\"0.005\",operation=\"get-manifest\"} 2",
            "metahub_answer_seconds_bucket{le=\"+Inf\",operation=\"get-manifest\"} 3",
            "metahub_sent_bytes_total 30",
            "metahub_received_bytes_total 7",
            "metahub_connections_open 1.0",
            "metahub_connections_total 2",
            "metahub_connections_overdue_total{reason=\"stalled\"} 1",
            "metahub_pulls_total{profile=\"none\"} 1",
            "metahub_upstream_requests_total{upstream=\"quay.io\"} 3",
            "metahub_upstream_failures_total{upstream=\"quay.io\"} 1",
            "metahub_upstream_resting{upstream=\"quay.io\"} 1.0",
            "metahub_fetched_bytes_total 5",
            "metahub_kept_bytes{upstream=\"quay.io\"} 9.0",
            "metahub_evictions_total 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
        let manual = include_str!("../../../docs/monitoring.md");
        for metric in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let name = metric.split(' ').next().unwrap();
            assert!(
                manual.contains(&format!("`{name}`")),
                "{name} is not in the manual"
            );
        }
    }
}
