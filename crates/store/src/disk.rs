//! The disk under the data folder: how large it is, and what is free on it.

use crate::StoreError;
use crate::store::{Store, blocking};

/// What a file system has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Bytes in all.
    pub size: u64,
    /// Bytes that may still be written by this user.
    pub free: u64,
}

impl Store {
    /// The disk that holds the data folder, as it is now.
    ///
    /// # Errors
    /// If the file system does not say.
    pub async fn disk(&self) -> Result<Disk, StoreError> {
        let folder = self.folder().to_owned();
        blocking(move || {
            let stat = rustix::fs::statvfs(&folder)
                .map_err(|error| StoreError::io("look at the disk of", &folder, error.into()))?;
            Ok(Disk {
                size: stat.f_blocks.saturating_mul(stat.f_frsize),
                free: stat.f_bavail.saturating_mul(stat.f_frsize),
            })
        })
        .await
    }
}
