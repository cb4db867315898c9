//! The metrics page (OpenMetrics): the counters of [`crate::metrics`] and of the registry, and
//! gauges that are read on each scrape.

use std::collections::BTreeMap;
use std::fmt;

use metahub_registry::UpstreamCounts;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::app::App;
use crate::metrics::Metrics;

/// The type of the text.
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics, as text.
pub(crate) fn scrape(metrics: &Metrics, app: &App, in_flight: usize) -> String {
    let registry = &app.registry;
    let documents = registry.documents();
    let mut shown = prometheus_client::registry::Registry::default();
    registry.register(&mut shown);
    app.followed.register(&mut shown);
    let state = State {
        in_flight,
        documents: [documents.used(), documents.size(), documents.refused()],
        upstreams: registry.upstream_counts(),
        cached: registry.cached_bytes(),
    };
    write(metrics, state, shown)
}

fn write(
    metrics: &Metrics,
    state: State,
    mut shown: prometheus_client::registry::Registry,
) -> String {
    metrics.register(&mut shown);
    shown.register_collector(Box::new(state));
    let mut written = String::new();
    // Writing to memory does not fail, and nothing else in there can.
    let _ = text::encode(&mut written, &shown);
    written
}

/// Gauges, and counters of other crates.
#[derive(Debug)]
struct State {
    /// Requests that are being answered.
    in_flight: usize,
    /// Memory for documents: bytes in use, bytes in all, and documents that were refused.
    documents: [u64; 3],
    upstreams: Vec<UpstreamCounts>,
    /// Bytes by upstream.
    cached: BTreeMap<String, u64>,
}

impl Collector for State {
    #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        if let Some(bytes) = resident_bytes() {
            page.gauge(
                "process_resident_memory_bytes",
                "Memory that the server occupies",
                bytes,
            )?;
        }
        page.gauge(
            "metahub_requests_in_flight",
            "Requests that are being answered",
            self.in_flight as f64,
        )?;
        let [used, size, refused] = self.documents;
        page.gauge(
            "metahub_document_memory_used_bytes",
            "Memory reserved for manifests and indexes that are read, parsed or derived from",
            used as f64,
        )?;
        page.gauge(
            "metahub_document_memory_bytes",
            "The most that is ever reserved for them",
            size as f64,
        )?;
        page.counter(
            "metahub_documents_refused",
            "Manifests and indexes refused because there was no memory for them in time",
            refused,
        )?;
        self.upstreams(&mut page)
    }
}

impl State {
    fn upstreams(&self, page: &mut Page<'_>) -> fmt::Result {
        let by_host = |value: fn(&UpstreamCounts) -> u64| {
            let all = self.upstreams.iter();
            all.map(move |of| ([("upstream", of.host.to_string())], value(of)))
        };
        page.counters(
            "metahub_upstream_requests",
            "Requests to upstreams, each attempt counted",
            by_host(|of| of.asked),
        )?;
        page.counters(
            "metahub_upstream_failures",
            "Requests to upstreams that failed, each attempt counted",
            by_host(|of| of.failed),
        )?;
        page.gauges(
            "metahub_upstream_resting",
            "Whether an upstream failed too often in a row and is left alone: 1 or 0",
            by_host(|of| u64::from(of.resting)),
        )?;
        let cached = self.cached.iter();
        page.gauges(
            "metahub_kept_bytes",
            "Bytes of blobs and manifests that are cached from each upstream, where the cache has \
             a bound",
            cached.map(|(host, bytes)| ([("upstream", host.clone())], *bytes)),
        )
    }
}

/// The text being written.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let metric = self
            .0
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(metric)
    }

    /// Gauges, each with its labels.
    #[allow(clippy::cast_precision_loss, reason = "no disk holds that much")]
    fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl Iterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut metric = self
            .0
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in values {
            ConstGauge::new(value as f64).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// A counter, whose name gets the suffix `_total`.
    fn counter(&mut self, name: &str, help: &str, count: u64) -> fmt::Result {
        let metric = self
            .0
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(count).encode(metric)
    }

    /// Counters, each with its labels.
    fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        counts: impl Iterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut metric = self
            .0
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, count) in counts {
            ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// `None` where the operating system does not provide it.
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
    use std::sync::Arc;
    use std::time::Duration;

    use http::StatusCode;
    use metahub_catalog::Composed;

    use super::*;
    use crate::kind::Kind;
    use crate::overdue::Overdue;

    fn text(metrics: &Metrics) -> String {
        let state = State {
            upstreams: vec![UpstreamCounts {
                host: "quay.io".parse().unwrap(),
                asked: 3,
                failed: 1,
                resting: true,
            }],
            cached: BTreeMap::from([("quay.io".to_owned(), 9)]),
            in_flight: 2,
            documents: [10, 20, 3],
        };
        write(
            metrics,
            state,
            prometheus_client::registry::Registry::default(),
        )
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
            "metahub_documents_refused_total 3",
            "metahub_kept_bytes{upstream=\"quay.io\"} 9.0",
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
