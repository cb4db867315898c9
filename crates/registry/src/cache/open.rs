//! Opening a stored blob so that what is given out of it is right.

use metahub_store::{Blob, OpenBlob, StoreError};

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
