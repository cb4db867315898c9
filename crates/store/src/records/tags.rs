//! Tags of repositories.

use std::time::SystemTime;

use metahub_oci::{Digest, RepositoryName, Tag};

use super::origin::Origin;
use super::repositories::Page;
use super::shared::Answer;

/// What a tag names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagRecord {
    /// The manifest or index.
    pub digest: Digest,
    /// The account that set the tag.
    pub origin: Origin,
    /// When the tag was set, or last found unchanged at its upstream.
    pub checked_at: SystemTime,
    /// What the upstream gave to ask again with.
    pub etag: Option<String>,
}

/// Tags. [`super::ManifestRecords::publish_manifest`] sets some as well.
pub(crate) trait TagRecords: Send + Sync {
    /// What `tag` names in `repository`.
    fn tag(&self, repository: &RepositoryName, tag: &Tag) -> Answer<'_, Option<TagRecord>>;

    /// Sets `tag` durably, if `repository` holds the manifest. Returns whether it does.
    fn set_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        record: TagRecord,
    ) -> Answer<'_, bool>;

    /// Notes that `tag` still named `digest` at its upstream, if it names that here. May be undone
    /// by a power cut.
    fn recheck_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        digest: &Digest,
        checked_at: SystemTime,
        etag: Option<String>,
    ) -> Answer<'_, ()>;

    /// Removes a tag durably. Returns whether it was there.
    fn delete_tag(&self, repository: &RepositoryName, tag: &Tag) -> Answer<'_, bool>;

    /// The tags of `repository` after `after`, in order of their bytes. Every page costs the same.
    fn tags(
        &self,
        repository: &RepositoryName,
        after: Option<&str>,
        limit: usize,
    ) -> Answer<'_, Page<Tag>>;
}
