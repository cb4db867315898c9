//! Blobs of repositories: publishing, finding and reading them.

pub(crate) mod blob;
pub(crate) mod disk;
pub(crate) mod open_blob;
pub(crate) mod publish;
