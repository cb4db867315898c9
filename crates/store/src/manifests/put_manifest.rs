//! Stores a manifest: its body, its references and its tags become visible in one commit.

use metahub_oci::{Document, RepositoryName};

use crate::records::{NewManifest, PutError, PutManifest};
use crate::store::Store;

impl Store {
    /// Stores a manifest or index in `repository`, durably.
    pub async fn put_manifest(
        &self,
        repository: &RepositoryName,
        document: &Document,
        options: PutManifest,
    ) -> Result<(), PutError> {
        let new = NewManifest::new(repository, document, options);
        self.inner.records.publish_manifest(new).await
    }
}
