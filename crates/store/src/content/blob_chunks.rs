//! A blob on its way out: windows of its file for callers that can send a file unread, bytes for
//! all others.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::stream::Stream;

use crate::content::blob_stream::BlobStream;
use crate::content::files::stream::Streams;
use crate::content::files::windows::{Unusable, Window, Windows};

/// A part of a blob.
#[derive(Clone, Debug)]
pub enum BlobChunk {
    /// Its bytes.
    Bytes(Bytes),
    /// Where its bytes lie.
    Window(Window),
}

impl BlobChunk {
    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Window(window) => window.range.end - window.range.start,
        }
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Bytes> for BlobChunk {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

/// The chunks of a blob, in order. See [`crate::OpenBlob::chunks`].
pub struct BlobChunks(Source);

enum Source {
    Read(BlobStream),
    Windows(Windows),
}

impl std::fmt::Debug for BlobChunks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobChunks").finish_non_exhaustive()
    }
}

impl BlobChunks {
    pub(crate) fn read(stream: BlobStream) -> Self {
        Self(Source::Read(stream))
    }

    pub(crate) fn windows(file: Arc<File>, range: Range<u64>, streams: Arc<Streams>) -> Self {
        Self(Source::Windows(Windows::new(file, range, streams)))
    }
}

impl Stream for BlobChunks {
    type Item = io::Result<BlobChunk>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            match &mut this.0 {
                Source::Read(stream) => {
                    let polled = ready!(Pin::new(stream).poll_next(context));
                    return Poll::Ready(polled.map(|read| read.map(BlobChunk::Bytes)));
                }
                Source::Windows(windows) => match ready!(windows.poll_window(context)) {
                    Some(Err(Unusable::Untold)) => {
                        this.0 = Source::Read(BlobStream::of_rest(windows.rest()));
                    }
                    Some(Err(Unusable::Broken(error))) => {
                        return Poll::Ready(Some(Err(error)));
                    }
                    Some(Ok(window)) => {
                        return Poll::Ready(Some(Ok(BlobChunk::Window(window))));
                    }
                    None => return Poll::Ready(None),
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use futures_util::TryStreamExt as _;
    use rustix::fs::{Advice, fadvise};
    use rustix::io::pread;

    use super::*;
    use crate::content::files::windows::WINDOW;

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

    async fn collect(file: &Arc<File>, range: Range<u64>) -> io::Result<Vec<BlobChunk>> {
        BlobChunks::windows(Arc::clone(file), range, Arc::default())
            .try_collect()
            .await
    }

    fn bytes_of(chunks: &[BlobChunk]) -> Vec<u8> {
        let mut all = Vec::new();
        for chunk in chunks {
            match chunk {
                BlobChunk::Bytes(bytes) => all.extend_from_slice(bytes),
                BlobChunk::Window(Window { file, range }) => {
                    let mut bytes = vec![0; (range.end - range.start) as usize];
                    assert_eq!(pread(file, &mut bytes[..], range.start), Ok(bytes.len()));
                    all.extend_from_slice(&bytes);
                }
            }
        }
        all
    }

    #[tokio::test]
    async fn windows_and_bytes_together_are_exactly_the_range() {
        let content = content();
        let file = file_of(&content);
        for cold in [false, true] {
            for range in [0..0, 7..8, 5..WINDOW + 5, 0..LENGTH, LENGTH - 1..LENGTH] {
                if cold {
                    fadvise(&*file, 0, None, Advice::DontNeed).unwrap();
                }
                let chunks = collect(&file, range.clone()).await.unwrap();
                let expected = &content[range.start as usize..range.end as usize];
                assert!(bytes_of(&chunks) == expected, "{range:?}, cold: {cold}");
                assert!(chunks.iter().all(|chunk| chunk.len() <= WINDOW));
            }
        }
    }
}
