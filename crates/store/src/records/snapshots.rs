//! Copies of the records, for backups.

use std::path::Path;

use super::shared::Answer;

/// Copies of the records.
pub(crate) trait SnapshotRecords: Send + Sync {
    /// Writes the records as they are now to the file `target`, which is empty or not there.
    /// Others read and change them meanwhile.
    ///
    /// # Errors
    /// [`crate::StoreError::NotSupported`] where there is nothing to copy.
    fn snapshot_to(&self, target: &Path) -> Answer<'_, ()>;
}
