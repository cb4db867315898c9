//! Fetches small blobs of another registry into memory.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use metahub_oci::{Descriptor, RepositoryName};
use metahub_upstream::{Upstream, VerifyError, verified};

use crate::catalog_error::CatalogError;

/// Reads a blob that `descriptor` describes: exactly as many bytes as it says, verified.
pub(crate) async fn blob(
    upstream: &Arc<Upstream>,
    name: &RepositoryName,
    descriptor: &Descriptor,
    shown: &str,
) -> Result<Bytes, CatalogError> {
    let (digest, size) = (descriptor.digest(), descriptor.size());
    let mismatch = || CatalogError::Mismatch(shown.to_owned());
    if size == 0 {
        let empty = digest.matches(b"").then(Bytes::new);
        return empty.ok_or_else(mismatch);
    }
    let body = upstream.blob(name, digest, None).await?;
    let body = body.ok_or_else(|| CatalogError::Missing(format!("the blob of '{shown}'")))?;
    let mut stream = Box::pin(verified(body.only(0..size), digest.clone()));
    let mut bytes = BytesMut::new();
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(VerifyError::Stream(error)) => return Err(error.into()),
            Err(VerifyError::Mismatch { .. }) => return Err(mismatch()),
        }
    }
    if bytes.len() as u64 == size {
        Ok(bytes.freeze())
    } else {
        Err(mismatch())
    }
}
