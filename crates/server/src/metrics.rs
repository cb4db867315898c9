//! Numbers for monitoring. Counting is a few atomic additions per request: no lock that is held
//! long, no allocation; names and labels are made when somebody asks, in [`crate::scrape`].

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use metahub_catalog::Composed;
use metahub_limits::Full;
use metahub_oci::Digest;
use parking_lot::RwLock;

use crate::kind::Kind;
use crate::timeouts::Overdue;

/// Profiles that are counted by name; further ones are counted together, since anybody can log in
/// under as many as they like.
const PROFILES: usize = 256;
/// Status codes are below this.
pub(crate) const STATUSES: usize = 600;
/// Upper ends of the histogram's buckets, in microseconds.
pub(crate) const BUCKETS: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 1_000_000,
    5_000_000, 30_000_000,
];

/// Who may read the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricsAccess {
    /// Nobody: there is nothing at `/metrics`.
    Nobody,
    /// Who logs in under an account, whatever its role.
    #[default]
    Accounts,
    /// Everybody. They tell the names of profiles and of upstreams.
    Everybody,
}

/// What happened since the start.
pub(crate) struct Metrics {
    pub(crate) started: SystemTime,
    /// By kind, and within it by status.
    pub(crate) requests: Box<[AtomicU64]>,
    pub(crate) answered: Box<[Histogram]>,
    pub(crate) sent: AtomicU64,
    pub(crate) received: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) open: AtomicU64,
    pub(crate) overdue: [AtomicU64; 3],
    /// Requests refused because all room for requests was in use, and because their client's was.
    pub(crate) shed: [AtomicU64; 2],
    /// Requests whose handling panicked.
    pub(crate) panics: AtomicU64,
    pub(crate) profiles: RwLock<HashMap<Digest, (String, AtomicU64)>>,
    pub(crate) other_profiles: AtomicU64,
}

/// How long it took until an answer began.
#[derive(Default)]
pub(crate) struct Histogram {
    pub(crate) buckets: [AtomicU64; BUCKETS.len() + 1],
    pub(crate) micros: AtomicU64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            started: SystemTime::now(),
            requests: (0..Kind::ALL.len() * STATUSES)
                .map(|_| AtomicU64::new(0))
                .collect(),
            answered: Kind::ALL.iter().map(|_| Histogram::default()).collect(),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            open: AtomicU64::new(0),
            overdue: Default::default(),
            shed: Default::default(),
            panics: AtomicU64::new(0),
            profiles: RwLock::default(),
            other_profiles: AtomicU64::new(0),
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// An answer begins, so long after its request.
    pub(crate) fn answers(&self, kind: Kind, after: Duration) {
        let micros = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        let Some(histogram) = self.answered.get(kind.number()) else {
            return;
        };
        let bucket = BUCKETS.partition_point(|end| *end < micros);
        if let Some(bucket) = histogram.buckets.get(bucket) {
            bucket.fetch_add(1, Relaxed);
        }
        histogram.micros.fetch_add(micros, Relaxed);
    }

    /// An answer has been sent, or given up.
    pub(crate) fn answered(&self, kind: Kind, status: StatusCode, bytes: u64) {
        let at = kind.number() * STATUSES + usize::from(status.as_u16());
        if let Some(count) = self.requests.get(at) {
            count.fetch_add(1, Relaxed);
        }
        self.sent.fetch_add(bytes, Relaxed);
    }

    /// Bytes of a request's body came.
    pub(crate) fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Relaxed);
    }

    /// A tag was answered under `profile`.
    pub(crate) fn resolved(&self, profile: &Composed) {
        let digest = profile.digest();
        if let Some((_, count)) = self.profiles.read().get(digest) {
            count.fetch_add(1, Relaxed);
            return;
        }
        let mut profiles = self.profiles.write();
        if profiles.len() >= PROFILES && !profiles.contains_key(digest) {
            self.other_profiles.fetch_add(1, Relaxed);
            return;
        }
        let name = || match profile.to_string() {
            name if name.is_empty() => "none".to_owned(),
            name => name,
        };
        let (_, count) = profiles
            .entry(digest.clone())
            .or_insert_with(|| (name(), AtomicU64::new(0)));
        count.fetch_add(1, Relaxed);
    }

    /// A connection begins; it ends when what is returned is dropped.
    pub(crate) fn connection(self: &Arc<Self>) -> Open {
        self.connections.fetch_add(1, Relaxed);
        self.open.fetch_add(1, Relaxed);
        Open(Arc::clone(self))
    }

    /// A request is refused for want of room.
    pub(crate) fn shed(&self, full: Full) {
        let [all, client] = &self.shed;
        match full {
            Full::All => all,
            Full::Share => client,
        }
        .fetch_add(1, Relaxed);
    }

    /// How often a client took nothing of its answer.
    #[cfg(test)]
    pub(crate) fn stalled(&self) -> u64 {
        self.overdue[2].load(Relaxed)
    }

    /// A connection, or a stream of one, is ended because of its client.
    pub(crate) fn overdue(&self, overdue: Overdue) {
        let [head, idle, stalled] = &self.overdue;
        match overdue {
            Overdue::Head => head,
            Overdue::Idle => idle,
            Overdue::Stalled => stalled,
        }
        .fetch_add(1, Relaxed);
    }
}

/// A connection that is open.
pub(crate) struct Open(Arc<Metrics>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}
