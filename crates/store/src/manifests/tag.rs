//! Tags: the digest that each names, since when it is known to be current, and pages of tags.

use std::sync::Arc;
use std::time::SystemTime;

use metahub_oci::{Digest, RepositoryName, Tag};

use crate::StoreError;
use crate::records::{Page, TagRecord};
use crate::store::Store;

impl Store {
    /// The record of `tag` in `repository`.
    pub async fn tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<Arc<TagRecord>>, StoreError> {
        let key = (repository.clone(), tag.clone());
        let tags = &self.inner.caches.tags;
        if let Some(known) = tags.get(&key) {
            return Ok(known);
        }
        let ticket = tags.ticket(&key);
        let record = self.inner.records.tag(repository, tag).await?.map(Arc::new);
        tags.fill(ticket, key, record.clone());
        Ok(record)
    }

    /// Lets `tag` name a manifest that `repository` holds. Returns whether it holds it; if not,
    /// nothing changes.
    pub async fn set_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        record: TagRecord,
    ) -> Result<bool, StoreError> {
        self.inner.records.set_tag(repository, tag, record).await
    }

    /// Records that `tag` still names `digest` at its upstream. Does nothing if it names something
    /// else here meanwhile. A power cut may undo it: then it is revalidated again.
    pub async fn touch_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        digest: &Digest,
        checked_at: SystemTime,
        etag: Option<String>,
    ) -> Result<(), StoreError> {
        let records = &self.inner.records;
        records
            .recheck_tag(repository, tag, digest, checked_at, etag)
            .await
    }

    /// Removes a tag; what it named stays. Returns whether it was there.
    pub async fn delete_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
    ) -> Result<bool, StoreError> {
        self.inner.records.delete_tag(repository, tag).await
    }

    /// Tags of `repository` in order of their bytes, those after `after`. Every page costs the
    /// same.
    pub async fn tags(
        &self,
        repository: &RepositoryName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Tag>, StoreError> {
        self.inner.records.tags(repository, after, limit).await
    }
}
