//! The listener: accepts connections up to a limit, and shuts down gracefully.
//!
//! `axum::serve` and its kind have neither a header timeout nor a cap on connections; the cap is
//! here, the timeouts are in [`crate::connection`], so a slow or greedy client delays no other.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::body::Body;
use crate::connection::{Peer, Serving};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::send_blobs::SendBlobs;
use crate::tls::Tls;

/// How long to wait after the operating system refused a connection, for want of descriptors
/// mostly.
const AFTER_REFUSAL: Duration = Duration::from_millis(50);

/// How often the log says that all connections are in use.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// The minimum time for which the listener counts as full.
const LASTING: Duration = Duration::from_secs(2);

/// How connections are served.
pub(crate) struct How<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) send_blobs: SendBlobs,
    pub(crate) metrics: Arc<Metrics>,
}

/// Accepts connections until `shutdown` completes, then lets running requests end within
/// [`Limits::drain_timeout`].
pub(crate) async fn serve<H, F>(
    listener: TcpListener,
    tls: Option<Tls>,
    how: How<'_>,
    handler: H,
    shutdown: impl Future<Output = ()>,
) where
    H: Fn(Request<Incoming>, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let How {
        limits,
        send_blobs,
        metrics,
    } = how;
    let places = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    let stopping = CancellationToken::new();
    let mut crowded = Crowded::default();
    let serving = Arc::new(Serving::new(
        limits,
        send_blobs,
        tls,
        Arc::clone(&metrics),
        handler,
        crowded.watch(),
        stopping.clone(),
    ));
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let place = match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                crowded.ends();
                place
            }
            Err(_) => {
                crowded.begins(limits.connections);
                tokio::select! {
                    place = Arc::clone(&places).acquire_owned() => match place {
                        Ok(place) => place,
                        // Never closed.
                        Err(_) => break,
                    },
                    () = &mut shutdown => break,
                }
            }
        };
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, or the peer left at once: neither ends the server.
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(AFTER_REFUSAL).await;
                    continue;
                }
            },
            () = &mut shutdown => break,
        };
        prepare(&stream);
        let serving = Arc::clone(&serving);
        let open = metrics.connection();
        connections.spawn(async move {
            let _place = (place, open);
            serving.connection(stream, peer).await;
        });
    }
    // Closed first, so that new connections are refused and clients can go elsewhere.
    drop(listener);
    stopping.cancel();
    connections.close();
    if !connections.is_empty() {
        tracing::info!(
            connections = connections.len(),
            seconds = limits.drain_timeout.as_secs(),
            "shutting down: no more connections are taken, running requests may end"
        );
    }
    if tokio::time::timeout(limits.drain_timeout, connections.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            seconds = limits.drain_timeout.as_secs(),
            connections = connections.len(),
            "requests still running were cut off"
        );
    }
}

/// Whether all connections are in use: idle ones are closed then, and the log says so periodically.
#[derive(Default)]
struct Crowded {
    now: watch::Sender<bool>,
    since: Option<Instant>,
    told: Option<Instant>,
}

impl Crowded {
    fn watch(&self) -> watch::Receiver<bool> {
        self.now.subscribe()
    }

    fn begins(&mut self, places: usize) {
        if self.since.is_none() {
            self.since = Some(Instant::now());
            self.now.send_replace(true);
        }
        if self.told.is_none_or(|told| told.elapsed() > TELL_AGAIN) {
            self.told = Some(Instant::now());
            tracing::warn!(
                connections = places,
                "as many connections are open as the configuration allows: further clients wait"
            );
        }
    }

    /// There is room again. Delayed, because each change wakes every connection.
    fn ends(&mut self) {
        if self.since.is_some_and(|since| since.elapsed() > LASTING) {
            self.since = None;
            self.now.send_replace(false);
        }
    }
}

fn prepare(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused");
    }
}
