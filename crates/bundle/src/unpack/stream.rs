//! The plain bytes of a layer as a stream, of which no more is read than is allowed.

use std::cell::Cell;
use std::io::{self, BufRead as _, BufReader, Read};
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;

use crate::scan::MAX_HEADERS;

/// Largest window that a zstd frame may ask for, as a power of two: 128 MiB, as the tool takes.
const ZSTD_WINDOW: u32 = 27;
const BUFFER: usize = 64 * 1024;

/// The layer without its compression.
pub(super) fn plain<'s>(source: impl Read + 's) -> io::Result<Box<dyn Read + 's>> {
    let mut source = BufReader::with_capacity(BUFFER, source);
    let head = source.fill_buf()?;
    if head.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(MultiGzDecoder::new(source)));
    }
    if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(source)?;
        decoder.window_log_max(ZSTD_WINDOW)?;
        return Ok(Box::new(decoder));
    }
    Ok(Box::new(source))
}

/// How much may still be read: of all layers, and until the next content begins.
#[derive(Debug)]
pub(super) struct Meter {
    most: u64,
    left: Cell<u64>,
    budget: Cell<u64>,
}

impl Meter {
    pub(super) fn new(most: u64) -> Rc<Self> {
        Rc::new(Self {
            most,
            left: Cell::new(most),
            budget: Cell::new(MAX_HEADERS),
        })
    }

    /// Takes `bytes` of what may still be read.
    pub(super) fn spend(&self, bytes: u64) -> io::Result<()> {
        let left = self.left.get().checked_sub(bytes).ok_or_else(|| {
            io::Error::other(format!("it has more than {} bytes uncompressed", self.most))
        })?;
        self.left.set(left);
        Ok(())
    }

    /// Content follows, which is not held in memory.
    pub(super) fn content(&self) {
        self.budget.set(u64::MAX);
    }

    /// Names follow, which are.
    pub(super) fn header(&self) {
        self.budget.set(MAX_HEADERS);
    }
}

/// A stream that ends with an error when it is too long, or its names are.
pub(super) struct Metered<R> {
    pub(super) source: R,
    pub(super) meter: Rc<Meter>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        let meter = &self.meter;
        meter.spend(read as u64)?;
        let budget = meter.budget.get().checked_sub(read as u64).ok_or_else(|| {
            io::Error::other(format!(
                "the name of a file takes more than {MAX_HEADERS} bytes"
            ))
        })?;
        meter.budget.set(budget);
        Ok(read)
    }
}
