//! The size and the free space of the disk that holds the content.

use crate::StoreError;
use crate::content::Disk;
use crate::store::Store;

impl Store {
    /// The disk of the content, with its current free space.
    ///
    /// # Errors
    /// If the file system does not say.
    pub async fn disk(&self) -> Result<Disk, StoreError> {
        self.inner.content.space().await
    }
}
