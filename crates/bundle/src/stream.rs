//! Content as a stream, verified at its end.

use std::io::{self, Read};

use bytes::Bytes;
use metahub_oci::{Descriptor, Digest, Hasher};

use crate::read::{Content, verify};

/// Content of an archive as a stream, which is not verified.
pub struct ContentReader {
    content: Content,
    held: Bytes,
}

impl ContentReader {
    /// Reads `content` from where it is.
    #[must_use]
    pub fn new(content: Content) -> Self {
        Self {
            content,
            held: Bytes::new(),
        }
    }
}

impl Read for ContentReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.held.is_empty() {
            let next = self.content.next_chunk().map_err(io::Error::other)?;
            self.held = next.unwrap_or_default();
        }
        let length = self.held.len().min(buffer.len());
        let part = self.held.split_to(length);
        if let Some(into) = buffer.get_mut(..length) {
            into.copy_from_slice(&part);
        }
        Ok(length)
    }
}

/// A stream that fails at its end if its bytes are not what they are called.
pub(crate) struct Verified<R> {
    source: R,
    expected: Digest,
    hasher: Option<Hasher>,
}

impl<R: Read> Verified<R> {
    pub(crate) fn new(source: R, descriptor: &Descriptor) -> Self {
        let expected = descriptor.digest().clone();
        Self {
            source,
            hasher: Some(Hasher::new(expected.algorithm())),
            expected,
        }
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.source.read(buffer)?;
        if length > 0 {
            if let Some(hasher) = &mut self.hasher {
                hasher.update(buffer.get(..length).unwrap_or_default());
            }
        } else if !buffer.is_empty()
            && let Some(hasher) = self.hasher.take()
        {
            verify(&self.expected, hasher.finish()).map_err(io::Error::other)?;
        }
        Ok(length)
    }
}
