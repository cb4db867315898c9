//! Uploads in progress. Their bytes are in `content`.

use metahub_oci::RepositoryName;

use super::shared::Answer;
use crate::uploads::upload_id::UploadId;

/// Uploads. [`super::BlobRecords::publish_blob`] ends one as well. All of this may be undone by a
/// power cut.
pub(crate) trait UploadRecords: Send + Sync {
    /// Enters an upload to `repository`.
    fn begin_upload(&self, id: &UploadId, repository: &RepositoryName) -> Answer<'_, ()>;

    /// The repository of an upload that is in progress.
    fn upload(&self, id: &UploadId) -> Answer<'_, Option<RepositoryName>>;

    /// The uploads in progress.
    fn uploads(&self) -> Answer<'_, Vec<UploadId>>;

    /// Removes an upload, if it is there.
    fn end_upload(&self, id: &UploadId) -> Answer<'_, ()>;
}
