//! Backups, and restoring them.

pub(crate) mod create;
pub(crate) mod folder;
pub(crate) mod restore;
