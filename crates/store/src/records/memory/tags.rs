//! Tags.

use std::time::SystemTime;

use metahub_oci::{Digest, RepositoryName, Tag};

use super::MemoryRecords;
use crate::StoreError;
use crate::records::{Answer, Change, Page, TagRecord, TagRecords};

impl TagRecords for MemoryRecords {
    fn tag(&self, repository: &RepositoryName, tag: &Tag) -> Answer<'_, Option<TagRecord>> {
        self.read(|state| {
            let repository = state.repositories.get(repository);
            Ok(repository.and_then(|repository| repository.tags.get(tag).cloned()))
        })
    }

    fn set_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        record: TagRecord,
    ) -> Answer<'_, bool> {
        self.write(|state| {
            if state.held(repository, &record.digest).is_none() {
                return Ok(false);
            }
            let tags = &mut state.repository(repository).tags;
            tags.insert(tag.clone(), record);
            state.changed(Change::Tag(repository.clone(), tag.clone()));
            Ok::<_, StoreError>(true)
        })
    }

    fn recheck_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        digest: &Digest,
        checked_at: SystemTime,
        etag: Option<String>,
    ) -> Answer<'_, ()> {
        self.write(|state| {
            let found = state.repositories.get_mut(repository);
            let record = found.and_then(|found| found.tags.get_mut(tag));
            if let Some(record) = record.filter(|record| record.digest == *digest) {
                record.checked_at = checked_at;
                record.etag = etag;
            }
            state.changed(Change::Tag(repository.clone(), tag.clone()));
            Ok::<_, StoreError>(())
        })
    }

    fn delete_tag(&self, repository: &RepositoryName, tag: &Tag) -> Answer<'_, bool> {
        self.write(|state| {
            let found = state.repositories.get_mut(repository);
            let removed = found.and_then(|found| found.tags.remove(tag));
            state.changed(Change::Tag(repository.clone(), tag.clone()));
            Ok::<_, StoreError>(removed.is_some())
        })
    }

    fn tags(
        &self,
        repository: &RepositoryName,
        after: Option<&str>,
        limit: usize,
    ) -> Answer<'_, Page<Tag>> {
        self.read(|state| {
            let tags = state.repositories.get(repository).into_iter();
            let tags = tags.flat_map(|repository| repository.tags.keys());
            let tags = tags.filter(|tag| after.is_none_or(|after| tag.as_str() > after));
            let tags = tags.take(limit.saturating_add(1)).cloned().collect();
            Ok(Page::cut(tags, limit))
        })
    }
}
