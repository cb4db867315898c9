//! Queries of a scrub: everything that is stored, in batches, and the holders of damaged content.

use bytes::Bytes;
use metahub_oci::{Digest, RepositoryName};

use super::shared::{Answer, Batch, Cursor};

/// The body of a manifest, and what it should hash to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredBody {
    /// What is wrong with the digest, if it is damaged itself.
    pub(crate) digest: Result<Digest, String>,
    pub(crate) bytes: Bytes,
}

/// The repositories affected if content is damaged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Affected {
    /// The repositories that hold it, in order of their names.
    pub(crate) repositories: Vec<RepositoryName>,
    /// The images where it can be found again, in lexical order.
    pub(crate) sources: Vec<String>,
}

/// Everything there is.
pub(crate) trait InspectionRecords: Send + Sync {
    /// How many blobs and manifests there are.
    fn count_content(&self) -> Answer<'_, u64>;

    /// What the records find wrong with themselves.
    fn check_integrity(&self) -> Answer<'_, Vec<String>>;

    /// The digests of all blobs, in batches of at most `limit`; for a damaged one, what is wrong
    /// with it.
    fn all_blobs(&self, after: Cursor, limit: u32) -> Answer<'_, Batch<Result<Digest, String>>>;

    /// The bodies of all manifests, a batch of at most `limit`.
    fn all_manifests(&self, after: Cursor, limit: u32) -> Answer<'_, Batch<StoredBody>>;

    /// The repositories affected if the blob `digest` is damaged.
    fn affected_by_blob(&self, digest: &Digest) -> Answer<'_, Affected>;

    /// The repositories affected if the body of the manifest `digest` is damaged.
    fn affected_by_manifest(&self, digest: &Digest) -> Answer<'_, Affected>;

    /// What pushed manifests need and their repositories do not hold, in order of the digests as
    /// stored and of the names, at most `limit`.
    fn missing_references(&self, limit: u32) -> Answer<'_, Vec<(Digest, RepositoryName)>>;

    /// Takes a blob from every repository and removes it, durably.
    fn forget_blob(&self, digest: &Digest) -> Answer<'_, ()>;
}
