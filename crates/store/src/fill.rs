//! Content that comes from elsewhere, an upstream: received in staging, verified, published.
//!
//! A fill that is dropped leaves nothing. Others can follow one while it is received: they read
//! the staged bytes as they come, and see an error, never a short end, if it fails.

use std::sync::Arc;

use bytes::Bytes;
use metahub_oci::{Digest, RepositoryName};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::StoreError;
use crate::blob::Blob;
use crate::follow::{Follower, Progress};
use crate::publish::Publish;
use crate::staged::{Gather, Portion, Staged};
use crate::store::{Inner, Store};

/// Why a fill did not become a blob. Nothing of it stays.
#[derive(Debug, thiserror::Error)]
pub enum FillError {
    /// The content is not the digest's.
    #[error("the content hashes to {found}, not to {expected}: its source is damaged or lies")]
    Mismatch {
        /// The digest that was asked for.
        expected: Digest,
        /// What the bytes hash to.
        found: Digest,
    },
    /// There are more or fewer bytes than were announced.
    #[error("the content has {found} bytes instead of {expected}: its source is damaged or lies")]
    WrongSize {
        /// What was announced.
        expected: u64,
        /// What came, at least.
        found: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Content being received under a digest that is known beforehand.
pub struct Fill {
    inner: Arc<Inner>,
    digest: Digest,
    size: Option<u64>,
    received: u64,
    gather: Option<Gather>,
    writing: JoinHandle<Result<Staged, StoreError>>,
    progress: Arc<watch::Sender<Progress>>,
}

impl std::fmt::Debug for Fill {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fill")
            .field("digest", &self.digest)
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Begins to receive the content of `digest`, of `size` bytes if its source said so.
    #[must_use]
    pub fn fill(&self, digest: &Digest, size: Option<u64>) -> Fill {
        let inner = Arc::clone(&self.inner);
        let path = inner.layout.staged(&Inner::staging_name("fill"));
        let (gather, portions) = Gather::new(&inner.receiving);
        let progress = Arc::new(watch::Sender::new(Progress::default()));
        let writing = tokio::spawn(receive(
            Staged::temporary(path),
            portions,
            Arc::clone(&progress),
        ));
        Fill {
            inner,
            digest: digest.clone(),
            size,
            received: 0,
            gather: Some(gather),
            writing,
            progress,
        }
    }
}

async fn receive(
    mut staged: Staged,
    mut portions: mpsc::Receiver<Portion>,
    progress: Arc<watch::Sender<Progress>>,
) -> Result<Staged, StoreError> {
    while let Some(portion) = portions.recv().await {
        staged.write(portion).await?;
        let file = staged.opened();
        let written = staged.len();
        progress.send_modify(|progress| {
            progress.file = file;
            progress.written = written;
        });
    }
    Ok(staged)
}

impl Fill {
    /// What is being received.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// How many bytes were given so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Somebody who reads along.
    #[must_use]
    pub fn follower(&self) -> Follower {
        let streams = Arc::clone(&self.inner.streams);
        Follower::new(
            self.digest.clone(),
            self.size,
            self.progress.subscribe(),
            streams,
        )
    }

    /// Takes the next bytes. Waits when the disk is slower than the source.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), FillError> {
        self.received += bytes.len() as u64;
        if let Some(expected) = self.size.filter(|size| self.received > *size) {
            return Err(FillError::WrongSize {
                expected,
                found: self.received,
            });
        }
        let Some(gather) = &mut self.gather else {
            return Err(StoreError::Closed.into());
        };
        if gather.push(bytes).await.is_ok() {
            return Ok(());
        }
        self.gather = None;
        let outcome = (&mut self.writing).await;
        Err(match outcome {
            Ok(Err(error)) => error.into(),
            _ => StoreError::Closed.into(),
        })
    }

    /// Verifies what came, stores it durably and lets `repository`, if one is given, read it.
    pub async fn commit(mut self, repository: Option<&RepositoryName>) -> Result<Blob, FillError> {
        if let Some(expected) = self.size.filter(|size| self.received != *size) {
            return Err(FillError::WrongSize {
                expected,
                found: self.received,
            });
        }
        if let Some(gather) = self.gather.take() {
            // Fails only if writing did, which says why.
            let _ = gather.finish().await;
        }
        let mut staged = (&mut self.writing)
            .await
            .unwrap_or(Err(StoreError::Closed))?;
        let found = staged.digest(self.digest.algorithm()).await?;
        if found != self.digest {
            return Err(FillError::Mismatch {
                expected: self.digest.clone(),
                found,
            });
        }
        let publish = Publish {
            digest: found,
            repository: repository.cloned(),
            upload: None,
        };
        // Verified: whoever follows may have the end now, before it is durable.
        self.progress
            .send_modify(|progress| progress.complete = true);
        let blob = self.inner.publish(staged, publish).await?;
        self.progress.send_modify(|progress| progress.stored = true);
        Ok(blob)
    }
}
