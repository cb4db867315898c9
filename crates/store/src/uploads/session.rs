//! The state of an upload that a process remembers between requests.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use metahub_oci::RepositoryName;
use tokio::sync::Mutex;

use crate::content::Staging;
use crate::uploads::upload_id::UploadId;

/// What this process knows of an upload.
pub(crate) struct Session {
    pub(crate) id: UploadId,
    pub(crate) repository: RepositoryName,
    pub(crate) size: AtomicU64,
    /// `None` when the upload is over.
    pub(crate) staged: Arc<Mutex<Option<Box<dyn Staging>>>>,
}
