//! An open blob: its bytes as a stream that never ends as if complete when it is not.
//!
//! The first full read of a file that this process has not seen hashes it on the way and holds the
//! last chunk back until the digest is verified. Afterwards the file is trusted for as long as the
//! file system says that it is unchanged. Files that this process wrote were hashed then.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use futures_util::TryStreamExt as _;

use crate::blobs::blob::Blob;
use crate::content::{BlobChunks, BlobStream, Opened};
use crate::{Damage, StoreError};

impl Blob {
    /// Opens the blob for reading. A missing or short file is noticed here, before an answer
    /// begins.
    pub async fn open(&self) -> Result<OpenBlob, StoreError> {
        if let Some(body) = &self.access.body {
            if self.damaged {
                return Err(StoreError::Damaged {
                    digest: self.digest().clone(),
                    problem: Damage::OtherContent,
                });
            }
            return Ok(OpenBlob::in_memory(self.clone(), body.clone()));
        }
        // A hot blob needs no open, and no visit to a blocking thread.
        let content = &self.inner().content;
        if let Some(opened) = content.open_now(self.digest(), self.size()) {
            return Ok(OpenBlob::opened(self.clone(), opened));
        }
        let opened = content.open(self.digest(), self.size()).await;
        if let (Err(StoreError::Damaged { .. }), Some(repository)) = (&opened, &self.repository) {
            let key = (repository.clone(), self.digest().clone());
            self.inner().caches.blobs.forget(&key);
        }
        Ok(OpenBlob::opened(self.clone(), opened?))
    }
}

/// Where an open blob's bytes are.
#[derive(Clone, Debug)]
enum Source {
    /// In memory, all of them: small blobs.
    Bytes(Bytes),
    /// In the content.
    Opened(Opened),
}

/// A blob that is open and has the right size. It can be read to its end even if the blob is
/// deleted meanwhile.
#[derive(Clone, Debug)]
pub struct OpenBlob {
    blob: Blob,
    source: Source,
}

impl OpenBlob {
    pub(crate) fn in_memory(blob: Blob, bytes: Bytes) -> Self {
        let source = Source::Bytes(bytes);
        Self { blob, source }
    }

    pub(crate) fn opened(blob: Blob, opened: Opened) -> Self {
        let source = Source::Opened(opened);
        Self { blob, source }
    }

    /// The open blob.
    #[must_use]
    pub fn blob(&self) -> &Blob {
        &self.blob
    }

    /// Whether the bytes were verified and are unchanged since. Only then may a file be sent
    /// without reading it, as `sendfile` does.
    #[must_use]
    pub fn trusted(&self) -> bool {
        match &self.source {
            Source::Bytes(_) => true,
            Source::Opened(opened) => opened.trusted(),
        }
    }

    /// The URL of a redirect, if the bytes do not pass through this process: reading them here
    /// fails.
    #[must_use]
    pub fn redirect(&self) -> Option<&str> {
        match &self.source {
            Source::Opened(Opened::Redirect(url)) => Some(url),
            _ => None,
        }
    }

    /// Hashes the whole content now, unless it is trusted. Takes about half a second a gigabyte.
    pub async fn verify(&mut self) -> Result<(), StoreError> {
        if self.trusted() {
            return Ok(());
        }
        self.verify_again().await
    }

    /// Hashes the whole content now.
    pub(crate) async fn verify_again(&mut self) -> Result<(), StoreError> {
        let (digest, size) = (self.blob.digest().clone(), self.blob.size());
        match &mut self.source {
            Source::Bytes(_) => Ok(()),
            Source::Opened(opened) => opened.verify(&digest, size).await,
        }
    }

    /// The bytes of `range`, cut to the blob's size, read in large chunks off the asynchronous
    /// workers with one chunk ahead.
    ///
    /// Ends with an error if a byte is missing or, where the whole blob is read and is not
    /// trusted yet, if the bytes hash to something else; the last chunk is then held back.
    #[must_use]
    pub fn stream(&self, range: Range<u64>) -> BlobStream {
        let size = self.blob.size();
        let end = range.end.min(size);
        let range = range.start.min(end)..end;
        match &self.source {
            Source::Opened(opened) => {
                let streams = &self.blob.inner().streams;
                opened.stream(self.blob.digest(), size, range, streams)
            }
            Source::Bytes(bytes) => {
                let index = |offset| usize::try_from(offset).unwrap_or(usize::MAX);
                let range = index(range.start)..index(range.end).min(bytes.len());
                BlobStream::of_bytes(bytes.slice(range.start.min(range.end)..range.end))
            }
        }
    }

    /// The same as [`OpenBlob::stream`] for callers that can send a part of a file without reading
    /// it, which is possible for a trusted file only.
    #[must_use]
    pub fn chunks(&self, range: Range<u64>) -> BlobChunks {
        match &self.source {
            Source::Opened(Opened::File(file)) if file.trusted() => {
                let end = range.end.min(self.blob.size());
                let streams = Arc::clone(&self.blob.inner().streams);
                let file = Arc::clone(file.file());
                BlobChunks::windows(file, range.start.min(end)..end, streams)
            }
            _ => BlobChunks::read(self.stream(range)),
        }
    }

    /// All bytes, for callers that read them one after the other on a thread that may block. As
    /// [`OpenBlob::stream`] otherwise.
    ///
    /// # Panics
    /// When read outside of a Tokio runtime, or on one of its asynchronous workers.
    #[must_use]
    pub fn reader(&self) -> impl Read + Send + 'static {
        BlobReader {
            stream: self.stream(0..u64::MAX),
            chunk: Bytes::new(),
        }
    }

    /// All bytes at once.
    pub(crate) async fn read_all(&self) -> Result<Bytes, StoreError> {
        let mut stream = self.stream(0..u64::MAX);
        let mut bytes = Vec::with_capacity(usize::try_from(self.blob.size()).unwrap_or(0));
        while let Some(chunk) = stream
            .try_next()
            .await
            .map_err(|error| self.failed(error))?
        {
            bytes.extend_from_slice(&chunk);
        }
        Ok(Bytes::from(bytes))
    }

    /// The store's error that a stream ended with.
    fn failed(&self, error: io::Error) -> StoreError {
        match error.downcast::<StoreError>() {
            Ok(error) => error,
            Err(error) => StoreError::io("read", self.blob.inner().content.location(), error),
        }
    }
}

/// Reads a stream on a thread that may block.
struct BlobReader {
    stream: BlobStream,
    /// The unread rest of the last chunk.
    chunk: Bytes,
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            let next = tokio::runtime::Handle::current().block_on(self.stream.try_next());
            match next? {
                Some(chunk) => self.chunk = chunk,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.chunk.len());
        self.chunk
            .split_to(count)
            .copy_to_slice(buffer.get_mut(..count).unwrap_or_default());
        Ok(count)
    }
}
