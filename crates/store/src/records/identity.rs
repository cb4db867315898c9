//! The identity of the store that the records belong to, its writer, and its epoch.

use std::sync::Arc;

use metahub_oci::Digest;

use super::shared::Answer;
use crate::content::Known;
use crate::folder::lease;

/// What the records know of the store itself.
pub(crate) trait IdentityRecords: Send + Sync {
    /// Makes the holder of `lease` the only one whose changes are taken, from now on and durably.
    fn claim(&self, lease: Arc<lease::Shared>) -> Answer<'_, ()>;

    /// The store's identifier and its epochs, once it has one.
    fn identity(&self) -> Answer<'_, Option<Known>>;

    /// Why the records and the folders of blobs do not seem to be of the same time, if so.
    fn suspect(&self) -> Answer<'_, Option<String>>;

    /// Notes that, or that they are, durably.
    fn set_suspect(&self, suspect: Option<String>) -> Answer<'_, ()>;

    /// Notes durably that the folders of blobs are about to be marked with `epoch`.
    fn begin_epoch(&self, store: String, epoch: i64, suspect: Option<String>) -> Answer<'_, ()>;

    /// Notes durably that they are marked with it.
    fn finish_epoch(&self, epoch: i64) -> Answer<'_, ()>;

    /// Whether there is any content, repository or upload.
    fn holds_anything(&self) -> Answer<'_, bool>;

    /// For each non-empty folder of blobs (algorithm and first byte), one blob that has a file.
    fn sample_of_files(&self) -> Answer<'_, Vec<Digest>>;
}
