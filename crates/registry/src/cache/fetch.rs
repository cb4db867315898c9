//! Pull-through fetches: one request for each blob however many clients ask, received by a task
//! of its own, so that no slow client holds it up. Who wants what lies far ahead has it brought
//! by a request for that part, and the whole then leaves it out.
//!
//! A blob is read up to the size that its manifest states, and while somebody reads it: a fetch
//! that nobody reads any more pauses, and goes on when somebody asks.

use std::collections::HashMap;
use std::error::Error;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use metahub_oci::{Digest, RepositoryName};
use metahub_store::{Blob, Fill, FillError, FillHandle, Follower, PrefetchedRange};
use metahub_upstream::{BlobStream, Problem, Route, UpstreamError};
use parking_lot::Mutex;
use tokio::sync::{OnceCell, watch};
use tokio::time::{Instant, timeout};

use crate::Registry;
use crate::access::location::{UpstreamRepository, there};
use crate::cache::blob_bound::Bound;
use crate::cache::cross_repository::{Leader, Share};
use crate::cache::room::Taken;
use crate::error::RegistryError;

/// How many parts of one blob may be brought ahead of it at once.
const MOST_AHEAD: usize = 4;

/// What was brought ahead is left out by asking anew if it is at least this large; less is
/// received again and dropped, which costs less than another request.
const WORTH_ASKING: u64 = 1024 * 1024;

/// Received bytes wait at most this long before readers get them.
const LONGEST_GATHERED: Duration = Duration::from_millis(50);

type Key = (RepositoryName, Digest);

/// How a blob comes from its upstream.
pub(crate) enum Coming {
    /// On its way: somebody who reads along.
    Arriving(Follower),
    /// At once: it had come for another repository.
    Here,
}

/// A fetch that runs.
#[derive(Clone)]
struct Arriving {
    handle: FillHandle,
    /// Closes when the fetch has ended and nothing of it is left to wait for.
    ended: watch::Receiver<()>,
}

/// How a fetch began: with a blob that comes (or came, where there is no fetch), with nothing
/// there, or not at all. Everybody who asked meanwhile gets the same answer.
type Begun = Result<Option<Option<Arriving>>, Arc<RegistryError>>;

/// One blob that is asked for, and what came of that.
type Cell = Arc<OnceCell<Begun>>;

/// The fetches that run now.
#[derive(Clone, Default)]
pub(crate) struct Fetches(Arc<Mutex<HashMap<Key, Cell>>>);

/// What is being fetched from upstreams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fetching {
    /// Blobs of repositories that are asked for, or arrive.
    pub blobs: usize,
    /// Fetches that others of the same upstream read along.
    pub leaders: usize,
    /// Bytes that are reserved in the cache for what arrives.
    pub reserved: u64,
    /// Those of them that are not written yet.
    pub to_come: u64,
}

impl Fetches {
    fn wait(&self, key: &Key) -> Waiting {
        let cell = Arc::clone(self.0.lock().entry(key.clone()).or_default());
        Waiting {
            fetches: self.clone(),
            key: key.clone(),
            cell,
        }
    }

    /// Forgets `cell`, so that the next caller begins anew; not one that came after it.
    fn end(&self, key: &Key, cell: &Cell) {
        let mut running = self.0.lock();
        if running
            .get(key)
            .is_some_and(|current| Arc::ptr_eq(current, cell))
        {
            running.remove(key);
        }
    }

    fn len(&self) -> usize {
        self.0.lock().len()
    }
}

/// Somebody who asks. The last one to leave takes the entry along, unless a fetch runs.
struct Waiting {
    fetches: Fetches,
    key: Key,
    cell: Cell,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut running = self.fetches.0.lock();
        let is_ours = running
            .get(&self.key)
            .is_some_and(|current| Arc::ptr_eq(current, &self.cell));
        let is_over = match self.cell.get() {
            Some(Ok(Some(Some(_)))) => false,
            Some(_) => true,
            // Counted under the lock: the map's, and ours.
            None => Arc::strong_count(&self.cell) <= 2,
        };
        if is_ours && is_over {
            running.remove(&self.key);
        }
    }
}

/// Held by the task of a fetch: however that ends, by a panic too, the next who asks begins anew.
struct Running {
    fetches: Fetches,
    key: Key,
    cell: Cell,
    /// Dropped after the entry is gone.
    _ended: watch::Sender<()>,
}

impl Running {
    fn of(waiting: &Waiting) -> (Self, watch::Receiver<()>) {
        let (sender, ended) = watch::channel(());
        let running = Self {
            fetches: waiting.fetches.clone(),
            key: waiting.key.clone(),
            cell: Arc::clone(&waiting.cell),
            _ended: sender,
        };
        (running, ended)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.fetches.end(&self.key, &self.cell);
    }
}

/// A fetch as it begins.
struct Opened {
    fill: Fill,
    stream: BlobStream,
    bound: Bound,
    room: Taken,
}

impl Registry {
    /// What is being fetched now: nothing, when every fetch has ended in whatever way.
    #[must_use]
    pub fn fetching(&self) -> Fetching {
        let inner = &self.inner;
        Fetching {
            blobs: inner.fetches.len(),
            leaders: inner.leaders.len(),
            reserved: inner.room.taken().values().sum(),
            to_come: inner.room.to_come(),
        }
    }

    /// How the blob comes from its upstream; begins fetching it if nobody has. `None` if the
    /// upstream does not have it.
    pub(crate) async fn follow(
        &self,
        from: &UpstreamRepository,
        digest: &Digest,
    ) -> Result<Option<Coming>, RegistryError> {
        let key = (from.storage().clone(), digest.clone());
        loop {
            let waiting = self.inner.fetches.wait(&key);
            let ours = AtomicBool::new(false);
            let begin = || {
                ours.store(true, Ordering::Relaxed);
                self.begin(from, &waiting)
            };
            let begun = waiting.cell.get_or_init(begin).await.clone();
            drop(waiting);
            let mut arriving = match begun {
                Ok(None) => return Ok(None),
                Ok(Some(None)) => return Ok(Some(Coming::Here)),
                Ok(Some(Some(arriving))) => arriving,
                // What the upstream refused to another account it may give to this one.
                Err(error) if error.is_not_allowed() && !ours.load(Ordering::Relaxed) => continue,
                Err(error) => return Err(RegistryError::Shared(error)),
            };
            if let Some(follower) = arriving.handle.follow() {
                return Ok(Some(Coming::Arriving(follower)));
            }
            // It ends because nobody read it. What came is for the next fetch, once it rests.
            while arriving.ended.changed().await.is_ok() {}
        }
    }

    async fn begin(&self, from: &UpstreamRepository, waiting: &Waiting) -> Begun {
        let (_, digest) = &waiting.key;
        let found = self
            .find_in_other_repository(from, digest)
            .await
            .map_err(Arc::new)?;
        let leader = match found {
            Share::Lacking => return Ok(None),
            Share::Here => return Ok(Some(None)),
            Share::Arriving(handle) => {
                let (running, ended) = Running::of(waiting);
                let (registry, followed) = (self.clone(), handle.clone());
                let from = from.clone();
                tokio::spawn(async move {
                    let _running = running;
                    registry.link_when_complete(followed, &from).await;
                });
                return Ok(Some(Some(Arriving { handle, ended })));
            }
            Share::Fetch(leader) => leader,
        };
        let opened = self.open(from, digest).await.map_err(Arc::new)?;
        let Some(opened) = opened else {
            return Ok(None);
        };
        let handle = opened.fill.handle();
        if let Some(leader) = &leader {
            leader.announce(handle.clone());
        }
        let (running, ended) = Running::of(waiting);
        let (registry, from) = (self.clone(), from.clone());
        tokio::spawn(async move { registry.fetch_blob(opened, &from, running, leader).await });
        Ok(Some(Some(Arriving { handle, ended })))
    }

    /// Receives a blob to its end, and tells how that went.
    async fn fetch_blob(
        &self,
        opened: Opened,
        from: &UpstreamRepository,
        running: Running,
        leader: Option<Leader>,
    ) {
        let (repository, digest) = &running.key;
        let outcome = self.receive(opened, from).await;
        drop(leader);
        let counters = self.counters();
        match outcome {
            Ok(Some(blob)) => {
                counters.blobs_fetched.inc();
                counters.bytes_fetched.inc_by(blob.size());
                tracing::info!(%repository, %digest, bytes = blob.size(), "fetched");
            }
            Ok(None) => {
                counters.fetches_paused.inc();
                tracing::info!(%repository, %digest, "paused: nobody reads it");
            }
            Err(error) => {
                counters.fetches_failed.inc();
                tracing::warn!(%repository, %digest, %error, "could not be fetched");
            }
        }
    }

    /// Asks the upstream for the blob, or for what is missing of it where a fetch was interrupted.
    async fn open(
        &self,
        from: &UpstreamRepository,
        digest: &Digest,
    ) -> Result<Option<Opened>, RegistryError> {
        let (upstream, name) = (from.upstream(), from.name());
        let source = self.storage_host(upstream.host());
        let stated = from.stored().stated_sizes(digest).await?;
        let begun = from.stored().resumable_fill(&source, digest).await?;
        if let Some(begun) = begun {
            let start = begun.received();
            match there(upstream.whole_blob(name, digest, start).await) {
                Ok(Some(body)) if body.size.is_none_or(|size| size >= start) => {
                    let bound = self.bound(from, digest, &stated, body.size)?;
                    let mut room = self
                        .room_for(&source, bound.known().unwrap_or(start))
                        .await?;
                    room.written(start);
                    tracing::info!(%digest, from = start, "goes on where a fetch was interrupted");
                    return Ok(Some(Opened {
                        fill: begun.go_on(bound.known()),
                        stream: body.only(start..bound.end()),
                        bound,
                        room,
                    }));
                }
                Ok(None) => return Ok(None),
                // Not so many bytes: it is another content's beginning.
                Ok(Some(_)) => begun.discard(),
                Err(error) if *error.problem() == Problem::RangeOutside => begun.discard(),
                Err(error) => return self.note_refusal(from, Err(error)).await,
            }
        }
        let answer = there(upstream.whole_blob(name, digest, 0).await);
        let Some(body) = self.note_refusal(from, answer).await? else {
            return Ok(None);
        };
        let bound = self.bound(from, digest, &stated, body.size)?;
        let room = self.room_for(&source, bound.known().unwrap_or(0)).await?;
        Ok(Some(Opened {
            fill: from.stored().fill_from(&source, digest, bound.known()),
            stream: body.only(0..bound.end()),
            bound,
            room,
        }))
    }

    /// Receives a blob; nothing, if nobody reads it any more. What came is left for the next
    /// fetch, if it ends before its end.
    async fn receive(
        &self,
        opened: Opened,
        from: &UpstreamRepository,
    ) -> Result<Option<Blob>, ReceiveError> {
        let Opened {
            mut fill,
            stream,
            bound,
            mut room,
        } = opened;
        match self
            .receive_all(&mut fill, stream, from.route(), bound, &mut room)
            .await
        {
            Ok(End::Whole) => {
                let blob = from.stored().commit(fill).await?;
                room.written(blob.size());
                room.stored();
                Ok(Some(blob))
            }
            Ok(End::Unread) => {
                fill.give_up().await;
                Ok(None)
            }
            Err(error) => {
                if matches!(error, ReceiveError::TooLarge(_) | ReceiveError::Registry(_)) {
                    // Nobody can go on with that.
                    fill.discard();
                }
                fill.give_up().await;
                Err(error)
            }
        }
    }

    /// Receives what is missing. The stream takes a broken transfer up again by itself.
    async fn receive_all(
        &self,
        fill: &mut Fill,
        mut stream: BlobStream,
        route: &Route,
        bound: Bound,
        room: &mut Taken,
    ) -> Result<End, ReceiveError> {
        let mut at = fill.received();
        let mut flush = Instant::now() + LONGEST_GATHERED;
        loop {
            let next = tokio::select! {
                biased;
                () = fill.unread() => {
                    fill.flush().await?;
                    // Who comes back soon finds the transfer where it stands.
                    let _ = timeout(self.settings().cache.unread, fill.read()).await;
                    if fill.close_if_unread() {
                        return Ok(End::Unread);
                    }
                    continue;
                }
                next = stream.next() => next,
                () = tokio::time::sleep_until(flush) => {
                    fill.flush().await?;
                    flush = Instant::now() + LONGEST_GATHERED;
                    continue;
                }
            };
            let Some(bytes) = next else {
                return Ok(End::Whole);
            };
            let bytes = bytes?;
            let end = at + bytes.len() as u64;
            if end > bound.most() {
                return Err(ReceiveError::TooLarge(bound.most()));
            }
            self.grow_room(room, end).await.map_err(Box::new)?;
            fill.write_at(at, bytes).await?;
            at = end;
            room.written(fill.received());
            if fill.size() == Some(fill.received()) {
                return Ok(End::Whole);
            }
            if fill.received().saturating_sub(at) >= WORTH_ASKING {
                at = fill.received();
                stream = part(route, fill.digest(), at..bound.end()).await?;
            }
        }
    }
}

/// How receiving ended, if not by an error.
enum End {
    Whole,
    Unread,
}

/// Why a fetch that began did not end well.
#[derive(Debug, thiserror::Error)]
enum ReceiveError {
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error(transparent)]
    Fill(#[from] FillError),
    #[error(transparent)]
    Registry(#[from] Box<RegistryError>),
    #[error("the blob is gone in the middle of its transfer")]
    Gone,
    #[error(
        "the upstream sends more than {0} bytes and does not say how many there are \
         (cache.largest_blob, cache.size)"
    )]
    TooLarge(u64),
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
pub struct RangePrefetch(Route);

impl RangePrefetch {
    pub(crate) fn new(route: &Route) -> Self {
        Self(route.clone())
    }

    /// Has `range` brought, if that is of use, while somebody reads the fill. What comes of it is
    /// seen by following the fill.
    pub(crate) fn request(&self, follower: &Follower, range: Range<u64>) {
        let Some(range_ahead) = follower.claim(range, MOST_AHEAD) else {
            return;
        };
        let (route, fill) = (self.0.clone(), follower.handle());
        tokio::spawn(async move {
            let range = range_ahead.range();
            let digest = fill.digest();
            let outcome = tokio::select! {
                biased;
                () = fill.unread() => Err("nobody reads it any more".into()),
                outcome = request(range_ahead, &route, digest) => outcome,
            };
            if let Err(error) = outcome {
                tracing::debug!(%digest, ?range, %error, "a part could not be brought ahead");
            }
        });
    }
}

async fn request(
    mut range_ahead: PrefetchedRange,
    route: &Route,
    digest: &Digest,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let range = range_ahead.range();
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
        range_ahead.write(bytes?).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        ("quay.io/a".parse().unwrap(), Digest::sha256(b"x"))
    }

    #[tokio::test]
    async fn who_leaves_before_an_answer_leaves_no_entry() {
        let fetches = Fetches::default();
        let (one, other) = (fetches.wait(&key()), fetches.wait(&key()));
        let never = async { std::future::pending::<Begun>().await };
        let asked = one.cell.get_or_init(|| never);
        let gone = timeout(Duration::ZERO, asked).await;
        assert!(gone.is_err());
        drop(one);
        assert_eq!(fetches.len(), 1, "another waits");
        drop(other);
        assert_eq!(fetches.len(), 0);
    }

    #[tokio::test]
    async fn a_task_that_panics_leaves_no_entry_and_wakes_who_waits_for_its_end() {
        let fetches = Fetches::default();
        let waiting = fetches.wait(&key());
        let (running, mut ended) = Running::of(&waiting);
        let task = tokio::spawn(async move {
            let _running = running;
            panic!("on purpose");
        });
        assert!(task.await.unwrap_err().is_panic());
        assert!(ended.changed().await.is_err());
        assert_eq!(fetches.len(), 0);
        // Who comes now begins anew; the one before takes nothing of that away.
        let next = fetches.wait(&key());
        drop(waiting);
        assert_eq!(fetches.len(), 1);
        drop(next);
        assert_eq!(fetches.len(), 0);
    }

    #[tokio::test]
    async fn an_answer_that_is_no_fetch_is_not_remembered() {
        for begun in [Ok(None), Ok(Some(None))] {
            let fetches = Fetches::default();
            let waiting = fetches.wait(&key());
            waiting.cell.get_or_init(|| async { begun }).await;
            drop(waiting);
            assert_eq!(fetches.len(), 0);
        }
    }
}
