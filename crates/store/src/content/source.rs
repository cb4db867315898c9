//! Sources of bytes: an open blob, and a staging object while it is written.

use std::fmt;
use std::fs::File;
use std::future::ready;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, TryStreamExt as _};
use metahub_oci::{Digest, Hasher};

use crate::content::blob_chunks::BlobChunks;
use crate::content::blob_stream::BlobStream;
use crate::content::files::open_file::{OpenFile, write_ahead};
use crate::content::files::stream::Streams;
use crate::{Damage, StoreError};

/// Bytes that are in no file.
pub(crate) trait ReadRange: fmt::Debug + Send + Sync {
    /// The bytes of `range`. Ends with an error if one is missing, never short; the implementation
    /// verifies the bytes.
    fn read(self: Arc<Self>, range: Range<u64>) -> BoxStream<'static, io::Result<Bytes>>;
}

/// The bytes of a staging object that is no file.
pub(crate) trait RandomAccess: ReadRange {
    /// Writes bytes ahead of those that were appended. Blocks.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;
}

/// A blob that is open. It can be read to its end even if the blob is deleted meanwhile.
#[derive(Clone, Debug)]
pub(crate) enum Opened {
    /// In a local file, so that a part of it can be sent without reading it.
    File(OpenFile),
    /// To be read as a stream.
    Stream(Arc<dyn ReadRange>),
    /// At this URL. Its bytes do not pass through this process: the client is sent there.
    Redirect(String),
}

impl Opened {
    /// Whether the bytes are verified. A stream verifies by itself; a client verifies the target of
    /// a redirect.
    pub(crate) fn trusted(&self) -> bool {
        match self {
            Self::File(file) => file.trusted(),
            Self::Stream(_) => true,
            Self::Redirect(_) => false,
        }
    }

    /// Hashes all bytes now.
    pub(crate) async fn verify(&mut self, digest: &Digest, size: u64) -> Result<(), StoreError> {
        let damaged = |problem: Damage| StoreError::Damaged {
            digest: digest.clone(),
            problem,
        };
        let mut stream = match self {
            Self::File(file) => return file.verify(digest, size).await,
            Self::Stream(bytes) => Arc::clone(bytes).read(0..size),
            Self::Redirect(_) => {
                return Err(StoreError::io(
                    "verify",
                    Path::new(digest.hex()),
                    elsewhere(),
                ));
            }
        };
        let mut hasher = Hasher::new(digest.algorithm());
        while let Some(bytes) = stream
            .try_next()
            .await
            .map_err(|error| damaged(Damage::Unreadable(error.to_string())))?
        {
            hasher.update(&bytes);
        }
        let found = hasher.finish();
        if found == *digest {
            return Ok(());
        }
        Err(damaged(Damage::HashesTo(found)))
    }

    /// The bytes of `range` of the blob `digest`, which has `size` bytes. Ends with an error if a
    /// byte is missing or, where the whole is read, if the bytes hash to something else; the last
    /// chunk is then held back.
    pub(crate) fn stream(
        &self,
        digest: &Digest,
        size: u64,
        range: Range<u64>,
        streams: &Arc<Streams>,
    ) -> BlobStream {
        match self {
            Self::File(file) => {
                let whole = range == (0..size);
                BlobStream::of_rest(file.stream(digest, range, whole, Arc::clone(streams)))
            }
            Self::Stream(bytes) => BlobStream::of_stream(Arc::clone(bytes).read(range)),
            Self::Redirect(_) => {
                BlobStream::of_stream(Box::pin(stream::once(ready(Err(elsewhere())))))
            }
        }
    }

    /// The same without verification, for callers that verify.
    pub(crate) fn unverified(&self, size: u64, streams: &Arc<Streams>) -> BlobStream {
        match self {
            Self::File(file) => {
                let file = Arc::clone(file.file());
                BlobStream::of_file(file, 0..size, None, Arc::clone(streams))
            }
            Self::Stream(bytes) => BlobStream::of_stream(Arc::clone(bytes).read(0..size)),
            Self::Redirect(_) => {
                BlobStream::of_stream(Box::pin(stream::once(ready(Err(elsewhere())))))
            }
        }
    }
}

/// Why the bytes of a redirect cannot be read here.
fn elsewhere() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "the content lies elsewhere: its bytes are read from the URL that it redirects to",
    )
}

/// The bytes of a staging object, readable up to the appended length, and writable beyond it.
#[derive(Clone, Debug)]
pub(crate) enum StagedBytes {
    /// In a file. Its own position is shared: use it by position.
    File(Arc<File>),
    /// Elsewhere.
    Object(Arc<dyn RandomAccess>),
}

impl StagedBytes {
    /// The bytes of `range`, which were appended or written ahead.
    pub(crate) fn stream(&self, range: Range<u64>, streams: &Arc<Streams>) -> BlobStream {
        match self {
            Self::File(file) => {
                BlobStream::of_file(Arc::clone(file), range, None, Arc::clone(streams))
            }
            Self::Object(object) => {
                let object: Arc<dyn ReadRange> = Arc::<dyn RandomAccess>::clone(object);
                BlobStream::of_stream(object.read(range))
            }
        }
    }

    /// The same for callers that can send a part of a file without reading it.
    pub(crate) fn chunks(&self, range: Range<u64>, streams: &Arc<Streams>) -> BlobChunks {
        match self {
            Self::File(file) => BlobChunks::windows(Arc::clone(file), range, Arc::clone(streams)),
            Self::Object(_) => BlobChunks::read(self.stream(range, streams)),
        }
    }

    /// Writes bytes ahead of those that were appended. Blocks.
    pub(crate) fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        match self {
            Self::File(file) => write_ahead(file, bytes, at),
            Self::Object(object) => object.write_at(bytes, at),
        }
    }
}
