//! Content on its way from an upstream: one request for each object however many clients ask,
//! received by a task of its own, so that neither a slow client nor one that leaves holds it up.
//! Who wants what lies far ahead has it brought by a request for that part, and the whole then
//! leaves it out.

use std::collections::HashMap;
use std::error::Error;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use metahub_oci::{Digest, RepositoryName};
use metahub_store::{Blob, Fill, FillError, Follower, Stretch};
use metahub_upstream::{BlobStream, Problem, Route, UpstreamError};
use parking_lot::Mutex;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::place::there;
use crate::share::Share;
use crate::{Registry, RegistryError};

/// How many parts of one blob may be brought ahead of it at once.
const MOST_AHEAD: usize = 4;

/// What was brought ahead is left out by asking anew if it is at least this large; less is
/// received again and dropped, which costs less than another request.
const WORTH_ASKING: u64 = 1024 * 1024;

/// Received bytes wait at most this long before whoever reads along gets them.
const LONGEST_GATHERED: Duration = Duration::from_millis(50);

type Key = (RepositoryName, Digest);

/// How a blob comes from its upstream.
#[derive(Clone)]
pub(crate) enum Coming {
    /// On its way: somebody who reads along.
    Arriving(Follower),
    /// At once: it had come for another repository.
    Here,
}

/// How a fill began: with a blob that comes, with nothing there, or not at all. Everybody who
/// asked meanwhile gets the same answer.
type Begun = Result<Option<Coming>, Arc<RegistryError>>;

/// The fills that run now.
#[derive(Default)]
pub(crate) struct Fills(Mutex<HashMap<Key, Arc<OnceCell<Begun>>>>);

impl Fills {
    fn cell(&self, key: &Key) -> Arc<OnceCell<Begun>> {
        Arc::clone(self.0.lock().entry(key.clone()).or_default())
    }

    /// Forgets `cell`, so that whoever asks next begins anew; not one that came after it.
    fn end(&self, key: &Key, cell: &Arc<OnceCell<Begun>>) {
        let mut running = self.0.lock();
        if running
            .get(key)
            .is_some_and(|current| Arc::ptr_eq(current, cell))
        {
            running.remove(key);
        }
    }
}

impl Registry {
    /// How the blob comes from its upstream; begins fetching it if nobody has. `None` if the
    /// upstream does not have it.
    pub(crate) async fn follow(
        &self,
        route: &Route,
        kept: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<Coming>, RegistryError> {
        let key = (kept.clone(), digest.clone());
        loop {
            let cell = self.inner.fills.cell(&key);
            let ours = AtomicBool::new(false);
            let begin = || {
                ours.store(true, Ordering::Relaxed);
                self.begin(route, &key, &cell)
            };
            let begun = cell.get_or_init(begin).await.clone();
            if !matches!(begun, Ok(Some(Coming::Arriving(_)))) {
                self.inner.fills.end(&key, &cell);
            }
            // What the upstream refused to another account it may give to this one.
            let refused = begun
                .as_ref()
                .err()
                .is_some_and(|error| error.is_not_allowed());
            if !refused || ours.load(Ordering::Relaxed) {
                return begun.map_err(RegistryError::Shared);
            }
        }
    }

    async fn begin(&self, route: &Route, key: &Key, cell: &Arc<OnceCell<Begun>>) -> Begun {
        let (kept, digest) = key;
        let share = self.share(route, kept, digest).await.map_err(Arc::new)?;
        let lead = match share {
            Share::Lacking => return Ok(None),
            Share::Here => return Ok(Some(Coming::Here)),
            Share::Arriving(follower) => {
                let (registry, key, cell) = (self.clone(), key.clone(), Arc::clone(cell));
                let (followed, route) = (follower.clone(), route.clone());
                tokio::spawn(async move {
                    registry.link_when_complete(followed, &route, &key.0).await;
                    registry.inner.fills.end(&key, &cell);
                });
                return Ok(Some(Coming::Arriving(follower)));
            }
            Share::Fetch(lead) => lead,
        };
        let opened = self.open(route, kept, digest).await.map_err(Arc::new)?;
        let Some((fill, stream)) = opened else {
            return Ok(None);
        };
        let follower = fill.follower();
        if let Some(lead) = &lead {
            lead.announce(follower.clone());
        }
        let (registry, key, cell) = (self.clone(), key.clone(), Arc::clone(cell));
        let route = route.clone();
        tokio::spawn(async move {
            let outcome = receive(fill, stream, &route, &key.0).await;
            drop(lead);
            registry.inner.fills.end(&key, &cell);
            let counters = registry.counters();
            match outcome {
                Ok(blob) => {
                    counters.blobs_fetched.one_more();
                    counters.bytes_fetched.add(blob.size());
                    tracing::info!(
                        repository = %key.0, digest = %key.1, bytes = blob.size(), "fetched"
                    );
                }
                Err(error) => {
                    counters.fetches_failed.one_more();
                    tracing::warn!(
                        repository = %key.0, digest = %key.1, %error, "could not be fetched"
                    );
                }
            }
        });
        Ok(Some(Coming::Arriving(follower)))
    }

    /// Asks the upstream for the blob, or for what is missing of it where a fill was interrupted.
    async fn open(
        &self,
        route: &Route,
        kept: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<(Fill, BlobStream)>, RegistryError> {
        let source = self.kept_host(route.upstream.host());
        let begun = self.store().begun_fill(&source, digest).await?;
        if let Some(begun) = begun {
            let from = begun.received();
            match there(route.upstream.whole_blob(&route.name, digest, from).await) {
                Ok(Some(body)) if body.size.is_none_or(|size| size >= from) => {
                    tracing::info!(%digest, from, "goes on where a fill was interrupted");
                    return Ok(Some((begun.go_on(body.size), body.only(from..u64::MAX))));
                }
                Ok(None) => return Ok(None),
                // Not so many bytes: it is another content's beginning.
                Ok(Some(_)) => begun.discard(),
                Err(error) if *error.problem() == Problem::RangeOutside => begun.discard(),
                Err(error) => return self.heed(kept, Err(error)).await,
            }
        }
        let answer = there(route.upstream.whole_blob(&route.name, digest, 0).await);
        let body = self.heed(kept, answer).await?;
        Ok(body.map(|body| {
            let fill = self.store().fill_from(&source, digest, body.size);
            (fill, body.stream)
        }))
    }
}

/// Why a fill that began did not end well.
#[derive(Debug, thiserror::Error)]
enum ReceiveError {
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error(transparent)]
    Fill(#[from] FillError),
    #[error("the blob is gone in the middle of its transfer")]
    Gone,
}

/// Receives the whole blob. What came is left for the next fill, if it breaks off.
async fn receive(
    mut fill: Fill,
    stream: BlobStream,
    route: &Route,
    kept: &RepositoryName,
) -> Result<Blob, ReceiveError> {
    match receive_all(&mut fill, stream, route).await {
        Ok(()) => Ok(fill.commit(Some(kept)).await?),
        Err(error) => {
            fill.give_up().await;
            Err(error)
        }
    }
}

/// Receives what is missing. The stream takes a broken transfer up again by itself.
async fn receive_all(
    fill: &mut Fill,
    mut stream: BlobStream,
    route: &Route,
) -> Result<(), ReceiveError> {
    let mut at = fill.received();
    let mut flush = Instant::now() + LONGEST_GATHERED;
    loop {
        let Ok(next) = tokio::time::timeout_at(flush, stream.next()).await else {
            fill.flush().await?;
            flush = Instant::now() + LONGEST_GATHERED;
            continue;
        };
        let Some(bytes) = next else { break };
        let bytes = bytes?;
        let length = bytes.len() as u64;
        fill.write_at(at, bytes).await?;
        at += length;
        if fill
            .size()
            .is_some_and(|size| fill.received() == size && at < size)
        {
            break;
        }
        if fill.received().saturating_sub(at) >= WORTH_ASKING {
            at = fill.received();
            stream = part(route, fill.digest(), at..u64::MAX).await?;
        }
    }
    Ok(())
}

/// The bytes `range` of a blob that was there before.
async fn part(
    route: &Route,
    digest: &Digest,
    range: Range<u64>,
) -> Result<BlobStream, ReceiveError> {
    let body = route
        .upstream
        .blob(&route.name, digest, Some(range.clone()))
        .await?;
    Ok(body.ok_or(ReceiveError::Gone)?.only(range))
}

/// Who asks for parts of a blob that its fill is far from.
#[derive(Clone)]
pub struct Scout(Route);

impl Scout {
    pub(crate) fn new(route: &Route) -> Self {
        Self(route.clone())
    }

    /// Has `range` brought, if that is of use. What comes of it is seen by following the fill.
    pub(crate) fn bring(&self, follower: &Follower, range: Range<u64>) {
        let Some(stretch) = follower.claim(range, MOST_AHEAD) else {
            return;
        };
        let (route, digest) = (self.0.clone(), follower.digest().clone());
        tokio::spawn(async move {
            let range = stretch.range();
            if let Err(error) = bring(stretch, &route, &digest).await {
                tracing::debug!(%digest, ?range, %error, "a part could not be brought ahead");
            }
        });
    }
}

async fn bring(
    mut stretch: Stretch,
    route: &Route,
    digest: &Digest,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let range = stretch.range();
    let body = route
        .upstream
        .blob(&route.name, digest, Some(range.clone()))
        .await?;
    // From an upstream that ignores ranges the whole comes no sooner than the fill.
    let Some(body) = body.filter(|body| body.start == range.start) else {
        return Err("the upstream gives no parts".into());
    };
    let mut stream = body.only(range);
    while let Some(bytes) = stream.next().await {
        stretch.write(bytes?).await?;
    }
    Ok(())
}
