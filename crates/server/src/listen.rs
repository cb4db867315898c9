//! The listener: takes connections as long as there is room, and ends gracefully.
//!
//! `axum::serve` and its kind have neither a header timeout nor a cap on connections; here is
//! the cap, in [`crate::connection`] are the timeouts, so a slow or greedy client holds up
//! nobody else.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::body::Body;
use crate::connection::{Peer, Serving};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::tls::Tls;

/// How long to wait after the operating system refused a connection, for want of descriptors
/// mostly.
const AFTER_REFUSAL: Duration = Duration::from_millis(50);

/// How often to say that all places are taken.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// Accepts connections until `shutdown` completes, then lets running requests end within
/// [`Limits::drain_timeout`].
pub(crate) async fn serve<H, F>(
    listener: TcpListener,
    tls: Option<Tls>,
    limits: &Limits,
    metrics: Arc<Metrics>,
    handler: H,
    shutdown: impl Future<Output = ()>,
) where
    H: Fn(Request<Incoming>, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    let stopping = CancellationToken::new();
    let serving = Arc::new(Serving::new(
        limits,
        tls,
        Arc::clone(&metrics),
        handler,
        stopping.clone(),
    ));
    let mut crowded = Crowded::default();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let place = match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => place,
            Err(_) => {
                crowded.tell(limits.connections);
                tokio::select! {
                    place = Arc::clone(&places).acquire_owned() => match place {
                        Ok(place) => place,
                        // Nobody closes it.
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
    // Closed first, so that whoever connects now is refused and can go elsewhere.
    drop(listener);
    stopping.cancel();
    connections.close();
    if !connections.is_empty() {
        tracing::info!(
            connections = connections.len(),
            seconds = limits.drain_timeout.as_secs(),
            "told to end: no more connections are taken, running requests may end"
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

/// Says that all places are taken, now and then.
#[derive(Default)]
struct Crowded {
    told: Option<Instant>,
}

impl Crowded {
    fn tell(&mut self, places: usize) {
        if self.told.is_some_and(|told| told.elapsed() < TELL_AGAIN) {
            return;
        }
        self.told = Some(Instant::now());
        tracing::warn!(
            connections = places,
            "as many connections are open as the configuration allows: further clients wait"
        );
    }
}

fn prepare(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused");
    }
}
