//! Queries of a scrub.

use bytes::Bytes;
use metahub_oci::{Digest, RepositoryName};

use super::SqliteRecords;
use super::encoding::{digest_from_bytes, digest_to_bytes};
use super::transaction::Durability;
use crate::StoreError;
use crate::records::{Affected, Answer, Batch, Change, Cursor, InspectionRecords, StoredBody};

statements! {
    COUNT = "SELECT (SELECT count(*) FROM blobs) + (SELECT count(*) FROM manifests)";
    CHECK = "PRAGMA integrity_check(20)";
    BLOBS = "SELECT id, digest FROM blobs WHERE id > $1 ORDER BY id LIMIT $2";
    MANIFESTS = "SELECT id, digest, body FROM manifests WHERE id > $1 ORDER BY id LIMIT $2";
    HOLDERS_OF_BLOB =
        "SELECT r.name FROM repo_blobs l JOIN repositories r ON r.id = l.repository_id
         WHERE l.blob_id = (SELECT id FROM blobs WHERE digest = $1) ORDER BY r.name";
    SOURCES_OF_BLOB =
        "SELECT DISTINCT s.image FROM refs f
         CROSS JOIN repo_manifests h ON h.manifest_id = f.manifest_id
         JOIN sources s ON s.repository_id = h.repository_id AND s.manifest_id = h.manifest_id
         WHERE f.digest = $1 ORDER BY s.image";
    HOLDERS_OF_MANIFEST =
        "SELECT r.name FROM repo_manifests h JOIN repositories r ON r.id = h.repository_id
         WHERE h.manifest_id = (SELECT id FROM manifests WHERE digest = $1) ORDER BY r.name";
    SOURCES_OF_MANIFEST =
        "SELECT DISTINCT s.image FROM repo_manifests h
         JOIN sources s ON s.repository_id = h.repository_id AND s.manifest_id = h.manifest_id
         WHERE h.manifest_id = (SELECT id FROM manifests WHERE digest = $1) ORDER BY s.image";
    MISSING_REFERENCES =
        "SELECT f.digest, r.name FROM pushed_manifests h
         JOIN needed_refs f ON f.manifest_id = h.manifest_id
         JOIN repositories r ON r.id = h.repository_id
         WHERE NOT EXISTS (SELECT 1 FROM blobs b JOIN repo_blobs l ON l.blob_id = b.id
                           WHERE b.digest = f.digest AND l.repository_id = h.repository_id)
           AND NOT EXISTS (SELECT 1 FROM manifests m
                           JOIN repo_manifests o ON o.manifest_id = m.id
                           WHERE m.digest = f.digest AND o.repository_id = h.repository_id)
         GROUP BY f.digest, r.name ORDER BY f.digest, r.name LIMIT $1";
    UNLINK_ALL = "DELETE FROM repo_blobs WHERE blob_id = (SELECT id FROM blobs WHERE digest = $1)";
    REMOVE = "DELETE FROM blobs WHERE digest = $1";
}

fn names(names: &[String]) -> Vec<RepositoryName> {
    names.iter().filter_map(|name| name.parse().ok()).collect()
}

impl SqliteRecords {
    async fn affected(
        &self,
        digest: Vec<u8>,
        holders: &'static str,
        sources: &'static str,
    ) -> Result<Affected, StoreError> {
        let holders = sqlx::query_scalar(holders).bind(digest.clone());
        let holders: Vec<String> = self.read(holders.fetch_all(&self.readers)).await?;
        let sources = sqlx::query_scalar(sources).bind(digest);
        Ok(Affected {
            repositories: names(&holders),
            sources: self.read(sources.fetch_all(&self.readers)).await?,
        })
    }
}

impl InspectionRecords for SqliteRecords {
    fn count_content(&self) -> Answer<'_, u64> {
        Box::pin(async move {
            let query = sqlx::query_scalar(COUNT);
            let total: i64 = self.read(query.fetch_one(&self.readers)).await?;
            Ok(u64::try_from(total).unwrap_or(0))
        })
    }

    fn check_integrity(&self) -> Answer<'_, Vec<String>> {
        Box::pin(async move {
            let query = sqlx::query_scalar(CHECK);
            let lines: Vec<String> = self.read(query.fetch_all(&self.readers)).await?;
            Ok(lines.into_iter().filter(|line| line != "ok").collect())
        })
    }

    fn all_blobs(&self, after: Cursor, limit: u32) -> Answer<'_, Batch<Result<Digest, String>>> {
        let query = sqlx::query_as(BLOBS).bind(after.0[0]).bind(limit);
        Box::pin(async move {
            let rows: Vec<(i64, Vec<u8>)> = self.read(query.fetch_all(&self.readers)).await?;
            let next = rows.last().map(|row| Cursor([row.0, 0]));
            let items = rows.into_iter().map(|(id, digest)| {
                digest_from_bytes(&digest).ok_or_else(|| format!("the digest of blob {id} is none"))
            });
            let items = items.collect();
            Ok(Batch { items, next })
        })
    }

    fn all_manifests(&self, after: Cursor, limit: u32) -> Answer<'_, Batch<StoredBody>> {
        let query = sqlx::query_as(MANIFESTS).bind(after.0[0]).bind(limit);
        Box::pin(async move {
            let rows: Vec<(i64, Vec<u8>, Vec<u8>)> =
                self.read(query.fetch_all(&self.readers)).await?;
            let next = rows.last().map(|row| Cursor([row.0, 0]));
            let items = rows.into_iter().map(|(id, digest, body)| StoredBody {
                digest: digest_from_bytes(&digest)
                    .ok_or_else(|| format!("the digest of manifest {id} is none")),
                bytes: Bytes::from(body),
            });
            let items = items.collect();
            Ok(Batch { items, next })
        })
    }

    fn affected_by_blob(&self, digest: &Digest) -> Answer<'_, Affected> {
        let digest = digest_to_bytes(digest);
        Box::pin(self.affected(digest, HOLDERS_OF_BLOB, SOURCES_OF_BLOB))
    }

    fn affected_by_manifest(&self, digest: &Digest) -> Answer<'_, Affected> {
        let digest = digest_to_bytes(digest);
        Box::pin(self.affected(digest, HOLDERS_OF_MANIFEST, SOURCES_OF_MANIFEST))
    }

    fn missing_references(&self, limit: u32) -> Answer<'_, Vec<(Digest, RepositoryName)>> {
        let query = sqlx::query_as(MISSING_REFERENCES).bind(limit);
        Box::pin(async move {
            let rows: Vec<(Vec<u8>, String)> = self.read(query.fetch_all(&self.readers)).await?;
            let parsed = rows.iter();
            Ok(parsed
                .filter_map(|(digest, name)| Some((digest_from_bytes(digest)?, name.parse().ok()?)))
                .collect())
        })
    }

    fn forget_blob(&self, digest: &Digest) -> Answer<'_, ()> {
        let digest = digest.clone();
        self.write(Durability::Full, move |transaction| {
            Box::pin(async move {
                let key = digest_to_bytes(&digest);
                let holders = sqlx::query_scalar(HOLDERS_OF_BLOB)
                    .bind(key.clone())
                    .fetch_all(&mut transaction.connection)
                    .await;
                let holders: Vec<String> = holders.map_err(|error| transaction.error(error))?;
                for statement in [UNLINK_ALL, REMOVE] {
                    let result = sqlx::query(statement)
                        .bind(key.clone())
                        .execute(&mut transaction.connection)
                        .await;
                    result.map_err(|error| transaction.error(error))?;
                }
                for repository in names(&holders) {
                    transaction.changed(Change::Blob(repository, digest.clone()));
                }
                Ok::<_, StoreError>(())
            })
        })
    }
}
