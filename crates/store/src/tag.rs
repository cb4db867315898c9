//! Tags: what they name, since when that is known to be so, and their pages.

use std::sync::Arc;
use std::time::SystemTime;

use metahub_oci::{Digest, RepositoryName, Tag};

use crate::StoreError;
use crate::cache::Change;
use crate::encoding::{digest_from_bytes, digest_to_bytes, now, time_from_millis, time_to_millis};
use crate::manifest::Origin;
use crate::repository::{Page, limit_and_one};
use crate::store::Store;
use crate::writer::{Durability, Transaction};

/// What a tag names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagRecord {
    /// The manifest or index.
    pub digest: Digest,
    /// Who set the tag.
    pub origin: Origin,
    /// When the tag was set, or last found unchanged at its upstream.
    pub checked_at: SystemTime,
    /// What the upstream gave to ask again with.
    pub etag: Option<String>,
}

impl Store {
    /// What `tag` names in `repository`.
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
        let row: Option<(Vec<u8>, i64, i64, Option<String>)> = sqlx::query_as(
            "SELECT m.digest, t.origin, t.checked_at, t.etag
             FROM tags t JOIN manifests m ON m.id = t.manifest_id
             WHERE t.repository_id = (SELECT id FROM repositories WHERE name = $1)
               AND t.name = $2",
        )
        .bind(key.0.as_str())
        .bind(key.1.as_str())
        .fetch_optional(&self.inner.database.readers)
        .await
        .map_err(|error| self.inner.database.error(error))?;
        let Some((digest, origin, checked_at, etag)) = row else {
            tags.fill(ticket, key, None);
            return Ok(None);
        };
        let corrupt = || {
            self.inner
                .database
                .corrupt(format!("tag {}:{}", key.0, key.1))
        };
        let record = Arc::new(TagRecord {
            digest: digest_from_bytes(&digest).ok_or_else(corrupt)?,
            origin: Origin::from_number(origin).ok_or_else(corrupt)?,
            checked_at: time_from_millis(checked_at),
            etag,
        });
        tags.fill(ticket, key, Some(Arc::clone(&record)));
        Ok(Some(record))
    }

    /// Lets `tag` name a manifest that `repository` holds. Whether it holds it; if not, nothing
    /// changes.
    pub async fn set_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        record: TagRecord,
    ) -> Result<bool, StoreError> {
        let (repository, tag) = (repository.clone(), tag.clone());
        self.inner
            .database
            .writer
            .write(Durability::Full, move |transaction| {
                Box::pin(async move {
                    let result = sqlx::query_as(
                        "SELECT l.repository_id, l.manifest_id FROM repo_manifests l
                         JOIN repositories r ON r.id = l.repository_id
                         JOIN manifests m ON m.id = l.manifest_id
                         WHERE r.name = $1 AND m.digest = $2",
                    )
                    .bind(repository.as_str())
                    .bind(digest_to_bytes(&record.digest))
                    .fetch_optional(&mut transaction.connection)
                    .await;
                    let ids: Option<(i64, i64)> =
                        result.map_err(|error| transaction.error(error))?;
                    let Some(ids) = ids else {
                        return Ok(false);
                    };
                    set(transaction, ids, &repository, tag, &record).await?;
                    Ok::<_, StoreError>(true)
                })
            })
            .await
    }

    /// Notes that `tag` still names `digest` at its upstream. Does nothing if it names something
    /// else here meanwhile. May be undone by a power cut: then it is asked for again.
    pub async fn touch_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        digest: &Digest,
        checked_at: SystemTime,
        etag: Option<String>,
    ) -> Result<(), StoreError> {
        let (repository, tag) = (repository.clone(), tag.clone());
        let digest = digest_to_bytes(digest);
        self.inner
            .database
            .writer
            .write(Durability::Relaxed, move |transaction| {
                Box::pin(async move {
                    let result = sqlx::query(
                        "UPDATE tags SET checked_at = $1, etag = $2
                         WHERE repository_id = (SELECT id FROM repositories WHERE name = $3)
                           AND name = $4
                           AND manifest_id = (SELECT id FROM manifests WHERE digest = $5)",
                    )
                    .bind(time_to_millis(checked_at))
                    .bind(etag)
                    .bind(repository.as_str())
                    .bind(tag.as_str())
                    .bind(digest)
                    .execute(&mut transaction.connection)
                    .await;
                    result.map_err(|error| transaction.error(error))?;
                    transaction.changed(Change::Tag(repository, tag));
                    Ok::<_, StoreError>(())
                })
            })
            .await
    }

    /// Removes a tag; what it named stays. Whether it was there.
    pub async fn delete_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
    ) -> Result<bool, StoreError> {
        let (repository, tag) = (repository.clone(), tag.clone());
        self.inner
            .database
            .writer
            .write(Durability::Full, move |transaction| {
                Box::pin(async move {
                    let result = sqlx::query(
                        "DELETE FROM tags
                         WHERE repository_id = (SELECT id FROM repositories WHERE name = $1)
                           AND name = $2",
                    )
                    .bind(repository.as_str())
                    .bind(tag.as_str())
                    .execute(&mut transaction.connection)
                    .await;
                    let deleted = result.map_err(|error| transaction.error(error))?;
                    transaction.changed(Change::Tag(repository, tag));
                    Ok::<_, StoreError>(deleted.rows_affected() > 0)
                })
            })
            .await
    }

    /// Tags of `repository` in order of their bytes, those after `after`. The cost of a page does
    /// not depend on where it lies.
    pub async fn tags(
        &self,
        repository: &RepositoryName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Tag>, StoreError> {
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT name FROM tags
             WHERE repository_id = (SELECT id FROM repositories WHERE name = $1) AND name > $2
             ORDER BY name LIMIT $3",
        )
        .bind(repository.as_str())
        .bind(after.unwrap_or(""))
        .bind(limit_and_one(limit))
        .fetch_all(&self.inner.database.readers)
        .await
        .map_err(|error| self.inner.database.error(error))?;
        let tags = rows.iter().map(|tag| {
            tag.parse()
                .map_err(|_| self.inner.database.corrupt(format!("tag '{tag}'")))
        });
        Ok(Page::cut(tags.collect::<Result<_, _>>()?, limit))
    }
}

/// Sets a tag on a manifest that the repository holds.
pub(crate) async fn set(
    transaction: &mut Transaction,
    (repository_id, manifest_id): (i64, i64),
    repository: &RepositoryName,
    tag: Tag,
    record: &TagRecord,
) -> Result<(), StoreError> {
    let result = sqlx::query(
        "INSERT INTO tags
             (repository_id, name, manifest_id, origin, updated_at, checked_at, etag)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (repository_id, name) DO UPDATE SET
             manifest_id = excluded.manifest_id, origin = excluded.origin,
             updated_at = excluded.updated_at, checked_at = excluded.checked_at,
             etag = excluded.etag",
    )
    .bind(repository_id)
    .bind(tag.as_str())
    .bind(manifest_id)
    .bind(record.origin.number())
    .bind(now())
    .bind(time_to_millis(record.checked_at))
    .bind(record.etag.as_deref())
    .execute(&mut transaction.connection)
    .await;
    result.map_err(|error| transaction.error(error))?;
    transaction.changed(Change::Tag(repository.clone(), tag));
    Ok(())
}
