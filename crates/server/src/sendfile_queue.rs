//! The way of files into a connection: hyper carries tokens, the connection sends what they
//! stand for by `sendfile`, and no byte of a file is read here.
//!
//! hyper knows no files, but it takes any buffer. A [`Chunk::File`] is a buffer as long as its
//! part of a file which shows, as its memory, a place in a region that nobody ever reads or
//! writes. [`crate::sendfile`] recognises the place below hyper. It says which part is meant and
//! how much of it is gone, so a mix-up is found before a wrong byte leaves. Where hyper would
//! copy a buffer instead of passing it on, such a chunk shows nothing, and the connection ends
//! with what is left over here.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice};
use std::sync::{Arc, LazyLock};

use bytes::{Buf, Bytes};
use metahub_store::{WINDOW, Window};
use parking_lot::Mutex;

/// Bytes of the region for one part: the largest there is.
#[allow(clippy::cast_possible_truncation, reason = "a mebibyte")]
const SLOT: usize = WINDOW as usize;

/// Parts that may be on their way in one connection; hyper queues 16 buffers at most.
const SLOTS: usize = 32;

/// Address space, no memory: the pages are zero and never touched.
static REGION: LazyLock<Box<[u8]>> = LazyLock::new(|| vec![0; SLOTS * SLOT].into_boxed_slice());

/// A part of an answer's body as hyper sees it.
#[derive(Debug)]
pub(crate) enum Chunk {
    Bytes(Bytes),
    File(Token),
}

/// Stands for a part of a file that the connection's [`SendfileQueue`] knows.
#[derive(Debug)]
pub(crate) struct Token {
    slot: usize,
    sent: usize,
    length: usize,
}

impl Token {
    fn place(&self) -> &'static [u8] {
        let from = self.slot * SLOT;
        REGION
            .get(from + self.sent..from + self.length)
            .unwrap_or_default()
    }
}

impl Buf for Chunk {
    fn remaining(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::File(token) => token.length - token.sent,
        }
    }

    /// Nothing of a file: a copy of its token must never pass for its content.
    fn chunk(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::File(_) => &[],
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        match (self, slices.first_mut()) {
            (Self::Bytes(bytes), _) => bytes.chunks_vectored(slices),
            (Self::File(token), Some(slice)) if token.sent < token.length => {
                *slice = IoSlice::new(token.place());
                1
            }
            (Self::File(_), _) => 0,
        }
    }

    fn advance(&mut self, count: usize) {
        match self {
            Self::Bytes(bytes) => bytes.advance(count),
            Self::File(token) => token.sent = token.length.min(token.sent + count),
        }
    }
}

/// The parts of files that are on their way into one connection, in order.
#[derive(Debug, Default)]
pub(crate) struct SendfileQueue(Mutex<Parts>);

#[derive(Debug, Default)]
struct Parts {
    waiting: VecDeque<Part>,
    /// The slot of the next part.
    next: usize,
}

/// A part of a file on its way, as far as it was not sent.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) file: Arc<File>,
    pub(crate) offset: u64,
    slot: usize,
    sent: usize,
    length: usize,
}

impl SendfileQueue {
    /// Lets a part of a file be sent, and returns what hyper is to carry for it.
    pub(crate) fn push(&self, window: Window) -> io::Result<Chunk> {
        let length = usize::try_from(window.range.end.saturating_sub(window.range.start))
            .unwrap_or(usize::MAX);
        let mut parts = self.0.lock();
        if length > SLOT || parts.waiting.len() >= SLOTS {
            return Err(io::Error::other("too much of a file at once"));
        }
        let slot = parts.next;
        parts.next = (slot + 1) % SLOTS;
        parts.waiting.push_back(Part {
            file: window.file,
            offset: window.range.start,
            slot,
            sent: 0,
            length,
        });
        Ok(Chunk::File(Token {
            slot,
            sent: 0,
            length,
        }))
    }

    /// Whether nothing is on its way.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().waiting.is_empty()
    }

    /// What `place` stands for: the first part that was not sent.
    pub(crate) fn first(&self, place: &[u8]) -> io::Result<Part> {
        let parts = self.0.lock();
        let expected = parts.waiting.front();
        expected
            .filter(|part| {
                let token = Token {
                    slot: part.slot,
                    sent: part.sent,
                    length: part.length,
                };
                let known = token.place();
                std::ptr::eq(known.as_ptr(), place.as_ptr()) && known.len() == place.len()
            })
            .cloned()
            .ok_or_else(|| io::Error::other("a part of a file is not the one that is due"))
    }

    /// Notes that `count` bytes of the first part were sent.
    pub(crate) fn sent(&self, count: usize) {
        let mut parts = self.0.lock();
        if let Some(part) = parts.waiting.front_mut() {
            part.sent += count;
            part.offset += count as u64;
            if part.sent >= part.length {
                parts.waiting.pop_front();
            }
        }
    }
}

/// Whether `slice` is the place of a token.
pub(crate) fn is_token(slice: &[u8]) -> bool {
    !slice.is_empty() && REGION.as_ptr_range().contains(&slice.as_ptr())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(range: std::ops::Range<u64>) -> Window {
        let file = Arc::new(File::open("/dev/null").unwrap());
        Window { file, range }
    }

    fn place(chunk: &Chunk) -> &'static [u8] {
        match chunk {
            Chunk::File(token) => token.place(),
            Chunk::Bytes(_) => unreachable!("files were pushed"),
        }
    }

    #[test]
    fn a_token_is_as_long_as_its_part_and_shows_no_byte_to_who_copies() {
        let queue = SendfileQueue::default();
        let mut chunk = queue.push(window(10..110)).unwrap();
        assert_eq!(chunk.remaining(), 100);
        assert!(chunk.chunk().is_empty());
        chunk.advance(30);
        let mut slices = [IoSlice::new(&[]); 2];
        assert_eq!(chunk.chunks_vectored(&mut slices), 1);
        assert_eq!(slices[0].len(), 70);
        assert!(is_token(&slices[0]));
        assert!(!is_token(b"bytes") && !is_token(&[]));
        chunk.advance(70);
        assert!(!chunk.has_remaining());
    }

    #[test]
    fn only_the_place_of_the_part_that_is_due_is_taken() {
        let queue = SendfileQueue::default();
        let (mut one, two) = (
            queue.push(window(10..110)).unwrap(),
            queue.push(window(0..5)).unwrap(),
        );
        assert!(queue.first(place(&two)).is_err());
        queue.sent(40);
        assert!(queue.first(place(&one)).is_err());
        one.advance(40);
        assert_eq!(queue.first(place(&one)).unwrap().offset, 50);
        queue.sent(60);
        assert_eq!(queue.first(place(&two)).unwrap().offset, 0);
        queue.sent(5);
        assert!(queue.is_empty());
        assert!(queue.first(place(&two)).is_err());
    }

    #[test]
    fn more_than_a_connection_can_tell_apart_is_refused() {
        let queue = SendfileQueue::default();
        assert!(queue.push(window(0..WINDOW + 1)).is_err());
        for _ in 0..SLOTS {
            queue.push(window(0..1)).unwrap();
        }
        assert!(queue.push(window(0..1)).is_err());
    }
}
