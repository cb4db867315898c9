//! What was cached from upstreams, and evicting it.

pub(crate) mod cached;
pub(crate) mod derived_evict;
pub(crate) mod evict;
