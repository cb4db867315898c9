//! A file's bytes as a stream: read in large portions on blocking threads, one portion ahead of
//! whoever takes them. Never reads on an asynchronous worker, never holds more than two portions.

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

use crate::blob::Check;

/// Largest portion: larger ones gain nothing.
const LARGEST: u64 = 1024 * 1024;
/// Smallest portion, when very many streams share the memory.
const SMALLEST: u64 = 128 * 1024;
/// What all streams together may hold, roughly.
const MEMORY: u64 = 32 * 1024 * 1024;

type Reading = JoinHandle<io::Result<(Bytes, Option<Check>)>>;

/// A stream of a blob's bytes. See [`crate::OpenBlob::stream`].
pub struct BlobStream {
    file: Arc<File>,
    range: Range<u64>,
    check: Option<Check>,
    reading: Option<Reading>,
    streams: Arc<AtomicUsize>,
}

impl std::fmt::Debug for BlobStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobStream")
            .field("left", &self.range)
            .finish_non_exhaustive()
    }
}

impl BlobStream {
    pub(crate) fn new(
        file: Arc<File>,
        range: Range<u64>,
        check: Option<Check>,
        streams: Arc<AtomicUsize>,
    ) -> Self {
        streams.fetch_add(1, Ordering::Relaxed);
        Self {
            file,
            range,
            check,
            reading: None,
            streams,
        }
    }

    /// Starts to read the next portion, if there is one.
    fn read_ahead(&mut self) {
        if self.range.is_empty() {
            return;
        }
        let streams = self.streams.load(Ordering::Relaxed).max(1) as u64;
        let size = (MEMORY / 2 / streams).clamp(SMALLEST, LARGEST);
        let start = self.range.start;
        let end = (start + size).min(self.range.end);
        self.range.start = end;
        let last = self.range.is_empty();
        let file = Arc::clone(&self.file);
        let check = self.check.take();
        self.reading = Some(spawn_blocking(move || {
            let bytes = read_range(&file, start..end)?;
            let check = match check {
                Some(mut check) => {
                    check.update(&bytes);
                    if last {
                        check.finish()?;
                        None
                    } else {
                        Some(check)
                    }
                }
                None => None,
            };
            Ok((bytes, check))
        }));
    }
}

impl Stream for BlobStream {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.reading.is_none() {
            this.read_ahead();
        }
        let Some(reading) = &mut this.reading else {
            return Poll::Ready(None);
        };
        let outcome = ready!(Pin::new(reading).poll(context));
        this.reading = None;
        match outcome.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok((bytes, check)) => {
                this.check = check;
                this.read_ahead();
                Poll::Ready(Some(Ok(bytes)))
            }
            Err(error) => {
                this.range.start = this.range.end;
                Poll::Ready(Some(Err(error)))
            }
        }
    }
}

impl Drop for BlobStream {
    fn drop(&mut self) {
        self.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All bytes of `range`, or an error. Blocks.
fn read_range(file: &File, range: Range<u64>) -> io::Result<Bytes> {
    let wanted = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
    let mut buffer = Vec::with_capacity(wanted);
    while buffer.len() < wanted {
        let offset = range.start + buffer.len() as u64;
        match pread(file, spare_capacity(&mut buffer), offset) {
            Ok(0) => {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("the file ends at {offset} instead of {}", range.end),
                ));
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // The allocator may have given more room than was asked for, and the read filled it.
    buffer.truncate(wanted);
    Ok(Bytes::from(buffer))
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
            let stream = BlobStream::new(Arc::clone(&file), range.clone(), None, Arc::default());
            let parts: Vec<Bytes> = stream.try_collect().await.unwrap();
            let expected = &bytes[range.start as usize..range.end as usize];
            assert_eq!(parts.concat(), expected, "{range:?}");
        }
    }

    #[tokio::test]
    async fn a_file_that_ends_early_ends_in_an_error() {
        let file = file_of(&[0; 10]);
        let mut stream = BlobStream::new(file, 0..11, None, Arc::default());
        let error = stream.try_next().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(stream.try_next().await.unwrap().is_none());
    }
}
