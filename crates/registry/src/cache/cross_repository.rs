//! One fetch for a blob that several repositories of an upstream have: whoever comes second asks
//! the upstream whether its repository has the blob, by a `HEAD`, and takes the bytes that came,
//! or come, for the other.
//!
//! Only what that same upstream gave is shared: a `HEAD` costs nothing to answer, so it proves
//! nothing about content that is here from upstream_locations_of. See `docs/decisions/shared-layers.md`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use metahub_oci::{Digest, Host, RepositoryName};
use metahub_store::{FillHandle, StoreError};
use metahub_upstream::Route;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use crate::access::location::is_offline;
use crate::pull::blob::opened;
use crate::{Registry, RegistryError};

/// How long the proof may take, and the one who fetches may be without an answer: who waits
/// longer fetches for itself.
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

    /// The lead, or the one who has it.
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

/// The duty to fetch for everybody. Held until the blob is stored, or never will be.
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

/// How a repository comes to a blob that it does not hold.
pub(crate) enum Share {
    /// Its upstream says that the repository does not have it.
    Lacking,
    /// It is stored, and the repository holds it now.
    Here,
    /// It is being fetched for another repository.
    Arriving(FillHandle),
    /// By a fetch of its own, for the others too where it has the lead.
    Fetch(Option<Leader>),
}

/// What an upstream says of a blob in one of its repositories.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// It is there, of so many bytes.
    Has(u64),
    Lacks,
    /// It could not be asked, or did not say how large it is.
    Unclear,
}

impl Registry {
    /// Whether the bytes of `digest` can be had without a fetch for the repository `kept` alone.
    pub(crate) async fn find_in_other_repository(
        &self,
        route: &Route,
        storage: &RepositoryName,
        digest: &Digest,
    ) -> Result<Share, RegistryError> {
        let host = route.upstream.host();
        let until = Instant::now() + PATIENCE;
        let mut proof = None;
        loop {
            let leader = self.inner.leaders.take((host.clone(), digest.clone()));
            // After the lead was asked for: whoever had it before has stored the blob by now.
            let stored = match &leader {
                Ok(_) => self.given_by(host, digest).await?,
                Err(_) => None,
            };
            if let (Ok(_), None) = (&leader, stored) {
                return Ok(Share::Fetch(leader.ok()));
            }
            // Nobody is to wait for a question.
            let announced = leader.err();
            let proof = match proof {
                Some(proof) => proof,
                None => *proof.insert(prove(route, digest).await),
            };
            match (proof, stored, announced) {
                (Proof::Lacks, ..) => return Ok(Share::Lacking),
                (Proof::Has(says), Some(size), _) if says == size => {
                    let host = self.storage_host(host);
                    if self.store().link_given(&host, storage, digest).await? {
                        self.shared(storage, digest);
                        return Ok(Share::Here);
                    }
                }
                (Proof::Has(says), None, Some(announced)) => {
                    match begun(announced, until).await {
                        Begun::With(fill) if fill.size() == Some(says) => {
                            return Ok(Share::Arriving(fill));
                        }
                        // It had nothing to announce: now somebody else may try.
                        Begun::Never => continue,
                        Begun::With(_) | Begun::Late => {}
                    }
                }
                _ => {}
            }
            return Ok(Share::Fetch(None));
        }
    }

    /// The size of a blob that `host` gave for one of its repositories and that is whole.
    async fn given_by(&self, host: &Host, digest: &Digest) -> Result<Option<u64>, RegistryError> {
        let blob = self
            .store()
            .given_blob(&self.storage_host(host), digest)
            .await?;
        let Some(blob) = blob else { return Ok(None) };
        match opened(&blob).await {
            Ok(_) => Ok(Some(blob.size())),
            // To be fetched again, which heals it.
            Err(StoreError::Damaged { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Lets `kept`, whose upstream has the blob, hold it when it has come for another repository.
    pub(crate) async fn link_when_complete(
        &self,
        mut fill: FillHandle,
        route: &Route,
        storage: &RepositoryName,
    ) {
        if !fill.completed().await {
            return;
        }
        let (host, digest) = (self.storage_host(route.upstream.host()), fill.digest());
        match self.store().link_given(&host, storage, digest).await {
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
enum Begun {
    With(FillHandle),
    /// It ended, or never began.
    Never,
    /// Nobody knows yet.
    Late,
}

async fn begun(mut announced: Announced, until: Instant) -> Begun {
    let fill = match timeout_at(until, announced.wait_for(Option::is_some)).await {
        Ok(Ok(fill)) => fill.clone(),
        Ok(Err(_)) => return Begun::Never,
        Err(_) => return Begun::Late,
    };
    match fill {
        Some(fill) if !fill.is_over() => Begun::With(fill),
        // It ends, and what came of it is there for the next in a moment.
        _ => match timeout_at(until, async { while announced.changed().await.is_ok() {} }).await {
            Ok(()) => Begun::Never,
            Err(_) => Begun::Late,
        },
    }
}

/// Asks a repository's upstream whether it has the blob.
async fn prove(route: &Route, digest: &Digest) -> Proof {
    let asked = route.upstream.blob_size(&route.name, digest);
    match timeout(PATIENCE, asked).await {
        Ok(Ok(Some(Some(size)))) => Proof::Has(size),
        Ok(Ok(None)) => Proof::Lacks,
        Ok(Err(error)) if is_offline(&error) => Proof::Lacks,
        Ok(Ok(Some(None)) | Err(_)) | Err(_) => {
            tracing::debug!(upstream = %route.upstream.host(), %digest, "no answer says whether it has the blob");
            Proof::Unclear
        }
    }
}
