//! A blob's bytes as a stream, whether they are in a file, in memory or in the database.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream::{BoxStream, Stream};

use crate::content::files::stream::{FileStream, Streams};
use crate::content::files::verified::Check;

/// A stream of a blob's bytes. See [`crate::OpenBlob::stream`].
pub struct BlobStream(Source);

enum Source {
    File(FileStream),
    Bytes(Option<Bytes>),
    Stream(BoxStream<'static, io::Result<Bytes>>),
}

impl std::fmt::Debug for BlobStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobStream").finish_non_exhaustive()
    }
}

impl BlobStream {
    pub(crate) fn of_file(
        file: Arc<File>,
        range: Range<u64>,
        check: Option<Check>,
        streams: Arc<Streams>,
    ) -> Self {
        Self(Source::File(FileStream::new(file, range, check, streams)))
    }

    /// The rest of a file.
    pub(crate) fn of_rest(stream: FileStream) -> Self {
        Self(Source::File(stream))
    }

    pub(crate) fn of_bytes(bytes: Bytes) -> Self {
        Self(Source::Bytes(Some(bytes).filter(|bytes| !bytes.is_empty())))
    }

    pub(crate) fn of_stream(stream: BoxStream<'static, io::Result<Bytes>>) -> Self {
        Self(Source::Stream(stream))
    }
}

impl Stream for BlobStream {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut self.get_mut().0 {
            Source::File(stream) => Pin::new(stream).poll_next(context),
            Source::Bytes(bytes) => Poll::Ready(bytes.take().map(Ok)),
            Source::Stream(stream) => stream.as_mut().poll_next(context),
        }
    }
}
