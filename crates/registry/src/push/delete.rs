//! Deletes tags, manifests and blobs. The guards are in [`change`](crate::access::change).

use metahub_oci::{Digest, Tag};

use crate::access::repository::{Delete, Repository};
use crate::error::RegistryError;

impl Repository<'_, Delete> {
    /// Deletes a tag. The manifest that it names stays.
    pub async fn delete_tag(&self, tag: &Tag) -> Result<(), RegistryError> {
        self.deletes()?.tag(tag).await
    }

    /// Deletes a manifest and every tag that names it.
    pub async fn delete_manifest(&self, digest: &Digest) -> Result<(), RegistryError> {
        let deleted = self.deletes()?.manifest(digest).await;
        self.registry().judge_anew();
        deleted
    }

    /// Deletes a blob from this repository. Other repositories that have it keep it.
    pub async fn delete_blob(&self, digest: &Digest) -> Result<(), RegistryError> {
        self.deletes()?.blob(digest).await
    }
}
