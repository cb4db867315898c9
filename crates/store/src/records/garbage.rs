//! Garbage: what nothing needs and is older than a cut-off. Every removal checks again.

use std::collections::HashSet;
use std::time::SystemTime;

use metahub_oci::{Algorithm, Digest, RepositoryName};

use super::blobs::UnlinkedBlob;
use super::shared::{Answer, Batch, Cursor};

/// The right of a repository to read a blob.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Link {
    pub(crate) repository: RepositoryName,
    pub(crate) digest: Digest,
}

/// How much garbage there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Garbage {
    /// Links that are not needed.
    pub(crate) links: u64,
    /// Blobs that no repository may read once those are gone.
    pub(crate) blobs: u64,
    /// Bytes of those blobs.
    pub(crate) bytes: u64,
}

/// Garbage.
///
/// A link is needed while a manifest of its repository names the blob as anything but its subject.
/// A blob is needed while a repository may read it.
pub(crate) trait GarbageRecords: Send + Sync {
    /// Links made at `cutoff` or before that are not needed, a batch of at most `limit`.
    fn unneeded_links(
        &self,
        cutoff: SystemTime,
        after: Cursor,
        limit: u32,
    ) -> Answer<'_, Batch<Link>>;

    /// Removes those of `links` that are not needed, durably; their blobs, once for each.
    fn remove_links(&self, links: Vec<Link>, cutoff: SystemTime) -> Answer<'_, Vec<UnlinkedBlob>>;

    /// Blobs used at `cutoff` or before that no repository may read, a batch of at most `limit`.
    fn unlinked_blobs(
        &self,
        cutoff: SystemTime,
        after: Cursor,
        limit: u32,
    ) -> Answer<'_, Batch<UnlinkedBlob>>;

    /// Removes such a blob, durably. Returns whether it was one.
    fn remove_blob(&self, digest: &Digest, cutoff: SystemTime) -> Answer<'_, bool>;

    /// How much garbage would go.
    fn count_garbage(&self, cutoff: SystemTime) -> Answer<'_, Garbage>;

    /// Removes repositories made at `cutoff` or before that hold nothing, durably. Returns how
    /// many.
    fn remove_empty_repositories(&self, cutoff: SystemTime) -> Answer<'_, u64>;

    /// The digests of `algorithm` whose value begins with `first` that have a file, or are named
    /// as a blob by a manifest that was pushed: such a blob was removed when its file was missing,
    /// and is entered again when that is back.
    fn files_named(&self, algorithm: Algorithm, first: u8) -> Answer<'_, HashSet<Digest>>;

    /// Whether `digest` is one of those.
    fn is_file_named(&self, digest: &Digest) -> Answer<'_, bool>;

    /// Returns a little of the free space within the records to the disk. Returns whether there is
    /// more.
    fn give_back_space(&self) -> Answer<'_, bool>;
}
