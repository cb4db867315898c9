//! The size and the free space of the disk that holds the content.

use crate::StoreError;
use crate::content::Disk;
use crate::store::Store;

impl Store {
    /// What is free where the content lies, as it is now.
    ///
    /// # Errors
    /// If the file system does not say.
    pub async fn disk(&self) -> Result<Disk, StoreError> {
        self.inner.content.space().await
    }
}
