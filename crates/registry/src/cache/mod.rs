//! The cache of upstream content: fetched once, revalidated, evicted.

pub(crate) mod blob_bound;
pub(crate) mod coalesced;
pub(crate) mod cross_repository;
pub(crate) mod derived;
pub(crate) mod eviction;
pub(crate) mod fetch;
pub(crate) mod free_space;
pub(crate) mod last_used;
pub(crate) mod open;
pub(crate) mod pins;
pub(crate) mod range_prefetch;
pub(crate) mod receive;
pub(crate) mod revalidate;
pub(crate) mod room;
pub(crate) mod settings;
pub(crate) mod single_flight;
pub(crate) mod upstream_tags;
