//! Metrics of requests and connections, as `prometheus-client`'s own types. Counting is a few
//! atomic additions and short locks per request. Each metric is a field here and a line in
//! [`Metrics::register`].

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use http::StatusCode;
use metahub_catalog::Composed;
use metahub_limits::Full;
use metahub_oci::Digest;
use parking_lot::RwLock;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::kind::Kind;
use crate::overdue::Overdue;

/// Most profiles that are counted by name; further ones are counted together, since a client can
/// log in under any number.
const PROFILES: usize = 256;
/// Status codes are below this.
const STATUSES: usize = 600;
/// Upper ends of the histogram's buckets, in seconds.
const BUCKETS: [f64; 14] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0,
];

/// Who may read the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MetricsAccess {
    /// Nobody: `/metrics` does not exist.
    Nobody,
    /// Every account, of any role.
    #[default]
    Accounts,
    /// Everybody. The metrics contain the names of profiles and of upstreams.
    Everybody,
}

/// The metrics of the server.
#[derive(Debug)]
pub(crate) struct Metrics {
    started: SystemTime,
    requests: Family<AnswerLabels, Counter>,
    /// The counters of `requests` in use, by kind and status: found without hashing.
    counts: Box<[OnceLock<Counter>]>,
    answer_seconds: Family<OperationLabel, Histogram, fn() -> Histogram>,
    /// The histograms of `answer_seconds` in use, by kind.
    times: [OnceLock<Histogram>; Kind::COUNT],
    sent_bytes: Counter,
    received_bytes: Counter,
    connections: Counter,
    connections_open: Gauge<f64, AtomicU64>,
    overdue: Family<ReasonLabel, Counter>,
    shed: Family<ReasonLabel, Counter>,
    pub(crate) panicked: Counter,
    pulls: Family<ProfileLabel, Counter>,
    /// The counters of `pulls` by the digest of their profile.
    profiles: RwLock<HashMap<Digest, Counter>>,
}

/// Labels of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabels {
    operation: Kind,
    status: u16,
}

/// The label of a kind of request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabel {
    operation: Kind,
}

/// The label for why something was refused or closed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// The label of a profile.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProfileLabel {
    profile: String,
}

/// All values of the label are present from the start.
fn reasons(reasons: &[&'static str]) -> Family<ReasonLabel, Counter> {
    let family = Family::default();
    for reason in reasons {
        drop(family.get_or_create(&ReasonLabel { reason }));
    }
    family
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            started: SystemTime::now(),
            requests: Family::default(),
            counts: (0..Kind::COUNT * STATUSES)
                .map(|_| OnceLock::new())
                .collect(),
            answer_seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            times: [const { OnceLock::new() }; Kind::COUNT],
            sent_bytes: Counter::default(),
            received_bytes: Counter::default(),
            connections: Counter::default(),
            connections_open: Gauge::default(),
            overdue: reasons(&["head", "idle", "stalled"]),
            shed: reasons(&["all", "client"]),
            panicked: Counter::default(),
            pulls: Family::default(),
            profiles: RwLock::default(),
        }
    }
}

impl Metrics {
    /// Registers all of them with `into`.
    pub(crate) fn register(&self, into: &mut Registry) {
        into.register(
            "metahub_build",
            "The version that runs",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        let started = self.started.duration_since(SystemTime::UNIX_EPOCH);
        into.register(
            "process_start_time_seconds",
            "When the server started, in seconds since 1970",
            ConstGauge::new(started.unwrap_or_default().as_secs_f64()),
        );
        into.register(
            "metahub_requests",
            "Requests that were answered, or whose client left",
            self.requests.clone(),
        );
        into.register(
            "metahub_answer_seconds",
            "Time from a request's head to the head of its answer",
            self.answer_seconds.clone(),
        );
        into.register(
            "metahub_sent_bytes",
            "Bytes of answers' bodies",
            self.sent_bytes.clone(),
        );
        into.register(
            "metahub_received_bytes",
            "Bytes of requests' bodies",
            self.received_bytes.clone(),
        );
        into.register(
            "metahub_requests_shed",
            "Requests refused because too many were being answered, of all or of their client",
            self.shed.clone(),
        );
        into.register(
            "metahub_requests_panicked",
            "Requests whose handling failed by a fault of the program",
            self.panicked.clone(),
        );
        into.register(
            "metahub_connections_open",
            "Connections that are open",
            self.connections_open.clone(),
        );
        into.register(
            "metahub_connections",
            "Connections that were taken",
            self.connections.clone(),
        );
        into.register(
            "metahub_connections_overdue",
            "Connections that were ended because their client kept them waiting",
            self.overdue.clone(),
        );
        into.register(
            "metahub_pulls",
            "Tags that were answered with an image, by the profile of the login",
            self.pulls.clone(),
        );
    }

    /// Counts an answer that begins, with its latency.
    pub(crate) fn answers(&self, operation: Kind, after: Duration) {
        let Some(histogram) = self.times.get(operation as usize) else {
            return;
        };
        let labels = OperationLabel { operation };
        let histogram = histogram.get_or_init(|| self.answer_seconds.get_or_create_owned(&labels));
        histogram.observe(after.as_secs_f64());
    }

    /// Counts an answer that was sent or dropped.
    pub(crate) fn answered(&self, operation: Kind, status: StatusCode, bytes: u64) {
        let status = status.as_u16();
        let at = operation as usize * STATUSES + usize::from(status);
        if let Some(count) = self
            .counts
            .get(at)
            .filter(|_| usize::from(status) < STATUSES)
        {
            let labels = AnswerLabels { operation, status };
            let count = count.get_or_init(|| self.requests.get_or_create_owned(&labels));
            count.inc();
        }
        self.sent_bytes.inc_by(bytes);
    }

    /// Counts received bytes of a request's body.
    pub(crate) fn received(&self, bytes: u64) {
        self.received_bytes.inc_by(bytes);
    }

    /// Counts a pull by tag under `profile`.
    pub(crate) fn resolved(&self, profile: &Composed) {
        let digest = profile.digest();
        if let Some(count) = self.profiles.read().get(digest) {
            count.inc();
            return;
        }
        let mut profiles = self.profiles.write();
        let named = profiles.len() < PROFILES || profiles.contains_key(digest);
        let profile = match profile.to_string() {
            _ if !named => "others".to_owned(),
            name if name.is_empty() => "none".to_owned(),
            name => name,
        };
        let count = self.pulls.get_or_create_owned(&ProfileLabel { profile });
        count.inc();
        if named {
            profiles.insert(digest.clone(), count);
        }
    }

    /// Counts a connection until the result is dropped.
    pub(crate) fn connection(self: &Arc<Self>) -> Open {
        self.connections.inc();
        self.connections_open.inc();
        Open(Arc::clone(self))
    }

    /// Counts a request that is refused for want of room.
    pub(crate) fn shed(&self, full: Full) {
        let reason = match full {
            Full::All => "all",
            Full::Share => "client",
        };
        self.shed.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// How often a client stalled.
    #[cfg(test)]
    pub(crate) fn stalled(&self) -> u64 {
        let reason = "stalled";
        self.overdue.get_or_create(&ReasonLabel { reason }).get()
    }

    /// Counts a connection, or a stream, that is closed because of its client.
    pub(crate) fn overdue(&self, overdue: Overdue) {
        let reason = match overdue {
            Overdue::Head => "head",
            Overdue::Idle => "idle",
            Overdue::Stalled => "stalled",
        };
        self.overdue.get_or_create(&ReasonLabel { reason }).inc();
    }
}

/// A connection that is open.
pub(crate) struct Open(Arc<Metrics>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections_open.dec();
    }
}
