//! A file's bytes as a stream: read in large chunks on blocking threads, one chunk ahead of
//! the reader. Never reads on an asynchronous worker, never holds more than two chunks.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::stream::Stream;
use rustix::buffer::spare_capacity;
use rustix::io::{Errno, pread};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::content::files::pool::{PIECE, Pool};
use crate::content::files::verified::Check;

/// Largest chunk in buffers, a mebibyte: larger ones gain nothing.
const LARGEST: usize = 8;

/// Smallest chunk in bytes, however many streams there are: the largest frame of HTTP/2.
const SMALLEST: usize = 16 * 1024;

/// Buffers that all streams together are meant to hold: 16 MiB, until the smallest chunks of
/// very many streams make more.
const BUFFERS: usize = 128;

/// What streams share.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    pool: Arc<Pool>,
    active: AtomicUsize,
}

impl Streams {
    /// How many bytes a chunk may have now: whole buffers, and parts of one where there are so
    /// many streams that those would take too much.
    fn chunk(&self) -> usize {
        let active = self.active.load(Ordering::Relaxed).max(1);
        let bytes = BUFFERS * PIECE / 2 / active;
        if bytes >= PIECE {
            (bytes / PIECE).min(LARGEST) * PIECE
        } else {
            (bytes / SMALLEST * SMALLEST).max(SMALLEST)
        }
    }
}

type Reading = JoinHandle<io::Result<(VecDeque<Bytes>, Option<Check>)>>;

/// A stream of a file's bytes.
pub(crate) struct FileStream {
    file: Arc<File>,
    range: Range<u64>,
    check: Option<Check>,
    ready: VecDeque<Bytes>,
    reading: Option<Reading>,
    streams: Arc<Streams>,
}

impl FileStream {
    pub(crate) fn new(
        file: Arc<File>,
        range: Range<u64>,
        check: Option<Check>,
        streams: Arc<Streams>,
    ) -> Self {
        streams.active.fetch_add(1, Ordering::Relaxed);
        Self {
            file,
            range,
            check,
            ready: VecDeque::new(),
            reading: None,
            streams,
        }
    }

    /// Starts to read the next chunk, if there is one.
    fn read_ahead(&mut self) {
        if self.range.is_empty() {
            return;
        }
        let file = Arc::clone(&self.file);
        let start = self.range.start;
        let end = (start + self.streams.chunk() as u64).min(self.range.end);
        self.range.start = end;
        let last = self.range.is_empty();
        let pool = Arc::clone(&self.streams.pool);
        let check = self.check.take();
        self.reading = Some(spawn_blocking(move || {
            let pieces = read_range(&file, start..end, &pool)?;
            let Some(mut check) = check else {
                return Ok((pieces, None));
            };
            for piece in &pieces {
                check.update(piece);
            }
            if last {
                check.finish()?;
                return Ok((pieces, None));
            }
            Ok((pieces, Some(check)))
        }));
    }
}

impl Stream for FileStream {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some(bytes) = this.ready.pop_front() {
            return Poll::Ready(Some(Ok(bytes)));
        }
        if this.reading.is_none() {
            this.read_ahead();
        }
        let Some(reading) = &mut this.reading else {
            return Poll::Ready(None);
        };
        let outcome = ready!(Pin::new(reading).poll(context));
        this.reading = None;
        match outcome.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok((pieces, check)) => {
                this.ready = pieces;
                this.check = check;
                this.read_ahead();
                Poll::Ready(this.ready.pop_front().map(Ok))
            }
            Err(error) => {
                this.range.start = this.range.end;
                Poll::Ready(Some(Err(error)))
            }
        }
    }
}

impl Drop for FileStream {
    fn drop(&mut self) {
        self.streams.active.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All bytes of `range`, or an error. Blocks.
fn read_range(file: &File, range: Range<u64>, pool: &Arc<Pool>) -> io::Result<VecDeque<Bytes>> {
    let mut pieces = VecDeque::new();
    let mut offset = range.start;
    while offset < range.end {
        let wanted = usize::try_from(range.end - offset)
            .unwrap_or(PIECE)
            .min(PIECE);
        // A small part does not occupy a whole buffer for as long as its client takes.
        let small = wanted <= PIECE / 2;
        let mut buffer = if small {
            Vec::with_capacity(wanted)
        } else {
            pool.take()
        };
        while buffer.len() < wanted {
            let at = offset + buffer.len() as u64;
            match pread(file, spare_capacity(&mut buffer), at) {
                Ok(0) => {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        format!("the file ends at {at} instead of {}", range.end),
                    ));
                }
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // The buffer may have had room for more than was requested.
        buffer.truncate(wanted);
        offset += wanted as u64;
        pieces.push_back(if small {
            Bytes::from(buffer)
        } else {
            pool.lend(buffer)
        });
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::TryStreamExt;
    use std::io::Write;

    fn file_of(bytes: &[u8]) -> Arc<File> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Arc::new(file)
    }

    #[tokio::test]
    async fn a_range_gives_exactly_its_bytes() {
        let bytes: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
        let file = file_of(&bytes);
        for range in [
            0..0,
            0..1,
            5..5,
            7..2_500_001,
            0..3_000_000,
            2_999_999..3_000_000,
        ] {
            let file = Arc::clone(&file);
            let stream = FileStream::new(file, range.clone(), None, Arc::default());
            let parts: Vec<Bytes> = stream.try_collect().await.unwrap();
            let expected = &bytes[range.start as usize..range.end as usize];
            assert_eq!(parts.concat(), expected, "{range:?}");
        }
    }

    #[tokio::test]
    async fn a_file_that_ends_early_ends_in_an_error() {
        let file = file_of(&[0; 10]);
        let mut stream = FileStream::new(file, 0..11, None, Arc::default());
        let error = stream.try_next().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(stream.try_next().await.unwrap().is_none());
    }

    #[test]
    fn many_streams_take_smaller_chunks() {
        let streams = Streams::default();
        for (active, pieces) in [(0, 8), (1, 8), (8, 8), (16, 4), (64, 1)] {
            streams.active.store(active, Ordering::Relaxed);
            assert_eq!(streams.chunk(), pieces * PIECE, "{active}");
        }
        for (active, kib) in [(65, 112), (128, 64), (500, 16), (100_000, 16)] {
            streams.active.store(active, Ordering::Relaxed);
            assert_eq!(streams.chunk(), kib * 1024, "{active}");
        }
    }
}
