//! What was cached from upstreams, and evicting it.

pub(crate) mod derived_evict;
pub(crate) mod evict;
pub(crate) mod kept;
