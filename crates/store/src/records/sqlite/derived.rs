//! Records of derived content: finding, storing and summing them. `stale` and `derived_eviction`
//! remove them.

use std::time::SystemTime;

use metahub_oci::{Digest, RepositoryName};

use super::encoding::{digest_from_bytes, digest_to_bytes, time_to_millis};
use super::transaction::{Durability, Transaction};
use super::{SqliteRecords, blobs, derived_eviction, derived_rows, stale};
use crate::StoreError;
use crate::records::{
    Answer, Batch, Change, Cursor, Derived, DerivedEviction, DerivedRecords, DerivedTotal,
    EvictedRecords, NewOutcome, PutError,
};

statements! {
    OUTCOME =
        "SELECT r.name, m.digest FROM derived d
         JOIN repositories r ON r.id = d.repository_id
         JOIN manifests m ON m.id = d.manifest_id
         WHERE d.key = $1";
    PUT =
        "INSERT INTO derived (key, repository_id, manifest_id, bytes, used_at, pinned)
         SELECT $1, l.repository_id, l.manifest_id, $2, $3,
             EXISTS (SELECT 1 FROM pins p WHERE p.repository_id = l.repository_id
                 AND p.manifest_id = l.manifest_id)
         FROM repo_manifests l JOIN manifests m ON m.id = l.manifest_id
         WHERE l.repository_id = (SELECT id FROM repositories WHERE name = $4) AND m.digest = $5
         ON CONFLICT (key) DO UPDATE SET
             repository_id = excluded.repository_id,
             manifest_id = excluded.manifest_id,
             bytes = excluded.bytes,
             used_at = excluded.used_at,
             pinned = excluded.pinned";
}

impl DerivedRecords for SqliteRecords {
    fn derived(&self, key: &Digest) -> Answer<'_, Option<Derived>> {
        let key = key.clone();
        Box::pin(async move {
            let query = sqlx::query_as(OUTCOME).bind(digest_to_bytes(&key));
            let row: Option<(String, Vec<u8>)> =
                self.read(query.fetch_optional(&self.readers)).await?;
            let Some((name, digest)) = row else {
                return Ok(None);
            };
            let corrupt = || self.corrupt(format!("derived record {key}"));
            Ok(Some(Derived {
                repository: name.parse().map_err(|_| corrupt())?,
                digest: digest_from_bytes(&digest).ok_or_else(corrupt)?,
            }))
        })
    }

    fn publish_outcome(&self, new: NewOutcome) -> Answer<'_, (), PutError> {
        self.write(Durability::Full, move |transaction| {
            Box::pin(async move {
                for blob in new.blobs {
                    blobs::publish(transaction, blob).await?;
                }
                for manifest in new.manifests {
                    manifest.publish(transaction).await?;
                }
                let NewOutcome {
                    key,
                    repository,
                    served,
                    bytes,
                    ..
                } = new;
                record(transaction, key, &repository, &served, bytes).await?;
                Ok::<_, PutError>(())
            })
        })
    }

    fn derived_total(&self) -> Answer<'_, DerivedTotal> {
        self.read(derived_rows::total(&self.readers))
    }

    fn derived_of_one_client(&self) -> Answer<'_, u64> {
        self.read(derived_eviction::of_one_client(&self.readers))
    }

    fn evict_derived(&self, eviction: DerivedEviction, limit: u32) -> Answer<'_, EvictedRecords> {
        self.write(Durability::Full, move |transaction| {
            Box::pin(derived_eviction::evict(transaction, eviction, limit))
        })
    }

    fn stale_derived(
        &self,
        unused_since: SystemTime,
        after: Cursor,
        limit: u32,
    ) -> Answer<'_, Batch<Derived>> {
        let cutoff = time_to_millis(unused_since);
        Box::pin(async move {
            let rows = self
                .read(stale::batch(&self.readers, after, cutoff, limit))
                .await?;
            stale::parse(rows).ok_or_else(|| self.corrupt("a derived manifest"))
        })
    }

    fn remove_stale(&self, candidates: Vec<Derived>, unused_since: SystemTime) -> Answer<'_, u64> {
        let cutoff = time_to_millis(unused_since);
        self.write(Durability::Full, move |transaction| {
            Box::pin(stale::remove(transaction, candidates, cutoff))
        })
    }

    fn count_stale(&self, unused_since: SystemTime) -> Answer<'_, u64> {
        let cutoff = time_to_millis(unused_since);
        let counted = self.write(Durability::Full, move |transaction| {
            Box::pin(stale::count(transaction, cutoff))
        });
        Box::pin(async move {
            match counted.await {
                Err(stale::Undone::Failed(error)) => Err(error),
                Err(stale::Undone::Counted(removed)) => Ok(removed),
                Ok(never) => match never {},
            }
        })
    }
}

/// Records an outcome, if the repository holds its manifest.
async fn record(
    transaction: &mut Transaction,
    key: Digest,
    repository: &RepositoryName,
    digest: &Digest,
    bytes: u64,
) -> Result<(), StoreError> {
    let result = sqlx::query(PUT)
        .bind(digest_to_bytes(&key))
        .bind(i64::try_from(bytes).unwrap_or(i64::MAX))
        .bind(transaction.now())
        .bind(repository.as_str())
        .bind(digest_to_bytes(digest))
        .execute(&mut transaction.connection)
        .await;
    result.map_err(|error| transaction.error(error))?;
    transaction.changed(Change::Derived(key));
    Ok(())
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection, SqliteConnection};

    /// A database of the previous version, where each login had its own record.
    #[tokio::test]
    async fn records_by_login_become_one_for_each_manifest() {
        let mut database = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        for statements in [
            include_str!("../../../migrations/0001_schema.sql"),
            include_str!("../../../migrations/0002_used.sql"),
            include_str!("../../../migrations/0003_given.sql"),
            "INSERT INTO repositories VALUES (1, 'lab/app', 1), (2, 'lab/other', 1);
             INSERT INTO manifests (id, digest, created_at, body)
                 VALUES (1, x'01aa', 1, x'0000'), (2, x'01bb', 1, x'000000');
             INSERT INTO repo_manifests
                 (repository_id, manifest_id, media_type, origin, pushed_at, used_at)
                 VALUES (1, 1, 'm', 3, 5, 0), (1, 2, 'm', 3, 6, 9), (2, 2, 'm', 3, 7, 0);
             INSERT INTO derived VALUES (x'01', 1, 1, '{}', 1), (x'02', 1, 1, '{}', 2),
                 (x'03', 1, 1, '{}', 3), (x'04', 1, 2, '{}', 4), (x'05', 2, 2, '{}', 4);",
            include_str!("../../../migrations/0005_derived.sql"),
        ] {
            sqlx::raw_sql(statements)
                .execute(&mut database)
                .await
                .unwrap();
        }
        let rows: Vec<(Vec<u8>, i64, i64, i64, i64)> = sqlx::query_as(
            "SELECT key, repository_id, manifest_id, bytes, used_at FROM derived ORDER BY key",
        )
        .fetch_all(&mut database)
        .await
        .unwrap();
        assert_eq!(
            rows,
            [
                (vec![1], 1, 1, 1026, 5),
                (vec![4], 1, 2, 1027, 9),
                (vec![5], 2, 2, 1027, 7)
            ]
        );
        sqlx::raw_sql(
            "UPDATE derived SET bytes = 1 WHERE key = x'04'; DELETE FROM derived WHERE key = x'01'",
        )
        .execute(&mut database)
        .await
        .unwrap();
        let total: (i64, i64) = sqlx::query_as("SELECT records, bytes FROM derived_total")
            .fetch_one(&mut database)
            .await
            .unwrap();
        assert_eq!(total, (2, 1028));
    }
}
