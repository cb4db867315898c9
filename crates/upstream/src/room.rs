//! Room in memory for what an upstream sends at once. Ordinary documents need none; of larger
//! ones few are read at a time, so that an upstream which makes up manifests of the greatest size
//! for everybody who asks cannot fill this registry's memory.
//!
//! It bounds documents that are read whole. Blobs stream, and have room of their own.

use tokio::sync::{Semaphore, SemaphorePermit};

/// A document up to this size needs no room: nearly all manifests have a few KiB.
const ORDINARY: usize = 64 * 1024;
/// Larger documents of one upstream that are read at once.
const MOST_LARGE: usize = 2;

/// The room of one upstream.
#[derive(Debug)]
pub(crate) struct Room(Semaphore);

/// A place for one large document, while it is held.
pub(crate) struct Place<'a>(#[expect(dead_code, reason = "it is held")] SemaphorePermit<'a>);

impl Room {
    pub(crate) fn new() -> Self {
        Self(Semaphore::new(MOST_LARGE))
    }

    /// A place for one document of `bytes` or more; none if that needs none.
    pub(crate) async fn for_bytes(&self, bytes: u64) -> Option<Place<'_>> {
        if bytes <= ORDINARY as u64 {
            return None;
        }
        // It is never closed, so there is always a place in the end.
        self.0.acquire().await.ok().map(Place)
    }
}
