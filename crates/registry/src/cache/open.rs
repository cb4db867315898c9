//! Opens a stored blob so that only verified bytes are served.

use metahub_oci::Digest;
use metahub_store::{Blob, OpenBlob, StoreError};

use crate::access::stored::StoredRepository;
use crate::error::RegistryError;

/// Up to this many bytes a blob is verified before the first of them is given out, if nobody has
/// verified it since it was last touched: about a millisecond.
const SMALL: u64 = 1024 * 1024;

/// Opens a blob. A small one is known to be right then; a large one is verified while it is sent.
pub(crate) async fn open_verified(blob: &Blob) -> Result<OpenBlob, StoreError> {
    let mut open = blob.open().await?;
    if blob.size() <= SMALL {
        open.verify().await?;
    }
    Ok(open)
}

/// A blob that a repository of the store holds, opened. One whose file is missing, short or, as
/// far as that is known before the answer begins, damaged is as good as not there: an upstream may
/// still have it, and a client may push it again.
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
