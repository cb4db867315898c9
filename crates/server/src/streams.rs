//! The streams of an HTTP/2 connection, each with its own write timeout: a stream of which the
//! client takes nothing is reset, whatever else passes on the connection.
//!
//! hyper runs each stream as a task of its own, on the executor that it is given. This executor
//! ends the task of a stalled stream, which resets the stream. The other streams go on.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use hyper::rt::Executor;
use tokio::time::Instant;

use crate::metrics::Metrics;
use crate::overdue::Overdue;

tokio::task_local! {
    static STREAM: Arc<StreamPace>;
}

/// The progress of one stream's answer. Times are milliseconds since its start.
#[derive(Debug)]
pub(crate) struct StreamPace {
    began: Instant,
    /// Since when the server waits for the client to take a part of its answer; 0: it does not.
    owed_at: AtomicU64,
}

impl StreamPace {
    /// The progress of the current task's stream; `None` over HTTP/1, where the connection is
    /// timed.
    pub(crate) fn current() -> Option<Arc<Self>> {
        STREAM.try_with(Arc::clone).ok()
    }

    fn new() -> Self {
        Self {
            began: Instant::now(),
            owed_at: AtomicU64::new(0),
        }
    }

    /// Never 0, which stands for no time.
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).map_or(u64::MAX, |now| now.max(1))
    }

    /// Notes that a part of the answer was handed to hyper.
    pub(crate) fn gave(&self) {
        self.owed_at.store(self.now(), Relaxed);
    }

    /// Notes that hyper asks for a further part.
    pub(crate) fn asked(&self) {
        self.owed_at.store(0, Relaxed);
    }

    /// Completes when the client has stalled for `limit`.
    async fn stalled(&self, limit: Duration) {
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).max(1);
        loop {
            let (now, owed) = (self.now(), self.owed_at.load(Relaxed));
            // A part that is handed over during the sleep is not due before the next check.
            let due = if owed == 0 { now } else { owed }.saturating_add(limit);
            let Some(rest) = due.checked_sub(now).filter(|rest| *rest > 0) else {
                return;
            };
            tokio::time::sleep(Duration::from_millis(rest)).await;
        }
    }
}

/// Runs the streams of HTTP/2 connections.
#[derive(Clone)]
pub(crate) struct Streams {
    stall_timeout: Duration,
    metrics: Arc<Metrics>,
}

impl Streams {
    pub(crate) fn new(stall_timeout: Duration, metrics: Arc<Metrics>) -> Self {
        Self {
            stall_timeout,
            metrics,
        }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let takes = Arc::new(StreamPace::new());
        let (limit, metrics) = (self.stall_timeout, Arc::clone(&self.metrics));
        let watched = Arc::clone(&takes);
        tokio::spawn(STREAM.scope(takes, async move {
            tokio::select! {
                biased;
                _ = stream => {}
                () = watched.stalled(limit) => metrics.overdue(Overdue::Stalled),
            }
        }));
    }
}
