//! Blobs: which are stored, and which repository may read which.

use bytes::Bytes;
use metahub_oci::{Digest, RepositoryName};

use super::manifests::{Deletion, Stays};
use super::shared::Answer;
use crate::uploads::upload_id::UploadId;

/// The record of a readable blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    /// Its size in bytes.
    pub(crate) size: u64,
    /// The bytes of a small blob. Others are in files.
    pub(crate) body: Option<Bytes>,
}

/// A blob that was unlinked from a repository, or that has no link.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UnlinkedBlob {
    pub(crate) digest: Digest,
    /// Its size in bytes.
    pub(crate) size: u64,
}

/// A blob whose content is in place.
#[derive(Clone, Debug)]
pub(crate) struct NewBlob {
    pub(crate) digest: Digest,
    pub(crate) access: Access,
    /// The repository that may read it. Without one, none may until it is linked.
    pub(crate) repository: Option<RepositoryName>,
    /// Whether it was fetched from that repository's upstream.
    pub(crate) given: bool,
    /// The upload that is completed by it.
    pub(crate) upload: Option<UploadId>,
}

/// Why a repository may be linked to a blob.
#[derive(Clone, Debug)]
pub(crate) enum Right {
    /// The caller vouches for it.
    Vouched,
    /// This repository may read it.
    Of(RepositoryName),
    /// It was fetched from the upstream of this host (as in repositories' names) for one of its
    /// repositories.
    Given(String),
}

/// Blobs.
pub(crate) trait BlobRecords: Send + Sync {
    /// The blob `digest`, if `repository` may read it.
    fn blob(&self, repository: &RepositoryName, digest: &Digest) -> Answer<'_, Option<Access>>;

    /// The blob `digest`, if it is stored at all.
    fn stored_blob(&self, digest: &Digest) -> Answer<'_, Option<Access>>;

    /// Whether the blob `digest` is stored.
    fn is_stored(&self, digest: &Digest) -> Answer<'_, bool>;

    /// Commits content that is in place, links it to its repository, and ends its upload, durably.
    fn publish_blob(&self, new: NewBlob) -> Answer<'_, ()>;

    /// Links the blob `digest` to `to`, durably, if it is stored and `right` holds. Returns whether
    /// it did.
    fn link_blob(&self, right: Right, to: &RepositoryName, digest: &Digest) -> Answer<'_, bool>;

    /// Whether the blob `digest` was fetched from the upstream `host` for one of its repositories.
    fn is_given(&self, host: &str, digest: &Digest) -> Answer<'_, bool>;

    /// Repositories that may read the blob `digest`, at most `limit`, those it came to last first.
    fn repositories_with_blob(
        &self,
        digest: &Digest,
        limit: u32,
    ) -> Answer<'_, Vec<RepositoryName>>;

    /// Unlinks the blob `digest` from `repository`, durably. Returns whether it held it.
    fn delete_blob(&self, repository: &RepositoryName, digest: &Digest) -> Answer<'_, bool>;

    /// The same unless a tag that `stays` names an image that needs the blob.
    fn delete_blob_unless(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        stays: Stays,
    ) -> Answer<'_, Deletion>;
}
