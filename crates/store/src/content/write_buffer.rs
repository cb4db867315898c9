//! Collects received bytes into chunks that are worth a turn of the threads that write and hash.
//! Holds at most one chunk, and one more that waits to be taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;

/// Bytes are handed to the two threads in chunks of at most about this size,
const LARGEST: usize = 1024 * 1024;
/// and at least this, however many are received at once.
const SMALLEST: usize = 128 * 1024;
/// The size of the second chunk of an awaited buffer; each next may be twice as large.
const SECOND: usize = 32 * 1024;
/// The intended memory of all buffers together.
const MEMORY: usize = 4 * 1024 * 1024;

/// A batch of received bytes, as they came.
pub(crate) type Batch = Vec<Bytes>;

/// The next bytes of a file.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Bytes to write.
    Received(Batch),
    /// Bytes that others wrote, up to here.
    Ahead(u64),
}

/// Collects a sender's bytes into chunks and hands them on.
pub(crate) struct WriteBuffer {
    chunk: Batch,
    size: usize,
    /// Handed on at this size at the latest.
    most: usize,
    /// The number of active buffers.
    active: Arc<AtomicUsize>,
    out: mpsc::Sender<Piece>,
}

/// No chunks are taken any more: the writer failed.
#[derive(Debug)]
pub(crate) struct Disconnected;

impl WriteBuffer {
    /// A buffer and the receiver of its chunks. At most one chunk waits between the two, so that a
    /// sender is as fast as the disk and memory stays bounded.
    pub(crate) fn new(active: &Arc<AtomicUsize>) -> (Self, mpsc::Receiver<Piece>) {
        let (out, chunks) = mpsc::channel(1);
        active.fetch_add(1, Ordering::Relaxed);
        let buffer = Self {
            chunk: Vec::new(),
            size: 0,
            most: usize::MAX,
            active: Arc::clone(active),
            out,
        };
        (buffer, chunks)
    }

    /// The same for awaited bytes: the first ones are handed on as they come, later ones in growing
    /// chunks.
    pub(crate) fn awaited(active: &Arc<AtomicUsize>) -> (Self, mpsc::Receiver<Piece>) {
        let (mut buffer, chunks) = Self::new(active);
        buffer.most = 1;
        (buffer, chunks)
    }

    pub(crate) async fn push(&mut self, bytes: Bytes) -> Result<(), Disconnected> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.size += bytes.len();
        self.chunk.push(bytes);
        let share = MEMORY / self.active.load(Ordering::Relaxed).max(1);
        if self.size >= share.clamp(SMALLEST, LARGEST).min(self.most) {
            self.send().await
        } else {
            Ok(())
        }
    }

    async fn send(&mut self) -> Result<(), Disconnected> {
        self.size = 0;
        self.most = self.most.saturating_mul(2).max(SECOND);
        let chunk = std::mem::take(&mut self.chunk);
        let piece = Piece::Received(chunk);
        self.out.send(piece).await.map_err(|_| Disconnected)
    }

    /// Takes bytes, or hands on another piece after the bytes before it.
    pub(crate) async fn give(&mut self, piece: Piece) -> Result<(), Disconnected> {
        match piece {
            Piece::Received(chunk) => {
                for bytes in chunk {
                    self.push(bytes).await?;
                }
                Ok(())
            }
            Piece::Ahead(_) => {
                self.flush().await?;
                self.out.send(piece).await.map_err(|_| Disconnected)
            }
        }
    }

    /// Hands on the collected bytes.
    pub(crate) async fn flush(&mut self) -> Result<(), Disconnected> {
        if self.chunk.is_empty() {
            Ok(())
        } else {
            self.send().await
        }
    }

    /// Hands on the rest and ends.
    pub(crate) async fn finish(mut self) -> Result<(), Disconnected> {
        self.flush().await
    }
}

impl Drop for WriteBuffer {
    fn drop(&mut self) {
        self.active.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes of the chunks that many pieces of 8 KiB are handed on in.
    async fn chunks((mut buffer, mut out): (WriteBuffer, mpsc::Receiver<Piece>)) -> Vec<usize> {
        let taken = tokio::spawn(async move {
            let mut sizes = Vec::new();
            while let Some(Piece::Received(chunk)) = out.recv().await {
                sizes.push(chunk.iter().map(Bytes::len).sum::<usize>() / 1024);
            }
            sizes
        });
        for _ in 0..400 {
            let piece = Bytes::from_static(&[0; 8 * 1024]);
            buffer.push(piece).await.unwrap();
        }
        buffer.finish().await.unwrap();
        taken.await.unwrap()
    }

    #[tokio::test]
    async fn what_is_awaited_comes_at_once_and_then_in_chunks_that_grow() {
        let active = Arc::default();
        let sizes = chunks(WriteBuffer::awaited(&active)).await;
        assert_eq!(sizes, [8, 32, 64, 128, 256, 512, 1024, 1024, 152]);
        assert_eq!(
            chunks(WriteBuffer::new(&active)).await,
            [1024, 1024, 1024, 128]
        );
    }
}
