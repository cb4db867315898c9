//! Receives content from an upstream: in staging, verified, published.
//!
//! A fill that is dropped leaves only what another fill from the same source can resume; one with
//! the wrong digest leaves not even that. Others can follow a fill while it is received: they read
//! the staged bytes as they come, and see an error, never a short end, if it fails.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use metahub_oci::{Digest, RepositoryName};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::StoreError;
use crate::blobs::blob::Blob;
use crate::blobs::publish::Publish;
use crate::content::{Disconnected, Piece, Resumption, Stage, Staging, WriteBuffer};
use crate::fills::follow::{FillHandle, Follower};
use crate::fills::progress::Progress;
use crate::fills::readers::Readers;
use crate::store::{Inner, Store};
use crate::task::joined;

/// Why a fill failed.
#[derive(Debug, thiserror::Error)]
pub enum FillError {
    /// The content does not match its digest.
    #[error("the content hashes to {found}, not to {expected}: its source is damaged or lies")]
    Mismatch {
        /// The requested digest.
        expected: Digest,
        /// What the bytes hash to.
        found: Digest,
    },
    /// There are more or fewer bytes than were announced.
    #[error("the content has {found} bytes instead of {expected}: its source is damaged or lies")]
    WrongSize {
        /// The announced size.
        expected: u64,
        /// The received size, at least.
        found: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Content being received under a digest known in advance.
pub struct Fill {
    inner: Arc<Inner>,
    digest: Digest,
    size: Option<u64>,
    received: u64,
    // Dropped before the field that ends the writing, so that no range is started in an abandoned
    // file.
    progress: Arc<watch::Sender<Progress>>,
    buffer: Option<WriteBuffer>,
    /// Absent once its outcome was taken.
    writing: Option<JoinHandle<Result<Box<dyn Staging>, StoreError>>>,
    readers: Arc<Readers>,
    /// Absent if it cannot be resumed.
    resumption: Option<Resumption>,
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
    /// Begins to receive the content of `digest`, of `size` bytes if its source stated a size.
    #[must_use]
    pub fn fill(&self, digest: &Digest, size: Option<u64>) -> Fill {
        let staged = self.inner.content.stage(Stage::Temporary);
        Fill::of(&self.inner, digest, size, staged)
    }

    /// The same from `source`: if it is interrupted, the next fill of the same content from there
    /// resumes it.
    #[must_use]
    pub fn fill_from(&self, source: &str, digest: &Digest, size: Option<u64>) -> Fill {
        let staged = self
            .inner
            .content
            .stage(Stage::Resumable { source, digest });
        Fill::of(&self.inner, digest, size, staged)
    }
}

async fn receive(
    mut staged: Box<dyn Staging>,
    pieces: mpsc::Receiver<Piece>,
    progress: Arc<watch::Sender<Progress>>,
) -> Result<Box<dyn Staging>, StoreError> {
    match write(&mut *staged, pieces, &progress).await {
        Ok(()) => Ok(staged),
        Err(error) => {
            // Callers that see the error may count on the space.
            staged.end().await;
            Err(error)
        }
    }
}

async fn write(
    staged: &mut dyn Staging,
    mut pieces: mpsc::Receiver<Piece>,
    progress: &watch::Sender<Progress>,
) -> Result<(), StoreError> {
    // At once, so that ranges can be prefetched.
    let bytes = staged.bytes().await?;
    progress.send_modify(|progress| progress.bytes = Some(bytes));
    while let Some(piece) = pieces.recv().await {
        match piece {
            Piece::Received(chunk) => staged.append(chunk).await?,
            Piece::Ahead(end) => staged.absorb(end).await?,
        }
        let written = staged.len();
        progress.send_modify(|progress| {
            progress.written = written;
            progress.ahead.forget_before(written);
        });
    }
    Ok(())
}

impl Fill {
    pub(crate) fn of(
        inner: &Arc<Inner>,
        digest: &Digest,
        size: Option<u64>,
        staged: Box<dyn Staging>,
    ) -> Self {
        let resumption = staged.resumption();
        let received = staged.len();
        let (buffer, chunks) = WriteBuffer::awaited(&inner.receiving);
        let mut progress = Progress {
            bytes: staged.opened(),
            written: received,
            taken: received,
            ..Progress::default()
        };
        if let Some(resumption) = &resumption {
            progress.writers = Arc::clone(resumption.writers());
        }
        let progress = Arc::new(watch::Sender::new(progress));
        let writing = tokio::spawn(receive(staged, chunks, Arc::clone(&progress)));
        Self {
            inner: Arc::clone(inner),
            digest: digest.clone(),
            size,
            received,
            buffer: Some(buffer),
            writing: Some(writing),
            readers: Arc::default(),
            progress,
            resumption,
        }
    }

    /// The digest being received.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Its size in bytes, if the source said so.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// How many bytes were received so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// A handle that does not count as a reader.
    #[must_use]
    pub fn handle(&self) -> FillHandle {
        FillHandle::new(
            self.digest.clone(),
            self.size,
            &self.progress,
            Arc::clone(&self.inner.streams),
            Arc::clone(&self.readers),
        )
    }

    /// A new reader; `None` after [`Fill::close_if_unread`].
    #[must_use]
    pub fn follower(&self) -> Option<Follower> {
        self.handle().follow()
    }

    /// Waits until there are no readers.
    pub async fn unread(&self) {
        self.readers.until(false).await;
    }

    /// Waits until there is a reader.
    pub async fn read(&self) {
        self.readers.until(true).await;
    }

    /// Closes the fill to readers, if it has none. Returns whether it did: then it is time for
    /// [`Fill::give_up`].
    #[must_use]
    pub fn close_if_unread(&self) -> bool {
        self.readers.close_if_unread()
    }

    /// Takes the bytes after those that were received.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), FillError> {
        self.write_at(self.received, bytes).await
    }

    /// Receives bytes at the offset `at`, which must not be beyond the received length; bytes
    /// received before are skipped. Waits when the disk is slower than the source, and for ranges
    /// that are being prefetched ([`Follower::claim`]).
    pub async fn write_at(&mut self, at: u64, mut bytes: Bytes) -> Result<(), FillError> {
        let end = at + bytes.len() as u64;
        if let Some(expected) = self.size.filter(|size| end > *size) {
            self.spoil();
            return Err(FillError::WrongSize {
                expected,
                found: end,
            });
        }
        if at > self.received {
            return Err(StoreError::Closed.into());
        }
        while self.received < end {
            let known = self.received.saturating_sub(end - bytes.len() as u64);
            bytes.advance(
                usize::try_from(known)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len()),
            );
            let taken = self.take(end);
            if taken > self.received {
                let length = usize::try_from(taken - self.received).unwrap_or(usize::MAX);
                let new = bytes.split_to(length.min(bytes.len()));
                self.received = taken;
                self.push(Piece::Received(vec![new])).await?;
            } else {
                self.pass_range().await?;
            }
        }
        Ok(())
    }

    /// Hands on the collected bytes, so that they can be read.
    pub async fn flush(&mut self) -> Result<(), FillError> {
        let flushed = match &mut self.buffer {
            Some(buffer) => buffer.flush().await,
            None => Err(Disconnected),
        };
        self.written(flushed).await
    }

    /// Claims everything up to `end`, or up to the next prefetched range, for this fill.
    fn take(&self, end: u64) -> u64 {
        let mut taken = end;
        self.progress.send_if_modified(|progress| {
            taken = progress
                .ahead
                .next(self.received)
                .map_or(end, |start| start.min(end));
            progress.taken = taken;
            false
        });
        taken
    }

    /// Waits for the range that begins here and includes it.
    async fn pass_range(&mut self) -> Result<(), FillError> {
        // It may take a while, and readers wait for the bytes before it.
        self.flush().await?;
        let at = self.received;
        let mut progress = self.progress.subscribe();
        let mut end = at;
        // Cannot fail: the sender is a field of this struct.
        let _ = progress
            .wait_for(|progress| match progress.ahead.outcome(at) {
                Some(brought) => {
                    end = brought;
                    true
                }
                None => false,
            })
            .await;
        if end > at {
            self.received = end;
            self.progress.send_if_modified(|progress| {
                progress.taken = end;
                false
            });
            self.push(Piece::Ahead(end)).await?;
        }
        Ok(())
    }

    async fn push(&mut self, piece: Piece) -> Result<(), FillError> {
        let pushed = match &mut self.buffer {
            Some(buffer) => buffer.give(piece).await,
            None => Err(Disconnected),
        };
        self.written(pushed).await
    }

    /// The error of the writing end, if it has failed.
    async fn written(&mut self, pushed: Result<(), Disconnected>) -> Result<(), FillError> {
        if pushed.is_ok() {
            return Ok(());
        }
        if self.buffer.take().is_none() {
            return Err(StoreError::Closed.into());
        }
        Err(match self.written_all().await {
            Err(error) => error.into(),
            Ok(_) => StoreError::Closed.into(),
        })
    }

    /// The result of the writing end; can be taken once.
    async fn written_all(&mut self) -> Result<Box<dyn Staging>, StoreError> {
        match self.writing.take() {
            Some(writing) => joined(writing.await),
            None => Err(StoreError::Closed),
        }
    }

    fn spoil(&self) {
        if let Some(resumption) = &self.resumption {
            resumption.spoil();
        }
    }

    /// Discards the received bytes, so that they cannot be resumed.
    pub fn discard(&self) {
        self.spoil();
    }

    /// Ends an incomplete fill. Returns when the next fill can resume it, or when its space is
    /// free.
    pub async fn give_up(mut self) {
        self.readers.close();
        if let Some(buffer) = self.buffer.take() {
            // Includes the collected bytes.
            let _ = buffer.finish().await;
        }
        let written = self.written_all().await;
        // No range may begin in a file that another fill may resume.
        drop(self);
        if let Ok(staged) = written {
            staged.give_up().await;
        }
    }

    /// Verifies the content, stores it durably and links it to `repository`, from whose upstream it
    /// came, if there is one.
    pub async fn commit(mut self, repository: Option<&RepositoryName>) -> Result<Blob, FillError> {
        while self.take(u64::MAX) == self.received {
            self.pass_range().await?;
        }
        if let Some(expected) = self.size.filter(|size| self.received != *size) {
            let found = self.received;
            self.spoil();
            self.give_up().await;
            return Err(FillError::WrongSize { expected, found });
        }
        if let Some(buffer) = self.buffer.take() {
            // Fails only if writing did, which says why.
            let _ = buffer.finish().await;
        }
        let mut staged = self.written_all().await?;
        let found = staged.digest(self.digest.algorithm()).await?;
        if found != self.digest {
            let expected = self.digest.clone();
            self.readers.close();
            self.spoil();
            // Its file is let go of before its space is said to be free.
            drop(self);
            staged.end().await;
            return Err(FillError::Mismatch { expected, found });
        }
        let publish = Publish {
            digest: found,
            repository: repository.cloned(),
            given: repository.is_some(),
            upload: None,
        };
        // Verified: followers may have the end now, before it is durable.
        self.progress
            .send_modify(|progress| progress.complete = true);
        let blob = self.inner.publish(staged, publish).await?;
        self.progress.send_modify(|progress| progress.stored = true);
        Ok(blob)
    }
}

impl Drop for Fill {
    fn drop(&mut self) {
        // Remaining followers keep no file of a failed fill, and no new ones start.
        self.progress.send_if_modified(|progress| {
            if !progress.stored {
                progress.bytes = None;
                self.readers.close();
            }
            false
        });
    }
}
