//! Pull-through fetches: one request for each blob however many clients ask, received by a task of
//! its own, so that no slow client delays it. A client that wants a part far ahead has that range
//! prefetched, and the fetch of the whole then leaves it out.
//!
//! A blob is read up to the size that its manifest states, and while somebody reads it: a fetch
//! without readers pauses, and resumes on demand.

use std::collections::HashMap;
use std::sync::Arc;

use metahub_oci::{Digest, RepositoryName};
use metahub_store::{FillHandle, Follower};
use metahub_upstream::Problem;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::Registry;
use crate::access::location::{UpstreamRepository, there};
use crate::cache::cross_repository::{CrossRepository, Leader};
use crate::cache::open::open_held;
use crate::cache::receive::Opened;
use crate::cache::single_flight::{Limits, SingleFlight};
use crate::error::RegistryError;

type Key = (RepositoryName, Digest);

/// The state of a blob from its upstream.
pub(crate) enum Coming {
    /// Arriving: a reader that follows the fetch.
    Arriving(Follower),
    /// Stored already.
    Here,
}

/// A running fetch.
#[derive(Clone)]
struct Arriving {
    handle: FillHandle,
    /// Closes when the fetch has ended completely.
    ended: watch::Receiver<()>,
}

/// How a fetch began. All concurrent callers get the same answer.
type Begun = Result<Beginning, Arc<RegistryError>>;

#[derive(Clone)]
enum Beginning {
    /// The upstream does not have the blob.
    Absent,
    /// It is stored: linked from another repository of the upstream, or by a fetch that ended since
    /// the caller looked.
    Here,
    /// It is arriving.
    Arriving(Arriving),
}

/// The running fetches. Beginning one is a single flight; one that has begun is in `arriving` until
/// its task ends, so that later readers follow it.
pub(crate) struct Fetches {
    beginning: SingleFlight<Key, Begun>,
    arriving: Arc<Mutex<HashMap<Key, Arriving>>>,
}

impl Default for Fetches {
    fn default() -> Self {
        Self {
            beginning: SingleFlight::new(Limits::default(), |_| 0),
            arriving: Arc::default(),
        }
    }
}

/// Fetches from upstreams that are running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fetching {
    /// Blobs of repositories that are being requested or received.
    pub blobs: usize,
    /// Fetches that other repositories of the same upstream follow.
    pub leaders: usize,
    /// Bytes that are reserved in the cache for arriving content.
    pub reserved: u64,
    /// Those of them that are not written yet.
    pub to_come: u64,
}

impl Fetches {
    fn arriving(&self, key: &Key) -> Option<Arriving> {
        self.arriving.lock().get(key).cloned()
    }

    /// Lets others follow a fetch that has begun. Its task holds the returned guard.
    fn add(&self, key: Key, handle: FillHandle) -> (Running, Arriving) {
        let (sender, ended) = watch::channel(());
        let arriving = Arriving { handle, ended };
        self.arriving.lock().insert(key.clone(), arriving.clone());
        let running = Running {
            arriving: Arc::clone(&self.arriving),
            key,
            _ended: sender,
        };
        (running, arriving)
    }

    fn len(&self) -> usize {
        self.arriving.lock().len() + self.beginning.len()
    }
}

/// A guard held by the task of a fetch: however that ends, even by a panic, the next request begins
/// a new fetch.
struct Running {
    arriving: Arc<Mutex<HashMap<Key, Arriving>>>,
    key: Key,
    /// Dropped after the entry is gone.
    _ended: watch::Sender<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.arriving.lock().remove(&self.key);
    }
}

impl Registry {
    /// The running fetches: none, once every fetch has ended in whatever way.
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

    /// Follows the fetch of a blob, and begins it if none is running. `None` if the upstream does
    /// not have the blob.
    pub(crate) async fn follow(
        &self,
        from: &UpstreamRepository,
        digest: &Digest,
    ) -> Result<Option<Coming>, RegistryError> {
        let key = (from.storage().clone(), digest.clone());
        let fetches = &self.inner.fetches;
        loop {
            let mut arriving = match fetches.arriving(&key) {
                Some(arriving) => arriving,
                None => {
                    let begun = fetches.beginning.run(key.clone(), self.begin(from, &key));
                    // Boxed: to begin is rare, and its state would make every pull's larger.
                    let begun = Box::pin(begun).await?;
                    match begun.value {
                        Ok(Beginning::Absent) => return Ok(None),
                        Ok(Beginning::Here) => return Ok(Some(Coming::Here)),
                        Ok(Beginning::Arriving(arriving)) => arriving,
                        // The upstream may have refused another account, and accept this one.
                        Err(error) if error.is_not_allowed() && !begun.led => continue,
                        Err(error) => return Err(RegistryError::Shared(error)),
                    }
                }
            };
            if let Some(follower) = arriving.handle.follow() {
                return Ok(Some(Coming::Arriving(follower)));
            }
            // It ends for want of readers. The next fetch resumes it.
            while arriving.ended.changed().await.is_ok() {}
        }
    }

    async fn begin(&self, from: &UpstreamRepository, key: &Key) -> Begun {
        let (_, digest) = key;
        let fetches = &self.inner.fetches;
        // It may have begun since the caller looked.
        if let Some(arriving) = fetches.arriving(key) {
            return Ok(Beginning::Arriving(arriving));
        }
        // And ended.
        let held = open_held(from.stored(), digest).await.map_err(Arc::new)?;
        if held.is_some() {
            return Ok(Beginning::Here);
        }
        let found = self
            .find_in_other_repository(from, digest)
            .await
            .map_err(Arc::new)?;
        let leader = match found {
            CrossRepository::Lacking => return Ok(Beginning::Absent),
            CrossRepository::Here => return Ok(Beginning::Here),
            CrossRepository::Arriving(handle) => {
                let (running, arriving) = fetches.add(key.clone(), handle.clone());
                let (registry, from) = (self.clone(), from.clone());
                tokio::spawn(async move {
                    let _running = running;
                    registry.link_when_complete(handle, &from).await;
                });
                return Ok(Beginning::Arriving(arriving));
            }
            CrossRepository::Fetch(leader) => leader,
        };
        let opened = self.open(from, digest).await.map_err(Arc::new)?;
        let Some(opened) = opened else {
            return Ok(Beginning::Absent);
        };
        let handle = opened.fill.handle();
        if let Some(leader) = &leader {
            leader.announce(handle.clone());
        }
        let (running, arriving) = fetches.add(key.clone(), handle);
        let (registry, from) = (self.clone(), from.clone());
        tokio::spawn(async move { registry.fetch_blob(opened, &from, running, leader).await });
        Ok(Beginning::Arriving(arriving))
    }

    /// Receives a blob to its end, and logs the result.
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

    /// Requests the blob, or the rest of it where a fetch was interrupted.
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
                // Another size: this is the prefix of other content.
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
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use metahub_testkit::{Answer, FakeRegistry};

    use super::*;

    /// A client looks for a blob, and another's fetch of it ends before it requests one.
    #[tokio::test]
    async fn what_was_stored_since_the_caller_looked_is_not_asked_for() {
        let fake = FakeRegistry::start(|_| Answer::not_found()).await;
        let (registry, from) = UpstreamRepository::for_tests(&fake.url("")).await;
        let from = &from;
        let bytes = Bytes::from_static(b"layer");
        let digest = Digest::sha256(&bytes);
        from.stored().put_for_tests(&digest, bytes).await;

        let coming = registry.follow(from, &digest).await.unwrap();
        assert!(matches!(coming, Some(Coming::Here)));
        assert_eq!(fake.seen().len(), 0);
        let other = Digest::sha256(b"another");
        assert!(registry.follow(from, &other).await.unwrap().is_none());
        assert_ne!(fake.seen().len(), 0);
    }

    #[tokio::test]
    async fn a_task_that_panics_leaves_no_entry_and_wakes_who_waits_for_its_end() {
        let fetches = Fetches::default();
        let store = metahub_store::Store::temporary().await.unwrap();
        let digest = Digest::sha256(b"x");
        let key: Key = ("quay.io/a".parse().unwrap(), digest.clone());
        let fill = store.fill_from("quay.io", &digest, Some(1));
        let (running, mut arriving) = fetches.add(key.clone(), fill.handle());
        assert!(fetches.arriving(&key).is_some());
        let task = tokio::spawn(async move {
            let _running = running;
            panic!("on purpose");
        });
        assert!(task.await.unwrap_err().is_panic());
        assert!(arriving.ended.changed().await.is_err());
        assert_eq!(fetches.len(), 0);
    }
}
