//! What every implementation of [`Content`] answers, on files and in memory: a table of laws, and
//! random sequences of operations against a model.

mod driver;
mod laws;
mod model;
mod step;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use metahub_oci::Digest;

use crate::content::traits::Content;
use crate::content::{Files, Marker, Memory};
use crate::folder::layout::Layout;
use crate::steps::Steps;

/// An implementation under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Files,
    Memory,
}

/// One content, empty and marked, that can be restarted.
struct Subject {
    content: Arc<dyn Content>,
    layout: Option<Layout>,
    _folder: tempfile::TempDir,
}

impl Subject {
    async fn new(kind: Kind) -> Self {
        let memory = PathBuf::from("/dev/shm");
        let parent = if memory.is_dir() {
            memory
        } else {
            std::env::temp_dir()
        };
        let folder = tempfile::tempdir_in(parent).unwrap();
        let layout = (kind == Kind::Files).then(|| Layout::create(folder.path()).unwrap());
        let content: Arc<dyn Content> = match &layout {
            Some(layout) => Arc::new(Files::new(layout.clone(), Steps::default())),
            None => Arc::new(Memory::default()),
        };
        let (store, epoch) = ("store".to_owned(), 1);
        content.mark(Marker { store, epoch }).await.unwrap();
        content.belongs_to("store");
        Self {
            content,
            layout,
            _folder: folder,
        }
    }

    /// What the next process does first. `keep` are the objects that it knows.
    async fn restart(&mut self, keep: HashSet<String>) -> usize {
        if let Some(layout) = &self.layout {
            self.content = Arc::new(Files::new(layout.clone(), Steps::default()));
            self.content.belongs_to("store");
        }
        let interrupted = self.content.interrupted_publishes(keep.clone()).await;
        for (name, digest) in interrupted.unwrap() {
            self.content.take_back(&name, &digest, false).await.unwrap();
        }
        let hour = Duration::from_hours(1);
        self.content.sweep(keep, hour).await.unwrap()
    }
}

/// Content that depends on `seed`, of `size` bytes.
fn bytes(seed: u64, size: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    Bytes::from(bytes)
}

fn digest(bytes: &[u8]) -> Digest {
    Digest::sha256(bytes)
}

/// A runtime whose blocking work is done one after the other, so that what a drop leaves to a
/// thread is done before what comes later.
fn in_order() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .unwrap()
}
