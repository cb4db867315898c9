//! Parts of a fill that come ahead of it, because somebody wants them now: each is written into
//! the staged file by one writer of its own, and the fill takes it in when it gets there, so that
//! every byte comes once and all are hashed in order. A range is never verified by itself.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use crate::follow::Progress;

/// What the fill reaches soon by itself is not worth a request: closer than this is not far.
const FAR: u64 = 4 * 1024 * 1024;

/// PrefetchedRanges that one fill knows at once, however small the parts are that clients ask for.
const MOST: usize = 256;

/// The ranges of one fill.
#[derive(Clone, Debug, Default)]
pub(crate) struct PrefetchedRanges {
    /// In order, apart from each other.
    all: Vec<Span>,
    /// One brought nothing: its source gives no parts.
    refused: bool,
}

#[derive(Clone, Debug)]
struct Span {
    start: u64,
    /// Where what is there of it ends.
    there: u64,
    /// Where it ends.
    end: u64,
    /// Nobody writes it any more.
    closed: bool,
}

impl PrefetchedRanges {
    /// How far the bytes from `at` on are there, if a range has any.
    pub(crate) fn there(&self, at: u64) -> Option<u64> {
        let span = self
            .all
            .iter()
            .find(|span| (span.start..span.there).contains(&at));
        span.map(|span| span.there)
    }

    /// Where the first range begins that does not end before `at`.
    pub(crate) fn next(&self, at: u64) -> Option<u64> {
        self.all
            .iter()
            .map(|span| span.start)
            .find(|start| *start >= at)
    }

    /// How far the range that begins at `at` came, once that is certain; `at` for none.
    pub(crate) fn outcome(&self, at: u64) -> Option<u64> {
        match self.all.iter().find(|span| span.start == at) {
            Some(span) => span.closed.then_some(span.there),
            None => Some(at),
        }
    }

    /// Forgets what the fill has taken in.
    pub(crate) fn forget_before(&mut self, written: u64) {
        self.all.retain(|span| span.there > written || !span.closed);
    }

    /// Room for the first part of `range` that nobody brings.
    fn claim(&mut self, range: Range<u64>, taken: u64, most: usize) -> Option<Range<u64>> {
        let open = self.all.iter().filter(|span| !span.closed).count();
        if self.refused || open >= most || self.all.len() >= MOST {
            return None;
        }
        let mut start = range.start;
        for span in &self.all {
            if (span.start..span.end).contains(&start) {
                start = span.end;
            }
        }
        let end = self.next(start).unwrap_or(u64::MAX).min(range.end);
        if start >= end || start < taken.saturating_add(FAR) {
            return None;
        }
        let place = self.all.partition_point(|span| span.start < start);
        let span = Span {
            start,
            there: start,
            end,
            closed: false,
        };
        self.all.insert(place, span);
        Some(start..end)
    }

    fn came(&mut self, start: u64, there: u64) {
        if let Some(span) = self.all.iter_mut().find(|span| span.start == start) {
            span.there = there;
        }
    }

    fn close(&mut self, start: u64) {
        if let Some(span) = self.all.iter_mut().find(|span| span.start == start) {
            span.closed = true;
            span.end = span.there;
            self.refused |= span.there == start;
        }
        self.all
            .retain(|span| !span.closed || span.there > span.start);
    }
}

/// The right and the duty to bring a part of a fill. What was not brought when it is dropped comes
/// with the fill itself.
#[derive(Debug)]
pub struct PrefetchedRange {
    claim: Arc<Claim>,
    range: Range<u64>,
    there: u64,
}

/// Closes its range when nobody can write into it any more: whoever writes holds it until the
/// bytes are on their way to the disk, even where the future that asked for it was dropped. So
/// what the fill hashed is not changed behind it.
#[derive(Debug)]
struct Claim {
    fill: Weak<watch::Sender<Progress>>,
    start: u64,
    writers: Arc<AtomicUsize>,
}

impl PrefetchedRange {
    pub(crate) fn claim(
        fill: &Weak<watch::Sender<Progress>>,
        range: Range<u64>,
        most: usize,
    ) -> Option<Self> {
        let mut claimed = None;
        fill.upgrade()?.send_if_modified(|progress| {
            let taken = progress.taken.max(progress.written);
            if let Some(range) = progress.ahead.claim(range, taken, most) {
                progress.writers.fetch_add(1, Ordering::AcqRel);
                claimed = Some((range, Arc::clone(&progress.writers)));
            }
            false
        });
        let (range, writers) = claimed?;
        let (fill, start) = (Weak::clone(fill), range.start);
        let claim = Claim {
            fill,
            start,
            writers,
        };
        Some(Self {
            claim: Arc::new(claim),
            there: start,
            range,
        })
    }

    /// What is to be brought.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// If the disk does not take them, if they are too many, or if the fill is gone.
    pub async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        let (at, end) = (self.there, self.there + bytes.len() as u64);
        if end > self.range.end {
            return Err(io::Error::other("there are more bytes than were asked for"));
        }
        let file = self.claim.file().await?;
        let claim = Arc::clone(&self.claim);
        spawn_blocking(move || {
            file.write_all_at(&bytes, at)?;
            claim.came(end)
        })
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))?;
        self.there = end;
        Ok(())
    }
}

impl Claim {
    async fn file(&self) -> io::Result<Arc<File>> {
        let mut progress = self.fill.upgrade().ok_or_else(gone)?.subscribe();
        let opened = progress.wait_for(|progress| progress.file.is_some()).await;
        opened
            .ok()
            .and_then(|progress| progress.file.clone())
            .ok_or_else(gone)
    }

    fn came(&self, there: u64) -> io::Result<()> {
        let fill = self.fill.upgrade().ok_or_else(gone)?;
        fill.send_modify(|progress| progress.ahead.came(self.start, there));
        Ok(())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(fill) = self.fill.upgrade() {
            fill.send_modify(|progress| progress.ahead.close(self.start));
        }
        self.writers.fetch_sub(1, Ordering::AcqRel);
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the fill ended")
}
