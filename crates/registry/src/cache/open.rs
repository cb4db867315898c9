//! Opens a stored blob so that only verified bytes are served.

use metahub_oci::Digest;
use metahub_store::{Blob, OpenBlob, StoreError};

use crate::access::stored::StoredRepository;
use crate::error::RegistryError;

/// A blob of up to this many bytes is verified before its first byte is sent, unless it was
/// verified since it was last changed: about a millisecond.
const SMALL: u64 = 1024 * 1024;

/// Opens a blob. A small one is verified first; a large one is verified while it is sent.
pub(crate) async fn open_verified(blob: &Blob) -> Result<OpenBlob, StoreError> {
    let mut open = blob.open().await?;
    if blob.size() <= SMALL {
        open.verify().await?;
    }
    Ok(open)
}

/// Opens a blob of a repository of the store. One whose file is missing, short or, as far as that
/// is known before the answer begins, damaged counts as absent: an upstream may still have it, and
/// a client may push it again.
pub(crate) async fn open_held(
    repository: &StoredRepository,
    digest: &Digest,
) -> Result<Option<OpenBlob>, RegistryError> {
    let Some(blob) = repository.blob(digest).await? else {
        return Ok(None);
    };
    match open_verified(&blob).await {
        Ok(open) => Ok(Some(open)),
        Err(error @ StoreError::Damaged { .. }) => {
            let repository = repository.name();
            tracing::error!(%repository, %digest, %error, "stored content is damaged");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}
