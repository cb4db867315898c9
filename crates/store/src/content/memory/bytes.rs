//! Bytes in memory, read in parts.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use parking_lot::Mutex;

use crate::content::source::{RandomAccess, ReadRange};

/// Largest chunk of a stream in bytes.
const CHUNK: u64 = 1024 * 1024;

/// The bytes of a blob.
pub(super) struct Whole(pub(super) Bytes);

impl fmt::Debug for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Whole").field(&self.0.len()).finish()
    }
}

/// `range` in parts of at most [`CHUNK`] bytes.
fn parts(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let starts = (range.start..range.end).step_by(usize::try_from(CHUNK).unwrap_or(usize::MAX));
    starts.map(move |start| start..range.end.min(start + CHUNK))
}

/// A part of bytes, all of it.
fn part<T>(bytes: &[u8], range: Range<u64>, take: impl FnOnce(Range<usize>) -> T) -> io::Result<T> {
    let index = |at| usize::try_from(at).unwrap_or(usize::MAX);
    let range = index(range.start)..index(range.end);
    if range.end > bytes.len() {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!(
                "the content ends at {} instead of {}",
                bytes.len(),
                range.end
            ),
        ));
    }
    Ok(take(range))
}

impl ReadRange for Whole {
    fn read(self: Arc<Self>, range: Range<u64>) -> BoxStream<'static, io::Result<Bytes>> {
        stream::iter(parts(range))
            .map(move |range| part(&self.0, range, |range| self.0.slice(range)))
            .boxed()
    }
}

/// The bytes of a staging object.
#[derive(Default)]
pub(super) struct Growing(pub(super) Mutex<Vec<u8>>);

impl fmt::Debug for Growing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Growing")
            .field(&self.0.lock().len())
            .finish()
    }
}

impl ReadRange for Growing {
    fn read(self: Arc<Self>, range: Range<u64>) -> BoxStream<'static, io::Result<Bytes>> {
        stream::iter(parts(range))
            .map(move |range| {
                let bytes = self.0.lock();
                let taken = part(&bytes, range, |range| {
                    bytes.get(range).map(Bytes::copy_from_slice)
                })?;
                taken.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
            })
            .boxed()
    }
}

impl RandomAccess for Growing {
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut all = self.0.lock();
        let start = usize::try_from(at).map_err(io::Error::other)?;
        let end = start.saturating_add(bytes.len());
        if all.len() < end {
            all.resize(end, 0);
        }
        if let Some(place) = all.get_mut(start..end) {
            place.copy_from_slice(bytes);
        }
        Ok(())
    }
}
