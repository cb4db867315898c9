//! Content cached from upstreams, and its eviction.

pub(crate) mod cached;
pub(crate) mod derived_evict;
pub(crate) mod evict;
