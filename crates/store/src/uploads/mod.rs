//! Uploads of blobs by clients, and sweeping what nobody continues.

pub(crate) mod session;
pub(crate) mod sweep;
pub(crate) mod upload;
pub(crate) mod upload_id;
