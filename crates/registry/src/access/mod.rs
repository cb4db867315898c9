//! Authorised handles on repositories, and the locations of their content. Code elsewhere gets
//! handles from here, and reaches store and upstreams through them only.

pub(crate) mod change;
pub(crate) mod client;
pub(crate) mod local_names;
pub(crate) mod location;
pub(crate) mod pass_through;
pub(crate) mod repository;
pub(crate) mod stored;
pub(crate) mod upstream_proofs;
