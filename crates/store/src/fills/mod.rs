//! Content that comes from an upstream: receiving it, following it, resuming it.

pub(crate) mod fill;
pub(crate) mod follow;
pub(crate) mod prefetched_ranges;
pub(crate) mod progress;
pub(crate) mod range_prefetch;
pub(crate) mod readers;
pub(crate) mod resumable;
