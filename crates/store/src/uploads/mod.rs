//! Uploads of blobs by clients, and discarding abandoned ones.

pub(crate) mod session;
pub(crate) mod sweep;
pub(crate) mod upload;
pub(crate) mod upload_id;
