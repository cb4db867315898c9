//! Content on its way from an upstream: one request for each object however many clients ask,
//! received by a task of its own, so that neither a slow client nor one that leaves holds it up.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt;
use metahub_oci::{Digest, RepositoryName};
use metahub_store::{Blob, Fill, FillError, Follower};
use metahub_upstream::{BlobStream, Route, UpstreamError};
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use crate::place::there;
use crate::{Registry, RegistryError};

type Key = (RepositoryName, Digest);

/// How a fill began: with somebody to follow, with nothing there, or not at all. Everybody who
/// asked meanwhile gets the same answer.
type Begun = Result<Option<Follower>, Arc<RegistryError>>;

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
    /// Somebody who reads along while the blob is fetched from its upstream; begins fetching it
    /// if nobody has. `None` if the upstream does not have it.
    pub(crate) async fn follow(
        &self,
        route: &Route,
        kept: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<Follower>, RegistryError> {
        let key = (kept.clone(), digest.clone());
        let cell = self.inner.fills.cell(&key);
        let begun = cell
            .get_or_init(|| self.begin(route, &key, &cell))
            .await
            .clone();
        if !matches!(begun, Ok(Some(_))) {
            self.inner.fills.end(&key, &cell);
        }
        begun.map_err(RegistryError::Shared)
    }

    async fn begin(&self, route: &Route, key: &Key, cell: &Arc<OnceCell<Begun>>) -> Begun {
        let (_, digest) = key;
        let answer = route.upstream.blob(&route.name, digest, None).await;
        let Some(body) = there(answer).map_err(|error| Arc::new(error.into()))? else {
            return Ok(None);
        };
        let fill = self.store().fill(digest, body.size);
        let follower = fill.follower();
        let (registry, key, cell) = (self.clone(), key.clone(), Arc::clone(cell));
        tokio::spawn(async move {
            let outcome = receive(fill, body.stream, &key.0).await;
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
        Ok(Some(follower))
    }
}

/// Why a fill that began did not end well.
#[derive(Debug, thiserror::Error)]
enum ReceiveError {
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error(transparent)]
    Fill(#[from] FillError),
}

/// Receives the whole blob. The stream takes a broken transfer up again by itself.
async fn receive(
    mut fill: Fill,
    mut stream: BlobStream,
    kept: &RepositoryName,
) -> Result<Blob, ReceiveError> {
    while let Some(bytes) = stream.next().await {
        fill.write(bytes?).await?;
    }
    Ok(fill.commit(Some(kept)).await?)
}
