//! Derived content: the manifest of an outcome, by the digest over everything that decided its
//! bytes.

use std::time::SystemTime;

use metahub_oci::{Digest, RepositoryName};

use super::blobs::{NewBlob, UnlinkedBlob};
use super::new_manifest::{NewManifest, PutError};
use super::shared::{Answer, Batch, Cursor};

/// A manifest or index that was computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derived {
    /// The repository that holds it.
    pub repository: RepositoryName,
    /// The manifest or index.
    pub digest: Digest,
}

/// The number and size of records of derived content that may be evicted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DerivedTotal {
    /// Records.
    pub records: u64,
    /// Bytes of the manifests, and of the children and configurations that were made with them.
    pub bytes: u64,
}

/// The bounds of an eviction of derived content. Pinned content does not count, and stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DerivedEviction {
    /// Bytes that all records may take.
    pub(crate) bytes: u64,
    /// While `bytes` is exceeded, content that only one client without an account requested is
    /// evicted first, down to so many bytes.
    pub(crate) of_one_client: u64,
    /// Content that was not used since is evicted in any case.
    pub(crate) unused_since: SystemTime,
}

/// The content of evicted records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EvictedRecords {
    /// Records.
    pub(crate) records: u64,
    /// Bytes of those that were evicted first, because only one client requested them.
    pub(crate) of_one_client: u64,
    /// Manifests and indexes.
    pub(crate) manifests: u64,
    /// Configurations that nothing in their repository names any more.
    pub(crate) blobs: Vec<UnlinkedBlob>,
}

/// The outcome of a derivation, to be stored atomically.
#[derive(Clone, Debug)]
pub(crate) struct NewOutcome {
    /// The digest over everything that decided its bytes.
    pub(crate) key: Digest,
    /// The repository that it is stored in.
    pub(crate) repository: RepositoryName,
    /// Its configurations and documents, with their bytes.
    pub(crate) blobs: Vec<NewBlob>,
    /// Its manifests, each after those that it names.
    pub(crate) manifests: Vec<NewManifest>,
    /// The manifest of them that is served.
    pub(crate) served: Digest,
    /// Its size in bytes.
    pub(crate) bytes: u64,
}

/// Records of derived content.
///
/// A derived manifest is *free* if it was computed in its repository and nothing there refers to
/// it: no tag, no pin, no index, no referrer but those that were made with it. It is *stale* if it
/// is free, was neither stored nor used since a cut-off, and either no record leads to it, or an
/// image that it was derived from is in no repository any more; copies of that image that were
/// themselves derived in the same repository do not count. A referrer that was made with a
/// manifest, its provenance, is not stale while its repository holds that manifest.
pub(crate) trait DerivedRecords: Send + Sync {
    /// The manifest of the outcome `key`.
    fn derived(&self, key: &Digest) -> Answer<'_, Option<Derived>>;

    /// Stores blobs and manifests of an outcome and records it, durably, all of it or nothing. A
    /// manifest that exists already gets the origin that is stated here. Nothing is recorded if the
    /// repository does not hold the served manifest.
    fn publish_outcome(&self, new: NewOutcome) -> Answer<'_, (), PutError>;

    /// How much derived content is recorded.
    fn derived_total(&self) -> Answer<'_, DerivedTotal>;

    /// Bytes of derived content that only single clients without an account requested. Reads all
    /// records.
    fn derived_of_one_client(&self) -> Answer<'_, u64>;

    /// Removes records, least recently used first and by their keys, as `eviction` says, but
    /// at most `limit` of them: with the manifests that are free without them, the children of
    /// those that are free then, the referrers that were made with them, and the configurations
    /// and documents that no manifest of the repository names then. Durably.
    fn evict_derived(&self, eviction: DerivedEviction, limit: u32) -> Answer<'_, EvictedRecords>;

    /// Stale manifests, a batch of at most `limit`.
    fn stale_derived(
        &self,
        unused_since: SystemTime,
        after: Cursor,
        limit: u32,
    ) -> Answer<'_, Batch<Derived>>;

    /// Removes those of `candidates` that are stale, durably. Returns how many.
    fn remove_stale(&self, candidates: Vec<Derived>, unused_since: SystemTime) -> Answer<'_, u64>;

    /// How many manifests would be removed if stale ones were removed repeatedly until none is
    /// left: the children of an index are free once it is gone. Changes nothing.
    fn count_stale(&self, unused_since: SystemTime) -> Answer<'_, u64>;
}
