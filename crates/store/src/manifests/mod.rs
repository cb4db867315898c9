//! Manifests and tags, and the records about them.

pub(crate) mod compatibility;
pub(crate) mod conditional_delete;
pub(crate) mod derived;
pub(crate) mod manifest;
pub(crate) mod pins;
pub(crate) mod put_manifest;
pub(crate) mod referrers;
pub(crate) mod stated;
pub(crate) mod tag;
