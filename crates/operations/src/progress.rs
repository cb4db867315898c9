//! The progress of an operation.

use metahub_registry::{ImportProgress, TransferProgress};
use metahub_store::{Copying, ScrubProgress};
use serde::{Deserialize, Serialize};

/// The progress of an operation, in its own units: blobs, images, or bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What is done.
    pub done: u64,
    /// What there is to do, as far as it is known by now.
    pub total: u64,
    /// Bytes that were read or copied.
    pub bytes: u64,
}

impl From<ScrubProgress> for Progress {
    fn from(now: ScrubProgress) -> Self {
        Self {
            done: now.checked,
            total: now.total,
            bytes: now.bytes,
        }
    }
}

impl From<Copying> for Progress {
    fn from(now: Copying) -> Self {
        Self {
            done: now.bytes,
            total: now.total,
            bytes: now.bytes,
        }
    }
}

impl From<TransferProgress> for Progress {
    fn from(now: TransferProgress) -> Self {
        Self {
            done: now.done,
            total: now.total,
            bytes: now.bytes,
        }
    }
}

impl From<ImportProgress> for Progress {
    fn from(now: ImportProgress) -> Self {
        Self {
            done: now.done,
            total: now.total,
            bytes: now.bytes,
        }
    }
}
