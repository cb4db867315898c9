//! Content cached from upstreams: its size, when it was used, and its eviction.

use std::collections::BTreeMap;
use std::time::SystemTime;

use metahub_oci::{Digest, RepositoryName, Tag};

use super::blobs::UnlinkedBlob;
use super::shared::Answer;

/// A manifest that can be evicted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The repository that holds it.
    pub repository: RepositoryName,
    /// The manifest.
    pub digest: Digest,
    /// When it, or an index that leads to it, was used last.
    pub used_at: SystemTime,
}

/// A use of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// The repository that holds it.
    pub repository: RepositoryName,
    /// The manifest.
    pub digest: Digest,
    /// When.
    pub at: SystemTime,
    /// The client, as in [`crate::PutManifest::brought_by`].
    pub by: i64,
}

/// A filter of candidates.
#[derive(Clone, Copy, Debug, Default)]
pub struct Which<'h> {
    /// Those of this host only.
    pub host: Option<&'h str>,
    /// Only those that a single client without an account requested.
    pub of_one_client: bool,
}

/// The start of the next candidates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CandidatesAfter {
    pub(crate) used_at: i64,
    pub(crate) repository: i64,
    pub(crate) manifest: i64,
}

/// The content of an evicted manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EvictedManifest {
    /// Unlinked blobs, each once. Other repositories may still hold them.
    pub(crate) blobs: Vec<UnlinkedBlob>,
    /// Bytes of the manifests that no repository holds any more.
    pub(crate) bytes: u64,
}

/// Content of upstreams.
///
/// A repository counts as an upstream's while it holds a manifest or a blob from its upstream and
/// its name is not local.
pub(crate) trait CacheRecords: Send + Sync {
    /// Notes uses of manifests, which are uses of the derived indexes that lead to them, too. May
    /// be undone by a power cut.
    fn record_use(&self, used: Vec<Use>) -> Answer<'_, ()>;

    /// Bytes of the blobs of upstreams' repositories, and of the manifests that came from there, by
    /// host; each counted once for a host. Exact, and costs the same however much there is.
    fn cached_bytes(&self) -> Answer<'_, BTreeMap<String, u64>>;

    /// The same, counted anew from all content.
    fn recounted_bytes(&self) -> Answer<'_, BTreeMap<String, u64>>;

    /// Bytes of content that only single clients without an account requested: blobs that no other
    /// manifest of their repository names, and manifests that were not derived. Reads all cached
    /// content.
    fn bytes_of_one_client(&self) -> Answer<'_, u64>;

    /// Manifests that can be evicted, least recently used first, at most `limit`, and where the
    /// next ones begin: those from an upstream, in repositories whose names are not local, that
    /// lead to no other manifest held there. A use of an index is one of what it leads to.
    fn eviction_candidates(
        &self,
        which: Which<'_>,
        after: CandidatesAfter,
        limit: usize,
    ) -> Answer<'_, (Vec<Candidate>, CandidatesAfter)>;

    /// The tags of `repository` that name `digest`, or a manifest that has it as a child.
    fn tags_leading_to(&self, repository: &RepositoryName, digest: &Digest)
    -> Answer<'_, Vec<Tag>>;

    /// Takes out a manifest that is still a candidate and was not used since, durably: with the
    /// indexes from the upstream that lead to nothing else here, and its blobs. From its own
    /// repository those that no manifest pushed or from the upstream names; from others those that
    /// only derived manifests name. `None` if it stays.
    fn evict_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        unused_since: SystemTime,
    ) -> Answer<'_, Option<EvictedManifest>>;

    /// Takes blobs that no manifest of their repository names out of upstreams' repositories,
    /// durably, at most `limit`: those linked before `linked_before`, and those that the upstream
    /// gave before `given_before`.
    fn evict_unreferenced(
        &self,
        linked_before: SystemTime,
        given_before: SystemTime,
        limit: u32,
    ) -> Answer<'_, Vec<UnlinkedBlob>>;
}
