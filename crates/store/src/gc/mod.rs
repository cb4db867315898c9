//! Garbage collection.

pub(crate) mod collect;
pub(crate) mod orphaned_files;
pub(crate) mod stale;
