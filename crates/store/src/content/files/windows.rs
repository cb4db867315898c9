//! Windows of a file, for callers that can send a file without reading it.
//!
//! A window is returned only while its pages are in memory, so that sending it reads no disk on an
//! asynchronous worker. Other pages are read in on a blocking thread first; where the kernel does
//! not tell which pages are in memory, the bytes are read the ordinary way.

use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::fs::{Advice, fadvise};
use rustix::io::{Errno, ReadWriteFlags, pread, preadv2};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::content::files::stream::{FileStream, Streams};

/// Largest window in bytes.
pub const WINDOW: u64 = 2 * 1024 * 1024;

/// Largest window in bytes of what may have to be read in first: a client waits for all of it.
const COLD: u64 = 1024 * 1024;

/// How far apart the kernel is asked for pages, in bytes, at first: what it reads ahead at once by
/// default. Each window that is all in memory doubles it, up to [`WINDOW`]; from [`COLD`] on windows
/// are larger, too.
const STEP: u64 = 128 * 1024;

/// A part of a file, at most [`WINDOW`] bytes, whose pages were in memory a moment ago. The file
/// may turn out to be shorter.
#[derive(Clone, Debug)]
pub struct Window {
    /// Its own position is shared: read it by position.
    pub file: Arc<File>,
    /// Never empty.
    pub range: Range<u64>,
}

/// Why there is no window.
pub(crate) enum Unusable {
    /// Whether the pages are in memory cannot be known here.
    Untold,
    Broken(io::Error),
}

/// The windows of a part of a file.
pub(crate) struct Windows {
    file: Arc<File>,
    /// The rest of the range.
    range: Range<u64>,
    /// The reading in of the next window.
    warming: Option<JoinHandle<io::Result<()>>>,
    /// Up to where pages were read in.
    warmed: u64,
    /// How far apart pages are looked at now, in bytes.
    step: u64,
    streams: Arc<Streams>,
}

impl Windows {
    pub(crate) fn new(file: Arc<File>, range: Range<u64>, streams: Arc<Streams>) -> Self {
        Self {
            file,
            range,
            warming: None,
            warmed: 0,
            step: STEP,
            streams,
        }
    }

    pub(crate) fn poll_window(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Window, Unusable>>> {
        if self.range.is_empty() {
            return Poll::Ready(None);
        }
        loop {
            if let Some(warming) = &mut self.warming {
                let outcome = ready!(Pin::new(warming).poll(context));
                self.warming = None;
                if let Err(error) = outcome.unwrap_or_else(|error| Err(io::Error::other(error))) {
                    self.range.start = self.range.end;
                    return Poll::Ready(Some(Err(Unusable::Broken(error))));
                }
            }
            let next = self.next_window();
            match in_memory(&self.file, &next, self.step) {
                Ok(true) => {
                    let was_cold = self.warmed >= next.end;
                    self.range.start = next.end;
                    if was_cold {
                        self.warm_next();
                    } else {
                        self.step = self.step.saturating_mul(2).min(WINDOW);
                    }
                    let file = Arc::clone(&self.file);
                    return Poll::Ready(Some(Ok(Window { file, range: next })));
                }
                // Read in, and gone again: memory is short.
                Ok(false) if self.warmed >= next.end => {
                    return Poll::Ready(Some(Err(Unusable::Untold)));
                }
                Ok(false) => self.warm(next),
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                    return Poll::Ready(Some(Err(Unusable::Untold)));
                }
                Err(error) => {
                    self.range.start = self.range.end;
                    let error = match error {
                        Errno::NODATA => ends_early(next.end),
                        error => error.into(),
                    };
                    return Poll::Ready(Some(Err(Unusable::Broken(error))));
                }
            }
        }
    }

    /// What follows pages that were not there is likely not there either: reads it in while the
    /// client takes what it has.
    fn warm_next(&mut self) {
        let next = cold_window(&self.range);
        if !next.is_empty() && matches!(in_memory(&self.file, &next, STEP), Ok(false)) {
            self.warm(next);
        }
    }

    fn warm(&mut self, window: Range<u64>) {
        self.warmed = window.end;
        self.step = STEP;
        let file = Arc::clone(&self.file);
        let end = self.range.end;
        self.warming = Some(spawn_blocking(move || {
            let ahead = cold_window(&(window.end..end));
            read_in(&file, window, &ahead)
        }));
    }

    fn next_window(&self) -> Range<u64> {
        if self.step < COLD {
            return cold_window(&self.range);
        }
        let end = self.range.start.saturating_add(WINDOW);
        self.range.start..self.range.end.min(end)
    }

    /// The rest, to be read.
    pub(crate) fn rest(&mut self) -> FileStream {
        let (file, streams) = (Arc::clone(&self.file), Arc::clone(&self.streams));
        FileStream::new(file, self.range.clone(), None, streams)
    }
}

fn ends_early(expected: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("the file of a blob ends before {expected}: it was cut"),
    )
}

fn cold_window(range: &Range<u64>) -> Range<u64> {
    range.start..range.end.min(range.start.saturating_add(COLD))
}

/// Whether the pages of `window` are in memory, as far as a look at the last of every `step` bytes
/// tells. Never waits for a disk. `NODATA`: the file ends before.
fn in_memory(file: &File, window: &Range<u64>, step: u64) -> Result<bool, Errno> {
    let last = window.end.saturating_sub(1);
    let mut at = window.start.saturating_add(step - 1).min(last);
    loop {
        let mut byte = [0];
        let mut into = [io::IoSliceMut::new(&mut byte)];
        match preadv2(file, &mut into, at, ReadWriteFlags::NOWAIT) {
            Ok(0) => return Err(Errno::NODATA),
            Ok(_) => {}
            Err(Errno::AGAIN) => return Ok(false),
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error),
        }
        if at >= last {
            return Ok(true);
        }
        at = at.saturating_add(step).min(last);
    }
}

/// Has the pages of `window` read into memory, and lets the kernel begin with those of `ahead`.
/// Blocks until those are there that [`in_memory`] looks at; those between them were requested
/// before. Copies nothing, to save CPU time while the disk works.
fn read_in(file: &File, window: Range<u64>, ahead: &Range<u64>) -> io::Result<()> {
    for range in [&window, ahead] {
        // The kernel takes no more of one advice into account than what it would read ahead at once.
        let mut at = range.start;
        while let Some(length) = NonZeroU64::new(range.end.saturating_sub(at).min(STEP)) {
            // Advice is no more than that.
            let _ = fadvise(file, at, Some(length), Advice::WillNeed);
            at += length.get();
        }
    }
    let last = window.end.saturating_sub(1);
    let mut at = window.start.saturating_add(STEP - 1).min(last);
    loop {
        let mut byte = [0];
        match pread(file, &mut byte[..], at) {
            Ok(0) => {
                return Err(ends_early(window.end));
            }
            Ok(_) if at >= last => return Ok(()),
            Ok(_) => at = at.saturating_add(STEP).min(last),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const LENGTH: u64 = 3 * WINDOW + 12_345;

    /// On the file system of the build, since one in memory never lacks a page.
    fn file_of(bytes: &[u8]) -> Arc<File> {
        let mut file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        file.write_all(bytes).unwrap();
        file.sync_all().unwrap();
        Arc::new(file)
    }

    fn content() -> Vec<u8> {
        (0..LENGTH).map(|i| (i % 251) as u8).collect()
    }

    #[tokio::test]
    async fn a_file_that_ends_early_is_an_error_when_its_pages_must_be_read_in() {
        let file = file_of(&content());
        file.set_len(WINDOW + 1).unwrap();
        fadvise(&*file, 0, None, Advice::DontNeed).unwrap();
        let error = read_in(&file, WINDOW..2 * WINDOW, &(0..0)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn pages_that_were_read_in_are_found_in_memory() {
        let file = file_of(&content());
        fadvise(&*file, 0, None, Advice::DontNeed).unwrap();
        read_in(&file, 0..WINDOW, &(WINDOW..2 * WINDOW)).unwrap();
        // Those at which `in_memory` looks are there, all others at least on their way.
        let found = in_memory(&file, &(0..WINDOW), STEP);
        if matches!(found, Err(Errno::OPNOTSUPP)) {
            return;
        }
        assert_eq!(found, Ok(true));
        let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
        for page in (0..WINDOW).step_by(4096) {
            while in_memory(&file, &(page..page + 1), STEP) != Ok(true) {
                assert!(std::time::Instant::now() < end, "{page} was not asked for");
                tokio::task::yield_now().await;
            }
        }
    }
}
