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
    /// The bytes are wrong, or cannot be written: they are no beginning of anything.
    pub(crate) fn spoil(&self) {
        self.spoiled.store(true, Ordering::Release);
    }

    /// Whether the bytes are of no use to another fill.
    pub(crate) fn is_spoiled(&self) -> bool {
        self.spoiled.load(Ordering::Acquire)
    }

    /// Counts who may write into the object ahead of the fill.
    pub(crate) fn writers(&self) -> &Arc<AtomicUsize> {
        &self.writers
    }

    /// Whether the object may be left to another fill: it is not spoiled, and nobody still writes
    /// into it behind that fill's back.
    pub(crate) fn allows(&self) -> bool {
        !self.is_spoiled() && self.writers.load(Ordering::Acquire) == 0
    }
}
