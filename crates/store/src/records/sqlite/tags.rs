//! Tags.

use std::time::SystemTime;

use metahub_oci::{Digest, RepositoryName, Tag};

use super::encoding::{
    digest_from_bytes, digest_to_bytes, origin_from_number, time_from_millis, time_to_millis,
};
use super::transaction::{Durability, Transaction};
use super::{SqliteRecords, limit_and_one, manifest_rows};
use crate::StoreError;
use crate::records::{Answer, Change, Page, TagRecord, TagRecords};

statements! {
    TAG =
        "SELECT m.digest, t.origin, t.checked_at, t.etag
         FROM tags t JOIN manifests m ON m.id = t.manifest_id
         WHERE t.repository_id = (SELECT id FROM repositories WHERE name = $1) AND t.name = $2";
    SET =
        "INSERT INTO tags (repository_id, name, manifest_id, origin, updated_at, checked_at, etag)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (repository_id, name) DO UPDATE SET
             manifest_id = excluded.manifest_id, origin = excluded.origin,
             updated_at = excluded.updated_at, checked_at = excluded.checked_at,
             etag = excluded.etag";
    RECHECK =
        "UPDATE tags SET checked_at = $1, etag = $2
         WHERE repository_id = (SELECT id FROM repositories WHERE name = $3) AND name = $4
           AND manifest_id = (SELECT id FROM manifests WHERE digest = $5)";
    DELETE =
        "DELETE FROM tags
         WHERE repository_id = (SELECT id FROM repositories WHERE name = $1) AND name = $2";
    PAGE =
        "SELECT name FROM tags
         WHERE repository_id = (SELECT id FROM repositories WHERE name = $1) AND name > $2
         ORDER BY name LIMIT $3";
}

impl TagRecords for SqliteRecords {
    fn tag(&self, repository: &RepositoryName, tag: &Tag) -> Answer<'_, Option<TagRecord>> {
        let (repository, tag) = (repository.clone(), tag.clone());
        Box::pin(async move {
            let row: Option<(Vec<u8>, i64, i64, Option<String>)> = sqlx::query_as(TAG)
                .bind(repository.as_str())
                .bind(tag.as_str())
                .fetch_optional(&self.readers)
                .await
                .map_err(|error| self.error(error))?;
            let Some((digest, origin, checked_at, etag)) = row else {
                return Ok(None);
            };
            let corrupt = || self.corrupt(format!("tag {repository}:{tag}"));
            Ok(Some(TagRecord {
                digest: digest_from_bytes(&digest).ok_or_else(corrupt)?,
                origin: origin_from_number(origin).ok_or_else(corrupt)?,
                checked_at: time_from_millis(checked_at),
                etag,
            }))
        })
    }

    fn set_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        record: TagRecord,
    ) -> Answer<'_, bool> {
        let (repository, tag) = (repository.clone(), tag.clone());
        self.write(Durability::Full, move |transaction| {
            Box::pin(async move {
                let found = manifest_rows::find(transaction, &repository, &record.digest).await?;
                let Some(rows) = found else {
                    return Ok(false);
                };
                set(transaction, rows, &repository, tag, &record).await?;
                Ok::<_, StoreError>(true)
            })
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
        let (repository, tag) = (repository.clone(), tag.clone());
        let digest = digest_to_bytes(digest);
        self.write(Durability::Relaxed, move |transaction| {
            Box::pin(async move {
                let result = sqlx::query(RECHECK)
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
    }

    fn delete_tag(&self, repository: &RepositoryName, tag: &Tag) -> Answer<'_, bool> {
        let (repository, tag) = (repository.clone(), tag.clone());
        self.write(Durability::Full, move |transaction| {
            Box::pin(async move {
                let result = sqlx::query(DELETE)
                    .bind(repository.as_str())
                    .bind(tag.as_str())
                    .execute(&mut transaction.connection)
                    .await;
                let deleted = result.map_err(|error| transaction.error(error))?;
                transaction.changed(Change::Tag(repository, tag));
                Ok::<_, StoreError>(deleted.rows_affected() > 0)
            })
        })
    }

    fn tags(
        &self,
        repository: &RepositoryName,
        after: Option<&str>,
        limit: usize,
    ) -> Answer<'_, Page<Tag>> {
        let query = sqlx::query_scalar(PAGE)
            .bind(repository.to_string())
            .bind(after.unwrap_or("").to_owned())
            .bind(limit_and_one(limit));
        Box::pin(async move {
            let rows: Vec<String> = self.read(query.fetch_all(&self.readers)).await?;
            let tags = rows.iter().map(|tag| {
                tag.parse()
                    .map_err(|_| self.corrupt(format!("tag '{tag}'")))
            });
            Ok(Page::cut(tags.collect::<Result<_, _>>()?, limit))
        })
    }
}

/// Sets a tag on a manifest of the repository, by their rows.
pub(super) async fn set(
    transaction: &mut Transaction,
    (repository_id, manifest_id): (i64, i64),
    repository: &RepositoryName,
    tag: Tag,
    record: &TagRecord,
) -> Result<(), StoreError> {
    let result = sqlx::query(SET)
        .bind(repository_id)
        .bind(tag.as_str())
        .bind(manifest_id)
        .bind(record.origin.number())
        .bind(transaction.now())
        .bind(time_to_millis(record.checked_at))
        .bind(record.etag.as_deref())
        .execute(&mut transaction.connection)
        .await;
    result.map_err(|error| transaction.error(error))?;
    transaction.changed(Change::Tag(repository.clone(), tag));
    Ok(())
}
