//! Prefetches ranges of a fill, because a reader wants them now: one writer per range writes into
//! the staged file, and the fill takes the range in when it gets there, so that every byte is
//! fetched once and all are hashed in order. A range is never verified by itself.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use crate::content::StagedBytes;
use crate::fills::progress::Progress;

/// The right and the duty to prefetch a range of a fill. When it is dropped, the fill itself
/// receives the missing rest of the range.
#[derive(Debug)]
pub struct PrefetchedRange {
    claim: Arc<Claim>,
    range: Range<u64>,
    there: u64,
}

/// Closes its range when no writer is left: a writer keeps it until the bytes are on their way to
/// the disk, even if the future that requested it was dropped. So bytes that the fill has hashed
/// are not changed afterwards.
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

    /// The range to prefetch.
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
        let staged = self.claim.staged().await?;
        let claim = Arc::clone(&self.claim);
        spawn_blocking(move || {
            staged.write_at(&bytes, at)?;
            claim.came(end)
        })
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))?;
        self.there = end;
        Ok(())
    }
}

impl Claim {
    async fn staged(&self) -> io::Result<StagedBytes> {
        let mut progress = self.fill.upgrade().ok_or_else(gone)?.subscribe();
        let opened = progress.wait_for(|progress| progress.bytes.is_some()).await;
        opened
            .ok()
            .and_then(|progress| progress.bytes.clone())
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
