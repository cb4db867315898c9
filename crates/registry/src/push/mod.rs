//! Pushes and deletions.

pub(crate) mod delete;
pub(crate) mod immutable;
pub(crate) mod manifest;
pub(crate) mod upload;
