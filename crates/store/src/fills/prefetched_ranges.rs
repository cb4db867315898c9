//! The ranges of a fill that were prefetched, or are being prefetched.

use std::ops::Range;

/// The minimum distance of a prefetch: the fill reaches closer ranges soon by itself.
const FAR: u64 = 4 * 1024 * 1024;

/// Most ranges of one fill, however small the requested parts are.
const MOST: usize = 256;

/// The ranges of one fill.
#[derive(Clone, Debug, Default)]
pub(crate) struct PrefetchedRanges {
    /// In order, apart from each other.
    all: Vec<Span>,
    /// A prefetch failed: its source does not support ranges.
    refused: bool,
}

#[derive(Clone, Debug)]
struct Span {
    start: u64,
    /// The end of its received part.
    there: u64,
    /// Where it ends.
    end: u64,
    /// It has no writer any more.
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

    /// Claims the first free part of `range`.
    pub(crate) fn claim(
        &mut self,
        range: Range<u64>,
        taken: u64,
        most: usize,
    ) -> Option<Range<u64>> {
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

    pub(crate) fn came(&mut self, start: u64, there: u64) {
        if let Some(span) = self.all.iter_mut().find(|span| span.start == start) {
            span.there = there;
        }
    }

    pub(crate) fn close(&mut self, start: u64) {
        if let Some(span) = self.all.iter_mut().find(|span| span.start == start) {
            span.closed = true;
            span.end = span.there;
            self.refused |= span.there == start;
        }
        self.all
            .retain(|span| !span.closed || span.there > span.start);
    }
}
