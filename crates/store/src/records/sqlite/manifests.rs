//! Manifests and indexes: reading and deleting them, and their records. `publish_manifest` stores
//! them.

use bytes::Bytes;
use futures_util::StreamExt as _;
use metahub_oci::{Descriptor, Digest, JsonMap, RepositoryName};
use serde_json::Value;

use super::encoding::{digest_to_bytes, origin_from_number};
use super::needs::needing;
use super::transaction::{Durability, Transaction};
use super::{SqliteRecords, derived_rows, limit_and_one, manifest_rows};
use crate::StoreError;
use crate::records::{
    Answer, Change, Deletion, ManifestRecords, NewManifest, Page, PutError, Stays, StoredManifest,
};

statements! {
    MANIFEST =
        "SELECT l.media_type, l.origin, m.body,
             (SELECT json_group_array(s.image ORDER BY s.position) FROM sources s
              WHERE s.repository_id = l.repository_id AND s.manifest_id = l.manifest_id)
         FROM repo_manifests l
         JOIN manifests m ON m.id = l.manifest_id
         WHERE l.repository_id = (SELECT id FROM repositories WHERE name = $1)
           AND m.digest = $2";
    SOURCES_OF_BLOB =
        "SELECT s.image FROM blob_refs f
         CROSS JOIN repo_manifests l ON l.manifest_id = f.manifest_id
             AND l.repository_id = (SELECT id FROM repositories WHERE name = $2)
         JOIN sources s ON s.repository_id = l.repository_id AND s.manifest_id = l.manifest_id
         WHERE f.digest = $1
         GROUP BY s.image ORDER BY max(l.pushed_at) DESC, min(s.position), s.image";
    MANIFESTS_NAMING =
        "SELECT m.body FROM needed_refs f
         CROSS JOIN repo_manifests h ON h.manifest_id = f.manifest_id
             AND h.repository_id = (SELECT id FROM repositories WHERE name = $2)
         JOIN manifests m ON m.id = f.manifest_id
         WHERE f.digest = $1
         GROUP BY m.id ORDER BY h.pushed_at DESC, m.digest LIMIT $3";
    REFERRERS =
        "SELECT m.referrer, l.media_type FROM manifests m
         JOIN repo_manifests l ON l.manifest_id = m.id
         WHERE m.subject = $1
           AND l.repository_id = (SELECT id FROM repositories WHERE name = $2)
           AND ($3 IS NULL OR m.artifact_type = $3)
           AND m.digest > $4
         ORDER BY m.digest LIMIT $5";
    COMPATIBILITY =
        "SELECT c.artifact FROM compatibility c
         JOIN manifests m ON m.id = c.manifest_id
         WHERE m.digest = $1
           AND c.repository_id = (SELECT id FROM repositories WHERE name = $2)";
    SET_COMPATIBILITY =
        "INSERT INTO compatibility (repository_id, manifest_id, artifact, checked_at)
         SELECT l.repository_id, l.manifest_id, $3, $4 FROM repo_manifests l
         JOIN manifests m ON m.id = l.manifest_id
         WHERE m.digest = $1 AND l.repository_id = (SELECT id FROM repositories WHERE name = $2)
         ON CONFLICT (repository_id, manifest_id) DO UPDATE
             SET artifact = excluded.artifact, checked_at = excluded.checked_at";
    UNTAG = "DELETE FROM tags WHERE repository_id = $1 AND manifest_id = $2 RETURNING name";
    LET_GO = "DELETE FROM repo_manifests WHERE repository_id = $1 AND manifest_id = $2";
    REMOVE_REFS =
        "DELETE FROM refs WHERE manifest_id = $1
         AND NOT EXISTS (SELECT 1 FROM repo_manifests WHERE manifest_id = $1)";
    REMOVE_BODY =
        "DELETE FROM manifests WHERE id = $1
         AND NOT EXISTS (SELECT 1 FROM repo_manifests WHERE manifest_id = $1)";
}

impl ManifestRecords for SqliteRecords {
    fn manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Answer<'_, Option<StoredManifest>> {
        let (repository, digest) = (repository.clone(), digest.clone());
        Box::pin(async move {
            type Row = (String, i64, Vec<u8>, String);
            let row: Option<Row> = sqlx::query_as(MANIFEST)
                .bind(repository.as_str())
                .bind(digest_to_bytes(&digest))
                .fetch_optional(&self.readers)
                .await
                .map_err(|error| self.error(error))?;
            let Some((media_type, origin, body, sources)) = row else {
                return Ok(None);
            };
            let corrupt = |what: &str| {
                self.corrupt(format!("the {what} of manifest {digest} in {repository}"))
            };
            Ok(Some(StoredManifest {
                media_type: media_type.parse().map_err(|_| corrupt("media type"))?,
                origin: origin_from_number(origin).ok_or_else(|| corrupt("origin"))?,
                sources: serde_json::from_str(&sources).map_err(|_| corrupt("sources"))?,
                bytes: Bytes::from(body),
                digest,
            }))
        })
    }

    fn publish_manifest(&self, new: NewManifest) -> Answer<'_, (), PutError> {
        self.write(Durability::Full, move |transaction| {
            Box::pin(new.publish(transaction))
        })
    }

    fn delete_manifest(&self, repository: &RepositoryName, digest: &Digest) -> Answer<'_, bool> {
        let (repository, digest) = (repository.clone(), digest.clone());
        self.write(Durability::Full, move |transaction| {
            Box::pin(delete(transaction, repository, digest))
        })
    }

    fn delete_manifest_unless(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        stays: Stays,
    ) -> Answer<'_, Deletion> {
        let (repository, digest) = (repository.clone(), digest.clone());
        self.write(Durability::Full, move |transaction| {
            Box::pin(async move {
                if let Some(tag) = needing(transaction, &repository, &digest, &stays).await? {
                    return Ok(Deletion::Needed(tag));
                }
                let deleted = delete(transaction, repository, digest).await?;
                Ok::<_, StoreError>(deleted.into())
            })
        })
    }

    fn sources_of_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Answer<'_, Vec<String>> {
        let query = sqlx::query_scalar(SOURCES_OF_BLOB)
            .bind(digest_to_bytes(digest))
            .bind(repository.to_string());
        self.read(query.fetch_all(&self.readers))
    }

    fn manifests_naming(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        limit: u32,
    ) -> Answer<'_, Vec<Bytes>> {
        let query = sqlx::query_scalar(MANIFESTS_NAMING)
            .bind(digest_to_bytes(digest))
            .bind(repository.to_string())
            .bind(limit);
        Box::pin(async move {
            let bodies: Vec<Vec<u8>> = self.read(query.fetch_all(&self.readers)).await?;
            Ok(bodies.into_iter().map(Bytes::from).collect())
        })
    }

    fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: Option<&Digest>,
        limit: usize,
        bytes: usize,
    ) -> Answer<'_, Page<JsonMap>> {
        let query = sqlx::query_as(REFERRERS)
            .bind(digest_to_bytes(subject))
            .bind(repository.to_string())
            .bind(artifact_type.map(str::to_owned))
            .bind(after.map(digest_to_bytes).unwrap_or_default())
            .bind(limit_and_one(limit));
        let problem = format!("a referrer of {subject} in {repository}");
        Box::pin(async move {
            let mut rows = query.fetch(&self.readers);
            let (mut items, mut read) = (Vec::new(), 0);
            while let Some(row) = rows.next().await {
                let (text, media_type): (Option<String>, String) =
                    row.map_err(|error| self.error(error))?;
                let text = text.unwrap_or_default();
                read += text.len();
                if !items.is_empty() && read > bytes {
                    return Ok(Page { items, more: true });
                }
                let Ok(Value::Object(mut descriptor)) = serde_json::from_str(&text) else {
                    return Err(self.corrupt(problem));
                };
                // The repository may have the same bytes under another type.
                descriptor.insert("mediaType".into(), media_type.into());
                items.push(descriptor);
            }
            Ok(Page::cut(items, limit))
        })
    }

    fn compatibility(
        &self,
        repository: &RepositoryName,
        image: &Digest,
    ) -> Answer<'_, Option<Option<Descriptor>>> {
        let query = sqlx::query_scalar(COMPATIBILITY)
            .bind(digest_to_bytes(image))
            .bind(repository.to_string());
        let problem = format!("the compatibility artifact of {image} in {repository}");
        Box::pin(async move {
            let row: Option<Option<String>> =
                self.read(query.fetch_optional(&self.readers)).await?;
            let Some(Some(text)) = row else {
                return Ok(row.map(|_| None));
            };
            let value = serde_json::from_str::<Value>(&text).ok();
            let artifact = value.and_then(|value| Descriptor::from_json(&value).ok());
            let artifact = artifact.ok_or_else(|| self.corrupt(problem))?;
            Ok(Some(Some(artifact)))
        })
    }

    fn set_compatibility(
        &self,
        repository: &RepositoryName,
        image: &Digest,
        artifact: Option<&Descriptor>,
    ) -> Answer<'_, ()> {
        let (repository, image) = (repository.clone(), digest_to_bytes(image));
        let artifact = artifact.map(|artifact| Value::Object(artifact.as_json().clone()));
        let artifact = artifact.map(|artifact| artifact.to_string());
        self.write(Durability::Relaxed, move |transaction| {
            Box::pin(async move {
                sqlx::query(SET_COMPATIBILITY)
                    .bind(image)
                    .bind(repository.as_str())
                    .bind(artifact)
                    .bind(transaction.now())
                    .execute(&mut transaction.connection)
                    .await
                    .map(drop)
                    .map_err(|error| transaction.error(error))
            })
        })
    }
}

/// Removes a manifest from a repository, and its body if no other repository holds it. Returns
/// whether it was there.
pub(super) async fn delete(
    transaction: &mut Transaction,
    repository: RepositoryName,
    digest: Digest,
) -> Result<bool, StoreError> {
    let rows = manifest_rows::find(transaction, &repository, &digest).await?;
    let Some((repository_id, manifest_id)) = rows else {
        return Ok(false);
    };
    let result = sqlx::query_scalar(UNTAG)
        .bind(repository_id)
        .bind(manifest_id)
        .fetch_all(&mut transaction.connection)
        .await;
    let tags: Vec<String> = result.map_err(|error| transaction.error(error))?;
    for tag in tags {
        let parsed = tag.parse();
        let tag = parsed.map_err(|_| transaction.corrupt(format!("tag '{tag}'")))?;
        transaction.changed(Change::Tag(repository.clone(), tag));
    }
    derived_rows::delete_of(transaction, repository_id, manifest_id).await?;
    let result = sqlx::query(LET_GO)
        .bind(repository_id)
        .bind(manifest_id)
        .execute(&mut transaction.connection)
        .await;
    result.map_err(|error| transaction.error(error))?;
    for statement in [REMOVE_REFS, REMOVE_BODY] {
        let result = sqlx::query(statement)
            .bind(manifest_id)
            .execute(&mut transaction.connection)
            .await;
        result.map_err(|error| transaction.error(error))?;
    }
    transaction.changed(Change::Pushed(repository.clone()));
    transaction.changed(Change::Manifest(repository, digest));
    Ok(true)
}
