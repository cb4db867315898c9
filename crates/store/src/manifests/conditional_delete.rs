//! Conditional deletes: refused while a tag that must stay, such as an immutable one, needs the
//! content. Check and deletion are one transaction, so that no tag comes between them.

use std::sync::Arc;

use metahub_oci::{Digest, RepositoryName, Tag};

use crate::StoreError;
use crate::records::Deletion;
use crate::store::Store;

impl Store {
    /// [`Store::delete_manifest`], unless a tag that `stays` names the manifest, or an index that
    /// needs it.
    pub async fn delete_manifest_unless<S>(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        stays: S,
    ) -> Result<Deletion, StoreError>
    where
        S: Fn(&Tag) -> bool + Send + Sync + 'static,
    {
        let records = &self.inner.records;
        records
            .delete_manifest_unless(repository, digest, Arc::new(stays))
            .await
    }

    /// [`Store::delete_blob`], unless a tag that `stays` names an image that needs the blob.
    pub async fn delete_blob_unless<S>(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        stays: S,
    ) -> Result<Deletion, StoreError>
    where
        S: Fn(&Tag) -> bool + Send + Sync + 'static,
    {
        let records = &self.inner.records;
        records
            .delete_blob_unless(repository, digest, Arc::new(stays))
            .await
    }
}
