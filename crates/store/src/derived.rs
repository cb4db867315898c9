//! Records of derived content: found again by the digest over everything it was computed from.

use std::sync::Arc;

use metahub_oci::{Digest, RepositoryName};
use serde_json::Value;

use crate::StoreError;
use crate::cache::Change;
use crate::encoding::{digest_from_bytes, digest_to_bytes, now};
use crate::store::Store;
use crate::writer::{Durability, Transaction};

/// A manifest or index that was computed, and what it was computed from.
#[derive(Clone, Debug, PartialEq)]
pub struct Derived {
    /// The repository that holds it.
    pub repository: RepositoryName,
    /// The manifest or index.
    pub digest: Digest,
    /// What it was derived from, as whoever derived it wrote it down.
    pub record: Value,
    /// Length of the record as text: what it weighs in memory.
    pub(crate) weight: usize,
}

impl Store {
    /// What was derived from the inputs that `key` is the digest over.
    pub async fn derived(&self, key: &Digest) -> Result<Option<Arc<Derived>>, StoreError> {
        let cache = &self.inner.caches.derived;
        if let Some(derived) = cache.get(key) {
            return Ok(Some(derived));
        }
        let ticket = cache.ticket(key);
        let row: Option<(String, Vec<u8>, String)> = sqlx::query_as(
            "SELECT r.name, m.digest, d.record FROM derived d
             JOIN repositories r ON r.id = d.repository_id
             JOIN manifests m ON m.id = d.manifest_id
             WHERE d.key = $1",
        )
        .bind(digest_to_bytes(key))
        .fetch_optional(&self.inner.database.readers)
        .await
        .map_err(|error| self.inner.database.error(error))?;
        let Some((name, digest, record)) = row else {
            return Ok(None);
        };
        let corrupt = || self.inner.database.corrupt(format!("derived record {key}"));
        let derived = Arc::new(Derived {
            repository: name.parse().map_err(|_| corrupt())?,
            digest: digest_from_bytes(&digest).ok_or_else(corrupt)?,
            record: serde_json::from_str(&record).map_err(|_| corrupt())?,
            weight: record.len(),
        });
        cache.fill(ticket, key.clone(), Arc::clone(&derived));
        Ok(Some(derived))
    }

    /// Remembers that the manifest `digest`, which `repository` holds, was derived from the
    /// inputs that `key` is the digest over. Whether the repository holds it; if not, nothing is
    /// remembered. Forgotten with the manifest.
    pub async fn put_derived(
        &self,
        key: &Digest,
        repository: &RepositoryName,
        digest: &Digest,
        record: &Value,
    ) -> Result<bool, StoreError> {
        let (key, repository) = (key.clone(), repository.clone());
        let (digest, record) = (digest_to_bytes(digest), record.to_string());
        self.inner
            .database
            .writer
            .write(Durability::Full, move |transaction| {
                Box::pin(async move {
                    let result = sqlx::query(
                        "INSERT INTO derived (key, repository_id, manifest_id, record, created_at)
                         SELECT $1, l.repository_id, l.manifest_id, $2, $3
                         FROM repo_manifests l JOIN manifests m ON m.id = l.manifest_id
                         WHERE l.repository_id = (SELECT id FROM repositories WHERE name = $4)
                           AND m.digest = $5
                         ON CONFLICT (key) DO UPDATE SET
                             repository_id = excluded.repository_id,
                             manifest_id = excluded.manifest_id,
                             record = excluded.record",
                    )
                    .bind(digest_to_bytes(&key))
                    .bind(record)
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
