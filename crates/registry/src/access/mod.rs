//! Where the content of a name lies, and whether the caller may reach it.

pub(crate) mod client;
pub(crate) mod local_names;
pub(crate) mod location;
pub(crate) mod pass_through;
pub(crate) mod upstream_proofs;
