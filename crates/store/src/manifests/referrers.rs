//! Manifests that name another as their subject (distribution specification, "Listing
//! Referrers").

use metahub_oci::{Digest, JsonMap, RepositoryName};

use crate::StoreError;
use crate::records::Page;
use crate::store::Store;

impl Store {
    /// Most bytes of descriptors in a page, beyond its first: annotations may be as large as a
    /// manifest, and a client that may push could fill the memory with a list of them.
    pub const REFERRERS_BYTES: usize = 2 * 1024 * 1024;

    /// The descriptors of the manifests in `repository` whose subject is `subject`, with
    /// `artifactType` and `annotations`, in order of their digests; only those of `artifact_type`
    /// if one is given. `after` is the digest of the last descriptor of the page before. A page
    /// has at most `limit` of them and [`Self::REFERRERS_BYTES`], but one in any case.
    pub async fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Page<JsonMap>, StoreError> {
        let (records, bytes) = (&self.inner.records, Self::REFERRERS_BYTES);
        records
            .referrers(repository, subject, artifact_type, after, limit, bytes)
            .await
    }
}
