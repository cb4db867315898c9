//! Records of derived content: which manifest an outcome led to, found again by the digest over
//! everything that decided its bytes. A bounded cache; see [`crate::derived_evict`].

use std::sync::Arc;

use metahub_oci::{Digest, RepositoryName};
use tokio::sync::OwnedRwLockReadGuard;

use crate::StoreError;
use crate::records::Change;
use crate::records::sqlite::encoding::{digest_from_bytes, digest_to_bytes, now};
use crate::records::sqlite::writer::{Durability, Transaction};
use crate::store::Store;

/// A manifest or index that was computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derived {
    /// The repository that holds it.
    pub repository: RepositoryName,
    /// The manifest or index.
    pub digest: Digest,
}

/// How many records of derived content there are, and what they take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DerivedTotal {
    /// Records.
    pub records: u64,
    /// Bytes of the manifests, and of the children and configurations that were made with them.
    pub bytes: u64,
}

/// While this is held, no derived manifest, and nothing that one names, is evicted or collected.
#[derive(Debug)]
pub struct Deriving {
    _guard: OwnedRwLockReadGuard<()>,
}

impl Store {
    /// To be held from before the first part of derived content is stored until its record is:
    /// a child or a configuration that another record shares must not go in between.
    pub async fn deriving(&self) -> Deriving {
        Deriving {
            _guard: Arc::clone(&self.inner.deriving).read_owned().await,
        }
    }

    /// What the outcome `key` led to.
    pub async fn derived(&self, key: &Digest) -> Result<Option<Arc<Derived>>, StoreError> {
        let cache = &self.inner.caches.derived;
        if let Some(derived) = cache.get(key) {
            return Ok(Some(derived));
        }
        let ticket = cache.ticket(key);
        let row: Option<(String, Vec<u8>)> = sqlx::query_as(
            "SELECT r.name, m.digest FROM derived d
             JOIN repositories r ON r.id = d.repository_id
             JOIN manifests m ON m.id = d.manifest_id
             WHERE d.key = $1",
        )
        .bind(digest_to_bytes(key))
        .fetch_optional(&self.inner.database.readers)
        .await
        .map_err(|error| self.inner.database.error(error))?;
        let Some((name, digest)) = row else {
            return Ok(None);
        };
        let corrupt = || self.inner.database.corrupt(format!("derived record {key}"));
        let derived = Arc::new(Derived {
            repository: name.parse().map_err(|_| corrupt())?,
            digest: digest_from_bytes(&digest).ok_or_else(corrupt)?,
        });
        cache.fill(ticket, key.clone(), Arc::clone(&derived));
        Ok(Some(derived))
    }

    /// Remembers that the outcome `key` led to the manifest `digest`, which `repository` holds,
    /// and which takes `bytes` with what was made for it. Whether the repository holds it; if not,
    /// nothing is remembered. Forgotten with the manifest.
    pub async fn put_derived(
        &self,
        key: &Digest,
        repository: &RepositoryName,
        digest: &Digest,
        bytes: u64,
    ) -> Result<bool, StoreError> {
        let (key, repository) = (key.clone(), repository.clone());
        let digest = digest_to_bytes(digest);
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.inner
            .database
            .writer
            .write(Durability::Full, move |transaction| {
                Box::pin(async move {
                    let result = sqlx::query(
                        "INSERT INTO derived (key, repository_id, manifest_id, bytes, used_at)
                         SELECT $1, l.repository_id, l.manifest_id, $2, $3
                         FROM repo_manifests l JOIN manifests m ON m.id = l.manifest_id
                         WHERE l.repository_id = (SELECT id FROM repositories WHERE name = $4)
                           AND m.digest = $5
                         ON CONFLICT (key) DO UPDATE SET
                             repository_id = excluded.repository_id,
                             manifest_id = excluded.manifest_id,
                             bytes = excluded.bytes,
                             used_at = excluded.used_at",
                    )
                    .bind(digest_to_bytes(&key))
                    .bind(bytes)
                    .bind(now())
                    .bind(repository.as_str())
                    .bind(digest)
                    .execute(&mut transaction.connection)
                    .await;
                    let written = result.map_err(|error| transaction.error(error))?;
                    transaction.changed(Change::Derived(key));
                    Ok::<_, StoreError>(written.rows_affected() > 0)
                })
            })
            .await
    }

    /// How much derived content is remembered.
    pub async fn derived_total(&self) -> Result<DerivedTotal, StoreError> {
        let row = sqlx::query_as(TOTAL)
            .fetch_one(&self.inner.database.readers)
            .await
            .map_err(|error| self.inner.database.error(error))?;
        Ok(total_of(row))
    }
}

const TOTAL: &str = "SELECT records, bytes FROM derived_total";

fn total_of((records, bytes): (i64, i64)) -> DerivedTotal {
    DerivedTotal {
        records: u64::try_from(records).unwrap_or(0),
        bytes: u64::try_from(bytes).unwrap_or(0),
    }
}

/// The same as a transaction sees it.
pub(crate) async fn total(transaction: &mut Transaction) -> Result<DerivedTotal, StoreError> {
    let result = sqlx::query_as(TOTAL)
        .fetch_one(&mut transaction.connection)
        .await;
    result
        .map(total_of)
        .map_err(|error| transaction.error(error))
}

/// Forgets what is known of a manifest that leaves its repository.
pub(crate) async fn delete_of(
    transaction: &mut Transaction,
    repository_id: i64,
    manifest_id: i64,
) -> Result<(), StoreError> {
    let result = sqlx::query_scalar(
        "DELETE FROM derived WHERE repository_id = $1 AND manifest_id = $2 RETURNING key",
    )
    .bind(repository_id)
    .bind(manifest_id)
    .fetch_all(&mut transaction.connection)
    .await;
    let keys: Vec<Vec<u8>> = result.map_err(|error| transaction.error(error))?;
    for key in keys {
        if let Some(key) = digest_from_bytes(&key) {
            transaction.changed(Change::Derived(key));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection, SqliteConnection};

    /// A database of the version before, where each login had a record of its own.
    #[tokio::test]
    async fn records_by_login_become_one_for_each_manifest() {
        let mut database = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        for statements in [
            include_str!("../migrations/0001_schema.sql"),
            include_str!("../migrations/0002_used.sql"),
            include_str!("../migrations/0003_given.sql"),
            "INSERT INTO repositories VALUES (1, 'lab/app', 1), (2, 'lab/other', 1);
             INSERT INTO manifests (id, digest, created_at, body)
                 VALUES (1, x'01aa', 1, x'0000'), (2, x'01bb', 1, x'000000');
             INSERT INTO repo_manifests
                 (repository_id, manifest_id, media_type, origin, pushed_at, used_at)
                 VALUES (1, 1, 'm', 3, 5, 0), (1, 2, 'm', 3, 6, 9), (2, 2, 'm', 3, 7, 0);
             INSERT INTO derived VALUES (x'01', 1, 1, '{}', 1), (x'02', 1, 1, '{}', 2),
                 (x'03', 1, 1, '{}', 3), (x'04', 1, 2, '{}', 4), (x'05', 2, 2, '{}', 4);",
            include_str!("../migrations/0005_derived.sql"),
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
