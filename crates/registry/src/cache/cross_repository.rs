//! One fetch for a blob that several repositories of an upstream have: for the second repository, a
//! `HEAD` asks the upstream whether it has the blob, and the bytes that were fetched, or are being
//! fetched, for the first are used.
//!
//! Only bytes from that same upstream are used: a `HEAD` costs nothing to answer, so it proves
//! nothing about content that is here from elsewhere. See `docs/decisions/shared-layers.md`.
//!
//! This is no [`SingleFlight`](crate::cache::single_flight::SingleFlight), which hands one result
//! to all: here the leader announces a fetch that goes on, each follower proves first that its own
//! repository has the blob, and one that waits too long fetches for itself. There is an entry for
//! each running fetch, which the cache bounds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use metahub_oci::{Digest, Host, RepositoryName};
use metahub_store::{FillHandle, StoreError};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use crate::Registry;
use crate::access::location::UpstreamRepository;
use crate::cache::open::open_verified;
use crate::error::{RegistryError, is_offline};

/// How long the proof may take, and the leader may be without an answer; after that a follower
/// fetches for itself.
const PATIENCE: Duration = Duration::from_secs(10);

type Key = (Host, Digest);

/// A fetch, once it has begun.
type Announced = watch::Receiver<Option<FillHandle>>;

/// The blobs that are being fetched, by upstream: one fetch of each leads.
#[derive(Default)]
pub(crate) struct Leaders(Arc<Mutex<HashMap<Key, Announced>>>);

impl Leaders {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// The lead, or the announcement of the current leader.
    fn take(&self, key: Key) -> Result<Leader, Announced> {
        let mut leaders = self.0.lock();
        if let Some(announced) = leaders.get(&key) {
            return Err(announced.clone());
        }
        let (announce, announced) = watch::channel(None);
        leaders.insert(key.clone(), announced);
        Ok(Leader {
            leaders: Arc::clone(&self.0),
            key,
            announce,
        })
    }
}

/// The duty to fetch for all repositories. Held until the blob is stored, or the fetch has failed.
pub(crate) struct Leader {
    leaders: Arc<Mutex<HashMap<Key, Announced>>>,
    key: Key,
    announce: watch::Sender<Option<FillHandle>>,
}

impl Leader {
    /// The fetch has begun.
    pub(crate) fn announce(&self, fill: FillHandle) {
        self.announce.send_replace(Some(fill));
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.leaders.lock().remove(&self.key);
    }
}

/// How a repository gets a blob that it does not hold.
pub(crate) enum CrossRepository {
    /// Its upstream says that the repository does not have it.
    Lacking,
    /// It is stored, and the repository holds it now.
    Here,
    /// It is being fetched for another repository.
    Arriving(FillHandle),
    /// By a fetch of its own, also for the others if it has the lead.
    Fetch(Option<Leader>),
}

/// An upstream's answer about a blob in one of its repositories.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BlobProof {
    /// It is there, of so many bytes.
    Has(u64),
    Lacks,
    /// It could not be asked, or did not say how large it is.
    Unclear,
}

impl Registry {
    /// Whether the bytes of `digest` are available without a fetch for the repository `kept` alone.
    pub(crate) async fn find_in_other_repository(
        &self,
        from: &UpstreamRepository,
        digest: &Digest,
    ) -> Result<CrossRepository, RegistryError> {
        let host = from.upstream().host();
        let until = Instant::now() + PATIENCE;
        let mut proof = None;
        loop {
            let leader = self.inner.leaders.take((host.clone(), digest.clone()));
            // After the lead was requested: the former leader has stored the blob by now.
            let stored = match &leader {
                Ok(_) => self.given_by(from, digest).await?,
                Err(_) => None,
            };
            if let (Ok(_), None) = (&leader, stored) {
                return Ok(CrossRepository::Fetch(leader.ok()));
            }
            // No follower may wait for a request.
            let announced = leader.err();
            let proof = match proof {
                Some(proof) => proof,
                None => *proof.insert(prove(from, digest).await),
            };
            match (proof, stored, announced) {
                (BlobProof::Lacks, ..) => return Ok(CrossRepository::Lacking),
                (BlobProof::Has(says), Some(size), _) if says == size => {
                    let host = self.storage_host(host);
                    if from.stored().link_given(&host, digest).await? {
                        self.shared(from.storage(), digest);
                        return Ok(CrossRepository::Here);
                    }
                }
                (BlobProof::Has(says), None, Some(announced)) => {
                    match begun(announced, until).await {
                        LeaderFetch::With(fill) if fill.size() == Some(says) => {
                            return Ok(CrossRepository::Arriving(fill));
                        }
                        // It had nothing to announce: now another caller may try.
                        LeaderFetch::Never => continue,
                        LeaderFetch::With(_) | LeaderFetch::Late => {}
                    }
                }
                _ => {}
            }
            return Ok(CrossRepository::Fetch(None));
        }
    }

    /// The size of a complete blob that was fetched from the same upstream for any of its
    /// repositories.
    async fn given_by(
        &self,
        from: &UpstreamRepository,
        digest: &Digest,
    ) -> Result<Option<u64>, RegistryError> {
        let host = self.storage_host(from.upstream().host());
        let blob = from.stored().given_blob(&host, digest).await?;
        let Some(blob) = blob else { return Ok(None) };
        match open_verified(&blob).await {
            Ok(_) => Ok(Some(blob.size())),
            // To be fetched again, which heals it.
            Err(StoreError::Damaged { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Links the blob to `kept`, whose upstream has it, once it is complete for another repository.
    pub(crate) async fn link_when_complete(&self, mut fill: FillHandle, from: &UpstreamRepository) {
        if !fill.completed().await {
            return;
        }
        let (host, digest) = (self.storage_host(from.upstream().host()), fill.digest());
        let storage = from.storage();
        match from.stored().link_given(&host, digest).await {
            Ok(true) => self.shared(storage, digest),
            Ok(false) => {
                tracing::debug!(repository = %storage, %digest, "went before it was linked");
            }
            Err(error) => {
                tracing::warn!(repository = %storage, %digest, %error, "could not be linked");
            }
        }
    }

    fn shared(&self, storage: &RepositoryName, digest: &Digest) {
        self.counters().blobs_shared.inc();
        tracing::info!(repository = %storage, %digest, "came for another repository of its upstream");
    }
}

/// How the fetch of another repository began.
enum LeaderFetch {
    With(FillHandle),
    /// It ended, or never began.
    Never,
    /// Not known in time.
    Late,
}

async fn begun(mut announced: Announced, until: Instant) -> LeaderFetch {
    let fill = match timeout_at(until, announced.wait_for(Option::is_some)).await {
        Ok(Ok(fill)) => fill.clone(),
        Ok(Err(_)) => return LeaderFetch::Never,
        Err(_) => return LeaderFetch::Late,
    };
    match fill {
        Some(fill) if !fill.is_over() => LeaderFetch::With(fill),
        // It ends, and its bytes are ready for the next fetch in a moment.
        _ => match timeout_at(until, async { while announced.changed().await.is_ok() {} }).await {
            Ok(()) => LeaderFetch::Never,
            Err(_) => LeaderFetch::Late,
        },
    }
}

/// Asks a repository's upstream whether it has the blob.
async fn prove(from: &UpstreamRepository, digest: &Digest) -> BlobProof {
    let asked = from.upstream().blob_size(from.name(), digest);
    match timeout(PATIENCE, asked).await {
        Ok(Ok(Some(Some(size)))) => BlobProof::Has(size),
        Ok(Ok(None)) => BlobProof::Lacks,
        Ok(Err(error)) if is_offline(&error) => BlobProof::Lacks,
        Ok(Ok(Some(None)) | Err(_)) | Err(_) => {
            tracing::debug!(upstream = %from.upstream().host(), %digest, "no answer says whether it has the blob");
            BlobProof::Unclear
        }
    }
}
