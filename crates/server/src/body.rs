//! Answer bodies: empty, bytes in memory, or a stream of known length.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use futures_util::Stream;
use http_body::{Frame, SizeHint};
use metahub_store::BlobChunk;

use crate::log::Record;
use crate::sendfile_queue::{Chunk, SendfileQueue};
use crate::timeouts::Running;

type BlobChunks = Pin<Box<dyn Stream<Item = io::Result<BlobChunk>> + Send>>;

/// The body of an answer. An enum rather than a boxed trait object: small answers, which are most,
/// cost no allocation.
pub(crate) struct Body {
    kind: BodyKind,
    record: Option<Box<Record>>,
    running: Option<Running>,
    queue: Option<Arc<SendfileQueue>>,
    /// Whether it is one stream of many, which hands over small parts.
    is_stream: bool,
    /// The rest of the last part.
    rest: Bytes,
}

/// Bytes that a stream of HTTP/2 hands over at once: one frame as most clients take them. Its
/// client must take so many within [`crate::Limits::stall_timeout`].
const STREAM_PART: usize = 16 * 1024;

enum BodyKind {
    Empty,
    Bytes(Bytes),
    Stream { stream: BlobChunks, left: u64 },
}

impl Body {
    /// No content.
    pub(crate) fn empty() -> Self {
        Self {
            kind: BodyKind::Empty,
            record: None,
            running: None,
            queue: None,
            is_stream: false,
            rest: Bytes::new(),
        }
    }

    /// A stream of exactly `length` bytes, or of parts of files. One that yields fewer or more ends
    /// in an error, so that a client never takes part of a blob for the whole.
    pub(crate) fn stream<S>(length: u64, stream: S) -> Self
    where
        S: Stream<Item = io::Result<BlobChunk>> + Send + 'static,
    {
        Self {
            kind: BodyKind::Stream {
                stream: Box::pin(stream),
                left: length,
            },
            record: None,
            running: None,
            queue: None,
            is_stream: false,
            rest: Bytes::new(),
        }
    }

    /// Writes `record` to the log when this body has been sent or dropped.
    pub(crate) fn logged(mut self, mut record: Box<Record>) -> Self {
        record.announced = self.len();
        self.record = Some(record);
        self
    }

    /// Reports to `running` how the client takes this body, and the end of the answer. To be called
    /// in the task that sends it.
    pub(crate) fn paced(mut self, mut running: Running) -> Self {
        self.is_stream = running.is_sent_here();
        self.running = Some(running);
        self
    }

    /// Leaves parts of files to `queue`.
    pub(crate) fn through(mut self, queue: Option<Arc<SendfileQueue>>) -> Self {
        self.queue = queue;
        self
    }

    /// The number of bytes that this body will carry.
    pub(crate) fn len(&self) -> u64 {
        match &self.kind {
            BodyKind::Empty => 0,
            BodyKind::Bytes(bytes) => bytes.len() as u64,
            BodyKind::Stream { left, .. } => *left,
        }
    }

    /// The next part.
    fn poll_part(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Chunk>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(self.first_of_rest())));
        }
        let polled = self.kind.poll(context);
        polled.map(|chunk| {
            Some(chunk?.and_then(|chunk| match chunk {
                BlobChunk::Bytes(bytes) if self.is_stream => {
                    self.rest = bytes;
                    Ok(self.first_of_rest())
                }
                chunk => self.chunk(chunk),
            }))
        })
    }

    fn first_of_rest(&mut self) -> Chunk {
        let length = self.rest.len().min(STREAM_PART);
        Chunk::Bytes(self.rest.split_to(length))
    }
}

impl Body {
    fn chunk(&self, chunk: BlobChunk) -> io::Result<Chunk> {
        match (chunk, &self.queue) {
            (BlobChunk::Bytes(bytes), _) => Ok(Chunk::Bytes(bytes)),
            (BlobChunk::Window(window), Some(queue)) => queue.push(window),
            (BlobChunk::Window(_), None) => Err(io::Error::other(
                "this connection cannot send parts of files",
            )),
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            Self::empty()
        } else {
            Self {
                kind: BodyKind::Bytes(bytes),
                record: None,
                running: None,
                queue: None,
                is_stream: false,
                rest: Bytes::new(),
            }
        }
    }
}

impl BodyKind {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<BlobChunk>>> {
        match self {
            Self::Empty => Poll::Ready(None),
            Self::Bytes(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready(Some(Ok(BlobChunk::Bytes(bytes))))
            }
            Self::Stream { left: 0, .. } => Poll::Ready(None),
            Self::Stream { stream, left } => match stream.as_mut().poll_next(context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(None) => Poll::Ready(Some(Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("content ended {left} bytes early"),
                )))),
                Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error))),
                Poll::Ready(Some(Ok(chunk))) => match left.checked_sub(chunk.len()) {
                    Some(rest) => {
                        *left = rest;
                        Poll::Ready(Some(Ok(chunk)))
                    }
                    None => Poll::Ready(Some(Err(io::Error::other(
                        "content is longer than announced",
                    )))),
                },
            },
        }
    }
}

impl http_body::Body for Body {
    type Data = Chunk;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Chunk>>>> {
        if let Some(running) = &mut self.running {
            running.asked();
        }
        match self.poll_part(context) {
            Poll::Ready(Some(Ok(chunk))) => {
                if let Some(running) = &mut self.running {
                    running.gave();
                }
                if let Some(record) = &mut self.record {
                    record.sent += chunk.remaining() as u64;
                }
                Poll::Ready(Some(Ok(Frame::data(chunk))))
            }
            Poll::Ready(Some(Err(error))) => {
                tracing::warn!(%error, "an answer was cut off");
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
            && matches!(
                self.kind,
                BodyKind::Empty | BodyKind::Stream { left: 0, .. }
            )
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len() + self.rest.len() as u64)
    }
}
