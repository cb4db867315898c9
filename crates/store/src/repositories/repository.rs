//! Repositories, page by page, and mounting blobs between them.

use metahub_oci::{Digest, RepositoryName};

use crate::StoreError;
use crate::blobs::blob::Blob;
use crate::records::{Page, Right};
use crate::store::Store;

/// How many of a blob's repositories are returned at most.
const HOLDERS: u32 = 1000;

impl Store {
    /// Repositories that hold a manifest, in order of their names.
    pub async fn repositories(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<RepositoryName>, StoreError> {
        self.inner.records.repositories(after, limit).await
    }

    /// Whether anything was ever stored in `repository` and not collected since.
    pub async fn has_repository(&self, repository: &RepositoryName) -> Result<bool, StoreError> {
        self.inner.records.has_repository(repository).await
    }

    /// Repositories that may read the blob `digest`, those it came to last first; not all of
    /// them, if there are very many. For mounting without a source: whether the caller may read
    /// one of them is not known here.
    pub async fn repositories_with_blob(
        &self,
        digest: &Digest,
    ) -> Result<Vec<RepositoryName>, StoreError> {
        let records = &self.inner.records;
        records.repositories_with_blob(digest, HOLDERS).await
    }

    /// Lets `to` read the blob `digest` if `from` may. Returns whether it may.
    pub async fn mount(
        &self,
        from: &RepositoryName,
        to: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, StoreError> {
        if self.blob(from, digest).await?.is_none() {
            return Ok(false);
        }
        let right = Right::Of(from.clone());
        self.inner.records.link_blob(right, to, digest).await
    }

    /// Lets `repository` read a blob that is stored already. The caller vouches for its right to.
    /// Returns whether the blob is stored.
    pub async fn link(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, StoreError> {
        if self.blob_anywhere(digest).await?.is_none() {
            return Ok(false);
        }
        let records = &self.inner.records;
        records.link_blob(Right::Vouched, repository, digest).await
    }

    /// Links a blob to `repository`, of the upstream `host` as in repositories' names, if the
    /// upstream sent it for another of its repositories. The caller has checked that the upstream
    /// has it in this one, too. Returns whether it is stored, and came from there.
    pub async fn link_given(
        &self,
        host: &str,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, StoreError> {
        if self.given_blob(host, digest).await?.is_none() {
            return Ok(false);
        }
        let right = Right::Given(host.to_owned());
        self.inner
            .records
            .link_blob(right, repository, digest)
            .await
    }

    /// The blob `digest`, if the upstream `host` gave it for one of its repositories. Never for an
    /// answer to a client, as [`Store::blob_anywhere`].
    pub async fn given_blob(
        &self,
        host: &str,
        digest: &Digest,
    ) -> Result<Option<Blob>, StoreError> {
        if self.inner.records.is_given(host, digest).await? {
            self.blob_anywhere(digest).await
        } else {
            Ok(None)
        }
    }

    /// Unlinks the blob `digest` from `repository`. Returns whether it was linked. Other
    /// repositories keep it. A manifest here that names it stays, and its blob then cannot be read,
    /// as in other registries. Garbage collection removes the file.
    pub async fn delete_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, StoreError> {
        self.inner.records.delete_blob(repository, digest).await
    }
}
