//! Content on its way from an upstream: one request for each object however many clients ask,
//! received by a task of its own, so that neither a slow client nor one that leaves holds it up.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt;
use metahub_oci::{Digest, RepositoryName};
use metahub_store::{Blob, Fill, FillError, Follower};
use metahub_upstream::{BlobBody, Route, UpstreamError};
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use crate::place::there;
use crate::{Registry, RegistryError};

/// How often a broken transfer is taken up again where it broke.
const RESUMES: usize = 3;

type Key = (RepositoryName, Digest);

/// The fills that run now.
#[derive(Default)]
pub(crate) struct Fills(Mutex<HashMap<Key, Arc<OnceCell<Follower>>>>);

impl Fills {
    fn cell(&self, key: &Key) -> Arc<OnceCell<Follower>> {
        Arc::clone(self.0.lock().entry(key.clone()).or_default())
    }

    fn end(&self, key: &Key) {
        self.0.lock().remove(key);
    }
}

/// Why a fill did not begin.
enum Begin {
    /// The upstream does not have it.
    Missing,
    Failed(RegistryError),
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
            .get_or_try_init(|| self.begin(route, &key))
            .await
            .cloned();
        match begun {
            Ok(follower) => Ok(Some(follower)),
            Err(begin) => {
                self.inner.fills.end(&key);
                match begin {
                    Begin::Missing => Ok(None),
                    Begin::Failed(error) => Err(error),
                }
            }
        }
    }

    async fn begin(&self, route: &Route, key: &Key) -> Result<Follower, Begin> {
        let (_, digest) = key;
        let answer = route.upstream.blob(&route.name, digest, None).await;
        let body = there(answer)
            .map_err(|error| Begin::Failed(error.into()))?
            .ok_or(Begin::Missing)?;
        let fill = self.store().fill(digest, body.size);
        let follower = fill.follower();
        let (registry, route, key) = (self.clone(), route.clone(), key.clone());
        tokio::spawn(async move {
            let outcome = receive(fill, &route, body, &key).await;
            registry.inner.fills.end(&key);
            match outcome {
                Ok(blob) => tracing::info!(
                    repository = %key.0, digest = %key.1, bytes = blob.size(), "fetched"
                ),
                Err(error) => tracing::warn!(
                    repository = %key.0, digest = %key.1, %error, "could not be fetched"
                ),
            }
        });
        Ok(follower)
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

/// Receives the whole blob, taking it up again where the upstream broke off.
async fn receive(
    mut fill: Fill,
    route: &Route,
    body: BlobBody,
    (kept, digest): &Key,
) -> Result<Blob, ReceiveError> {
    let size = body.size;
    let mut stream = body.stream;
    let mut resumes = 0;
    loop {
        let broken = loop {
            match stream.next().await {
                None => return Ok(fill.commit(Some(kept)).await?),
                Some(Ok(bytes)) => fill.write(bytes).await?,
                Some(Err(error)) => break error,
            }
        };
        let Some(size) = size.filter(|_| resumes < RESUMES && fill.received() > 0) else {
            return Err(broken.into());
        };
        resumes += 1;
        let rest = fill.received()..size;
        tracing::warn!(%digest, at = rest.start, error = %broken, "taken up again");
        match route
            .upstream
            .blob(&route.name, digest, Some(rest.clone()))
            .await?
        {
            Some(again) => stream = again.only(rest),
            None => return Err(broken.into()),
        }
    }
}
