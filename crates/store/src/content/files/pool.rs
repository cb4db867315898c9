//! A pool of read buffers: the memory that streams of blobs touch stays small and warm, and the
//! kernel need not clear fresh pages for every chunk.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

/// Size of a buffer in bytes.
pub(crate) const PIECE: usize = 128 * 1024;

/// Idle buffers that are kept: 4 MiB.
const IDLE: usize = 32;

/// Idle buffers of [`PIECE`] bytes.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: Mutex<Vec<Vec<u8>>>,
}

impl Pool {
    /// An empty buffer with room for [`PIECE`] bytes.
    pub(crate) fn take(&self) -> Vec<u8> {
        let idle = self.idle.lock().pop();
        idle.unwrap_or_else(|| Vec::with_capacity(PIECE))
    }

    /// The buffer's bytes; the buffer comes back when the last of them is dropped.
    pub(crate) fn lend(self: &Arc<Self>, buffer: Vec<u8>) -> Bytes {
        Bytes::from_owner(Piece {
            buffer,
            pool: Arc::clone(self),
        })
    }
}

struct Piece {
    buffer: Vec<u8>,
    pool: Arc<Pool>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let mut idle = self.pool.idle.lock();
        if idle.len() < IDLE {
            idle.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_with_its_last_bytes() {
        let pool = Arc::new(Pool::default());
        let mut buffer = pool.take();
        buffer.extend_from_slice(b"metahub");
        let bytes = pool.lend(buffer);
        let part = bytes.slice(4..);
        drop(bytes);
        assert!(pool.idle.lock().is_empty());
        assert_eq!(part, "hub");
        drop(part);
        assert_eq!(pool.idle.lock().len(), 1);
        assert!(pool.take().is_empty());
    }
}
