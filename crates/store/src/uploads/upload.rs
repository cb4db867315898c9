//! Uploads of blobs: begun, appended to in order, finished under a digest or cancelled.
//!
//! The bytes are in staging; the file's length is the upload's offset, so an upload resumes after a
//! restart. One append at a time. Bytes that arrived before an append was interrupted stay, and the
//! client asks for the offset.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{Stream, StreamExt};
use metahub_oci::{Digest, RepositoryName};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::StoreError;
use crate::blobs::blob::Blob;
use crate::blobs::publish::Publish;
use crate::content::{Piece, Stage, Staging, WriteBuffer};
use crate::store::{Inner, Store};
use crate::task::joined;
use crate::uploads::session::Session;
use crate::uploads::upload_id::UploadId;

/// How long an append waits for the one before it, whose client may just have gone away.
const PATIENCE: Duration = Duration::from_secs(2);

/// An error of the sender of the bytes.
pub type SendError = Box<dyn std::error::Error + Send + Sync>;

/// Why bytes were not appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The bytes belong elsewhere.
    #[error("the upload holds {size} bytes, so the next chunk starts at {size}, not at {start}")]
    WrongOffset {
        /// Where the upload ends.
        size: u64,
        /// Where the bytes should have gone.
        start: u64,
    },
    /// Another request appends at the moment.
    #[error("another request is appending to this upload: send its chunks one after the other")]
    Busy,
    /// The upload was finished, cancelled or discarded.
    #[error("the upload is over: begin a new one")]
    Gone,
    /// The sender closed the connection early. The bytes received before stay.
    #[error("the content broke off: {0}")]
    Stream(#[source] SendError),
    /// The store failed. The upload is as long as after the last append.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an upload was not finished.
#[derive(Debug, thiserror::Error)]
pub enum FinishError {
    /// The content is not the digest's. The upload is discarded.
    #[error(
        "the content hashes to {found}, not to {expected}: it was damaged on the way, or the digest is another content's; begin a new upload"
    )]
    Mismatch {
        /// The expected digest.
        expected: Digest,
        /// What the bytes hash to.
        found: Digest,
    },
    /// Another request appends at the moment.
    #[error("another request is appending to this upload: finish it after the last chunk")]
    Busy,
    /// The upload was finished, cancelled or discarded.
    #[error("the upload is over: begin a new one")]
    Gone,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An upload in progress.
#[derive(Clone)]
pub struct Upload {
    inner: Arc<Inner>,
    session: Arc<Session>,
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload")
            .field("id", &self.session.id)
            .field("size", &self.size())
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Begins an upload to `repository`.
    pub async fn start_upload(&self, repository: &RepositoryName) -> Result<UploadId, StoreError> {
        let id = UploadId::random();
        let content = &self.inner.content;
        let (name, len) = (id.as_str(), 0);
        content.stage(Stage::Kept { name, len }).bytes().await?;
        let entered = self.inner.records.begin_upload(&id, repository).await;
        if let Err(error) = entered {
            content.discard(id.as_str()).await?;
            return Err(error);
        }
        self.remember(id.clone(), repository.clone(), 0);
        Ok(id)
    }

    /// The upload `id` to `repository`, if it is in progress.
    pub async fn upload(
        &self,
        repository: &RepositoryName,
        id: &UploadId,
    ) -> Result<Option<Upload>, StoreError> {
        let known = self.inner.sessions.lock().get(id).cloned();
        if let Some(session) = known {
            return Ok((session.repository == *repository).then(|| self.handle(session)));
        }
        if self.inner.records.upload(id).await?.as_ref() != Some(repository) {
            return Ok(None);
        }
        let staged = self.inner.content.staged(id.as_str()).await?;
        let session = |size| self.remember(id.clone(), repository.clone(), size);
        Ok(staged.map(|staged| self.handle(session(staged.size))))
    }

    fn handle(&self, session: Arc<Session>) -> Upload {
        Upload {
            inner: Arc::clone(&self.inner),
            session,
        }
    }

    /// The session of an upload: the one that exists, if another request was faster.
    fn remember(&self, id: UploadId, repository: RepositoryName, size: u64) -> Arc<Session> {
        let (name, len) = (id.as_str(), size);
        let staged = self.inner.content.stage(Stage::Kept { name, len });
        let mut sessions = self.inner.sessions.lock();
        let session = sessions.entry(id.clone()).or_insert_with(|| {
            Arc::new(Session {
                id,
                repository,
                size: AtomicU64::new(size),
                staged: Arc::new(Mutex::new(Some(staged))),
            })
        });
        Arc::clone(session)
    }
}

impl Upload {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> &UploadId {
        &self.session.id
    }

    /// How many bytes have arrived.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.session.size.load(Ordering::Acquire)
    }

    async fn claim(&self) -> Option<OwnedMutexGuard<Option<Box<dyn Staging>>>> {
        let staged = Arc::clone(&self.session.staged);
        tokio::time::timeout(PATIENCE, staged.lock_owned())
            .await
            .ok()
    }

    /// Appends the bytes of `content` and returns the new size. `expected_start` is the sender's
    /// idea of the present size; `None` if it did not say.
    ///
    /// Dropping the future is like breaking off: what arrived stays.
    pub async fn append<S, E>(
        &self,
        expected_start: Option<u64>,
        content: S,
    ) -> Result<u64, AppendError>
    where
        S: Stream<Item = Result<Bytes, E>>,
        E: Into<SendError>,
    {
        let mut guard = self.claim().await.ok_or(AppendError::Busy)?;
        let size = guard.as_ref().ok_or(AppendError::Gone)?.len();
        if let Some(start) = expected_start.filter(|start| *start != size) {
            return Err(AppendError::WrongOffset { size, start });
        }
        let (mut buffer, mut chunks) = WriteBuffer::new(&self.inner.receiving);
        let session = Arc::clone(&self.session);
        // A task of its own: it makes file, hash and size agree even if this future is dropped in
        // the middle, and holds the upload until then.
        let writing = tokio::spawn(async move {
            let staged = guard.as_mut().ok_or(AppendError::Gone)?;
            let mut outcome = Ok(());
            while let Some(Piece::Received(chunk)) = chunks.recv().await {
                outcome = staged.append(chunk).await;
                session.size.store(staged.len(), Ordering::Release);
                if outcome.is_err() {
                    break;
                }
            }
            staged.rest();
            outcome?;
            Ok::<_, AppendError>(staged.len())
        });
        let mut broken = None;
        let mut content = std::pin::pin!(content);
        while let Some(item) = content.next().await {
            match item {
                Ok(bytes) => {
                    if buffer.push(bytes).await.is_err() {
                        break;
                    }
                }
                Err(error) => {
                    broken = Some(error.into());
                    break;
                }
            }
        }
        // Fails only if writing did, which says why.
        let _ = buffer.finish().await;
        let size = joined(writing.await)?;
        match broken {
            Some(error) => Err(AppendError::Stream(error)),
            None => Ok(size),
        }
    }

    /// Ends the upload: if its bytes hash to `digest`, they are stored durably and the repository
    /// may read them.
    pub async fn finish(&self, digest: &Digest) -> Result<Blob, FinishError> {
        let mut guard = self.claim().await.ok_or(FinishError::Busy)?;
        let staged = guard.as_mut().ok_or(FinishError::Gone)?;
        let found = staged.digest(digest.algorithm()).await?;
        if found != *digest {
            drop(guard);
            self.cancel().await?;
            return Err(FinishError::Mismatch {
                expected: digest.clone(),
                found,
            });
        }
        let publish = Publish {
            digest: found,
            repository: Some(self.session.repository.clone()),
            given: false,
            upload: Some(self.session.id.clone()),
        };
        let staged = guard.take().ok_or(FinishError::Gone)?;
        let this = self.clone();
        // Runs to its end even if the caller is dropped: after a failure the upload can continue,
        // and a client that requests it meanwhile gets the answer that it is over.
        let finishing = tokio::spawn(async move {
            let result = {
                let _over = Over(&this);
                this.inner.publish(staged, publish).await
            };
            drop(guard);
            result
        });
        Ok(joined(finishing.await)?)
    }

    /// Discards the upload. Returns whether it was still in progress.
    pub async fn cancel(&self) -> Result<bool, StoreError> {
        // A request that is appending loses its file and ends with its own error.
        let Some(mut guard) = self.claim().await else {
            return Err(StoreError::Busy);
        };
        if guard.take().is_none() {
            return Ok(false);
        }
        let _over = Over(self);
        self.inner.discard_upload(&self.session.id).await?;
        Ok(true)
    }
}

/// Forgets an upload's session when dropped. Its row and file, if they are still there, are found
/// again by a client that asks for it.
struct Over<'u>(&'u Upload);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.inner.sessions.lock().remove(&self.0.session.id);
    }
}

impl Inner {
    /// Removes the row and the file of an upload without a running append.
    pub(crate) async fn discard_upload(&self, id: &UploadId) -> Result<(), StoreError> {
        self.records.end_upload(id).await?;
        // After the row: as long as the session exists, no other one is made from the row.
        self.sessions.lock().remove(id);
        self.content.discard(id.as_str()).await.map(drop)
    }
}

impl Inner {
    /// Discards an upload unless an append is running.
    pub(crate) async fn discard_if_idle(&self, id: &UploadId) -> Result<bool, StoreError> {
        let session = self.sessions.lock().get(id).cloned();
        if let Some(session) = session {
            let Ok(mut staged) = session.staged.try_lock() else {
                return Ok(false);
            };
            staged.take();
        }
        self.discard_upload(id).await?;
        Ok(true)
    }
}
