//! Manifests and indexes: reading them and their records. `put_manifest` stores them.

use std::sync::Arc;

use metahub_oci::{Digest, RepositoryName};

use crate::records::StoredManifest;
use crate::store::Store;
use crate::task::blocking;
use crate::{Damage, StoreError};

/// Larger bodies are hashed off the asynchronous workers.
const HASH_INLINE: usize = 128 * 1024;

impl Store {
    /// The manifest or index `digest`, if `repository` holds it. Its bytes are verified when they
    /// come from the disk.
    pub async fn manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<Arc<StoredManifest>>, StoreError> {
        let key = (repository.clone(), digest.clone());
        let manifests = &self.inner.caches.manifests;
        if let Some(manifest) = manifests.get(&key) {
            return Ok(Some(manifest));
        }
        let ticket = manifests.ticket(&key);
        let Some(manifest) = self.inner.records.manifest(repository, digest).await? else {
            return Ok(None);
        };
        let manifest = Arc::new(manifest);
        verify(&manifest).await?;
        manifests.fill(ticket, key, Arc::clone(&manifest));
        Ok(Some(manifest))
    }

    /// Removes a manifest or index from `repository`, with the tags that name it. Returns whether
    /// it was there. What it referred to stays.
    pub async fn delete_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, StoreError> {
        self.inner.records.delete_manifest(repository, digest).await
    }

    /// The source images of the manifests of `repository` that refer to `digest`: where to look for
    /// a blob that is not stored yet.
    pub async fn sources_of_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Vec<String>, StoreError> {
        self.inner.records.sources_of_blob(repository, digest).await
    }
}

async fn verify(manifest: &Arc<StoredManifest>) -> Result<(), StoreError> {
    let right = if manifest.bytes.len() <= HASH_INLINE {
        manifest.digest.matches(&manifest.bytes)
    } else {
        let manifest = Arc::clone(manifest);
        blocking(move || Ok::<_, StoreError>(manifest.digest.matches(&manifest.bytes))).await?
    };
    if right {
        return Ok(());
    }
    tracing::error!(digest = %manifest.digest, "a stored manifest is damaged");
    Err(StoreError::Damaged {
        digest: manifest.digest.clone(),
        problem: Damage::OtherContent,
    })
}
