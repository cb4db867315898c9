//! Manifests and indexes of repositories.

use std::sync::Arc;

use bytes::Bytes;
use metahub_oci::{Descriptor, Digest, JsonMap, MediaType, RepositoryName, Tag};

use super::new_manifest::{NewManifest, PutError};
use super::origin::Origin;
use super::repositories::Page;
use super::shared::Answer;

/// A manifest or index as it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredManifest {
    /// What the bytes hash to.
    pub digest: Digest,
    /// The type to serve it with.
    pub media_type: MediaType,
    /// The exact bytes.
    pub bytes: Bytes,
    /// How it came into this repository.
    pub origin: Origin,
    /// The images that it was read or derived from, if it came from elsewhere.
    pub sources: Vec<String>,
}

/// The result of a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// It is gone.
    Done,
    /// It was not there.
    Absent,
    /// It stays, because this tag must stay whole.
    Needed(Tag),
}

/// From whether it was there.
impl From<bool> for Deletion {
    fn from(deleted: bool) -> Self {
        if deleted { Self::Done } else { Self::Absent }
    }
}

/// Whether a tag, and what it needs, must stay.
pub(crate) type Stays = Arc<dyn Fn(&Tag) -> bool + Send + Sync>;

/// Manifests and indexes.
pub(crate) trait ManifestRecords: Send + Sync {
    /// The manifest `digest` of `repository`, as it is stored: not verified.
    fn manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Answer<'_, Option<StoredManifest>>;

    /// Stores a manifest with its references and tags, durably. Of one that is there already, the
    /// earliest [`Origin`] stays, and a body that differs was damaged and is replaced.
    fn publish_manifest(&self, new: NewManifest) -> Answer<'_, (), PutError>;

    /// Removes a manifest from a repository, with the tags and derived records that lead to it, and
    /// its body if no other repository holds it. Returns whether it was there.
    fn delete_manifest(&self, repository: &RepositoryName, digest: &Digest) -> Answer<'_, bool>;

    /// The same unless a tag that `stays` needs the manifest: names it, or an index that leads to
    /// it.
    fn delete_manifest_unless(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        stays: Stays,
    ) -> Answer<'_, Deletion>;

    /// The sources of the manifests of `repository` that name the blob `digest`, each once, those
    /// of the latest manifest first.
    fn sources_of_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Answer<'_, Vec<String>>;

    /// The bodies of the latest manifests of `repository` that name `digest` as a configuration,
    /// a layer or a child, at most `limit`.
    fn manifests_naming(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        limit: u32,
    ) -> Answer<'_, Vec<Bytes>>;

    /// The descriptors of the manifests of `repository` whose subject is `subject`, in order of
    /// their digests as stored: by algorithm, then by value. A page has at most `limit` of them,
    /// and `bytes` beyond its first.
    fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: Option<&Digest>,
        limit: usize,
        bytes: usize,
    ) -> Answer<'_, Page<JsonMap>>;

    /// The upstream's last answer about the compatibility artifact of `image`: its descriptor, or
    /// that there is none. `None` if it was never requested.
    fn compatibility(
        &self,
        repository: &RepositoryName,
        image: &Digest,
    ) -> Answer<'_, Option<Option<Descriptor>>>;

    /// Records such an answer, if `repository` holds `image`. May be undone by a power cut.
    fn set_compatibility(
        &self,
        repository: &RepositoryName,
        image: &Digest,
        artifact: Option<&Descriptor>,
    ) -> Answer<'_, ()>;
}
