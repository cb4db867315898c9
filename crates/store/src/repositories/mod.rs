//! Repositories, and which names are local.

pub(crate) mod ownership;
pub(crate) mod repository;
