//! Content of a bundle as a stream.

use std::io::{self, Read};

use bytes::Bytes;
use metahub_bundle::Content;

/// Content of a bundle as a stream.
pub(crate) struct Chunks {
    content: Content,
    held: Bytes,
}

impl Chunks {
    pub(crate) fn new(content: Content) -> Self {
        Self {
            content,
            held: Bytes::new(),
        }
    }
}

impl Read for Chunks {
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
