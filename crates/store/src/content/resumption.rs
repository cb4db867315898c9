//! What a fill shares with its staging object, so that another fill may resume it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Whether a staging object may be resumed by another fill. Cloning is cheap.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resumption {
    spoiled: Arc<AtomicBool>,
    writers: Arc<AtomicUsize>,
}

impl Resumption {
    /// Marks the bytes as wrong or incomplete, so that they cannot be resumed.
    pub(crate) fn spoil(&self) {
        self.spoiled.store(true, Ordering::Release);
    }

    /// Whether the bytes cannot be resumed.
    pub(crate) fn is_spoiled(&self) -> bool {
        self.spoiled.load(Ordering::Acquire)
    }

    /// Counts the writers ahead of the fill.
    pub(crate) fn writers(&self) -> &Arc<AtomicUsize> {
        &self.writers
    }

    /// Whether another fill may resume the object: it is not spoiled, and has no other writer.
    pub(crate) fn allows(&self) -> bool {
        !self.is_spoiled() && self.writers.load(Ordering::Acquire) == 0
    }
}
