//! The progress of a fill, as its followers see it.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use crate::content::StagedBytes;
use crate::fills::prefetched_ranges::PrefetchedRanges;

/// How far a fill is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// Where the bytes are. Absent until the first are written.
    pub(crate) bytes: Option<StagedBytes>,
    pub(crate) written: u64,
    /// How far the fill took bytes that are not all written yet.
    pub(crate) taken: u64,
    /// The prefetched ranges beyond it.
    pub(crate) ahead: PrefetchedRanges,
    /// How many may write there.
    pub(crate) writers: Arc<AtomicUsize>,
    /// Everything came and hashes to the digest.
    pub(crate) complete: bool,
    /// It is a blob.
    pub(crate) stored: bool,
}
