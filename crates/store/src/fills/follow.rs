//! Reads a fill while it is received, from any offset: the follower waits for bytes that have not
//! arrived. The last byte is returned only after the fill was verified, so a reader of the whole
//! never mistakes damaged content for complete. A part far ahead may be prefetched as a range of
//! its own ([`crate::PrefetchedRange`]).

use std::io;
use std::ops::Range;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use futures_util::stream::{self, Stream, TryStreamExt};
use metahub_oci::Digest;
use tokio::sync::watch;

use crate::content::{BlobChunk, StagedBytes, Streams};
use crate::fills::progress::Progress;
use crate::fills::range_prefetch::PrefetchedRange;
use crate::fills::readers::{Readers, Reading};

/// A range at a blob's end that is no longer than this is not held back: the footers and tables of
/// contents that clients of seekable layers read first, and verify by themselves.
const FOOTER: u64 = 1024 * 1024;

/// A handle on a fill that does not count as a reader. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct FillHandle {
    digest: Digest,
    size: Option<u64>,
    progress: watch::Receiver<Progress>,
    /// Gone as soon as the fill is.
    fill: Weak<watch::Sender<Progress>>,
    streams: Arc<Streams>,
    readers: Arc<Readers>,
}

impl FillHandle {
    pub(crate) fn new(
        digest: Digest,
        size: Option<u64>,
        fill: &Arc<watch::Sender<Progress>>,
        streams: Arc<Streams>,
        readers: Arc<Readers>,
    ) -> Self {
        Self {
            digest,
            size,
            progress: fill.subscribe(),
            fill: Arc::downgrade(fill),
            streams,
            readers,
        }
    }

    /// A new reader; `None` if the fill ends for want of readers.
    #[must_use]
    pub fn follow(&self) -> Option<Follower> {
        let reading = self.readers.join()?;
        Some(Follower {
            handle: self.clone(),
            reading,
        })
    }

    /// Whether the fill has ended, or is about to for want of readers.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.readers.is_closed() || self.fill.strong_count() == 0
    }

    /// Waits until the fill has no readers.
    pub async fn unread(&self) {
        self.readers.until(false).await;
    }

    /// Its size in bytes, if the source said so.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// What is being received.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Waits until the fill is verified and stored, so that it is found as a blob; `false` if it
    /// failed, or ended before.
    pub async fn completed(&mut self) -> bool {
        self.progress
            .wait_for(|progress| progress.stored)
            .await
            .is_ok()
    }
}

/// A reader of a fill: while there is one, the fill continues. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Follower {
    handle: FillHandle,
    reading: Reading,
}

impl Follower {
    /// The right to prefetch the first free part of `range`, if the fill is far from it and fewer
    /// than `most` prefetches are running.
    #[must_use]
    pub fn claim(&self, range: Range<u64>, most: usize) -> Option<PrefetchedRange> {
        let size = self.handle.size?;
        PrefetchedRange::claim(&self.handle.fill, range.start..range.end.min(size), most)
    }

    /// A handle on the fill that does not count as a reader.
    #[must_use]
    pub fn handle(&self) -> FillHandle {
        self.handle.clone()
    }

    /// What is being received.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.handle.digest
    }

    /// Its size in bytes, if the source said so.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.handle.size
    }

    /// Waits until the fill is verified and stored, so that it is found as a blob; `false` if it
    /// failed.
    pub async fn completed(&mut self) -> bool {
        self.handle.completed().await
    }

    /// The bytes from `range.start` to `range.end`, or to the end of the content if that comes
    /// first. An error if the fill fails before.
    pub fn stream(
        &self,
        range: Range<u64>,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static + use<> {
        let streams = Arc::clone(&self.handle.streams);
        self.parts(range)
            .map_ok(move |(bytes, part)| bytes.stream(part, &streams))
            .try_flatten()
    }

    /// The same for callers that can send a part of a file without reading it: bytes that were just
    /// written need no reading, however many readers follow.
    pub fn chunks(
        &self,
        range: Range<u64>,
    ) -> impl Stream<Item = io::Result<BlobChunk>> + Send + 'static + use<> {
        let streams = Arc::clone(&self.handle.streams);
        self.parts(range)
            .map_ok(move |(bytes, part)| bytes.chunks(part, &streams))
            .try_flatten()
    }

    /// The bytes of `range` as they arrive, with their offsets.
    fn parts(
        &self,
        range: Range<u64>,
    ) -> impl Stream<Item = io::Result<(StagedBytes, Range<u64>)>> + Send + 'static + use<> {
        let footer = range.start > 0 && range.end.saturating_sub(range.start) <= FOOTER;
        let size = self.handle.size;
        let state = (self.handle.progress.clone(), self.reading.clone(), range);
        stream::try_unfold(
            state,
            move |(mut progress, reading, mut range)| async move {
                let next = wait(&mut progress, &range, size, footer).await?;
                Ok(next.map(|(bytes, until)| {
                    let part = range.start..until;
                    range.start = until;
                    ((bytes, part), (progress, reading, range))
                }))
            },
        )
    }
}

/// Waits for bytes beyond the start of `range`; answers where they are and how far they go.
async fn wait(
    progress: &mut watch::Receiver<Progress>,
    range: &Range<u64>,
    size: Option<u64>,
    footer: bool,
) -> io::Result<Option<(StagedBytes, u64)>> {
    let readable = |progress: &Progress| {
        let ahead = progress.ahead.there(range.start);
        let there = ahead.unwrap_or(progress.written);
        // Until the whole is verified its last byte is held back: with an unknown size, any byte
        // may be the last.
        let most = match size {
            _ if progress.complete || footer => u64::MAX,
            Some(size) => size.saturating_sub(1),
            None => there.saturating_sub(1),
        };
        range.end.min(there).min(most)
    };
    if range.is_empty() {
        return Ok(None);
    }
    let broken = || io::Error::new(io::ErrorKind::UnexpectedEof, "the source broke off");
    let ready = progress
        .wait_for(|progress| progress.complete || readable(progress) > range.start)
        .await
        .map_err(|_| broken())?;
    let until = readable(&ready);
    match &ready.bytes {
        _ if until <= range.start => Ok(None),
        Some(bytes) => Ok(Some((bytes.clone(), until))),
        // It failed, and its bytes are gone.
        None => Err(broken()),
    }
}
