//! Keeping records of derived content within their bound: what was used least recently goes, with
//! its manifest, the children that were made for it, and their configurations. All of it can be
//! derived again, to the same bytes.
//!
//! A manifest stays while anything else refers to it: a tag, an index, a referrer, another record,
//! or somebody who pushed it; then only its record goes.

use metahub_oci::{Digest, RepositoryName};

use crate::StoreError;
use crate::derived::{DerivedTotal, total};
use crate::evict::{Naming, Row, is_named, take};
use crate::gc::Gc;
use crate::records::Change;
use crate::records::Kind;
use crate::records::Origin;
use crate::records::sqlite::encoding::{digest_from_bytes, digest_to_bytes};
use crate::records::sqlite::manifests;
use crate::records::sqlite::writer::{Durability, Transaction};
use crate::store::Store;

/// Records that go in one transaction, at most: others write in between.
const BATCH: i64 = 100;

/// What went of derived content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EvictedDerived {
    /// Records.
    pub records: u64,
    /// Manifests and indexes.
    pub manifests: u64,
    /// Configurations.
    pub blobs: u64,
}

/// A record that may go.
struct Record {
    key: Digest,
    repository_id: i64,
    repository: RepositoryName,
    manifest_id: i64,
    digest: Digest,
    bytes: u64,
}

impl Store {
    /// Evicts records of derived content, least recently used first, if they take more than
    /// `most` bytes, until they take a little less.
    pub async fn evict_derived(&self, most: u64) -> Result<EvictedDerived, StoreError> {
        let mut evicted = EvictedDerived::default();
        let target = most - most / 20;
        loop {
            if self.derived_total().await?.bytes <= if evicted.records == 0 { most } else { target }
            {
                return Ok(evicted);
            }
            let (batch, blobs) = {
                // Nobody is in the middle of storing what shares parts with what goes.
                let _alone = self.inner.deriving.write().await;
                let writer = &self.inner.database.writer;
                writer
                    .write(Durability::Full, move |transaction| {
                        Box::pin(evict_batch(transaction, target))
                    })
                    .await?
            };
            evicted.records += batch.records;
            evicted.manifests += batch.manifests;
            let gc = Gc::now(self);
            for row in blobs {
                evicted.blobs += u64::from(gc.remove_blob(row).await?.is_some());
            }
            if batch.records == 0 {
                return Ok(evicted);
            }
        }
    }
}

async fn evict_batch(
    transaction: &mut Transaction,
    target: u64,
) -> Result<(EvictedDerived, Vec<Row>), StoreError> {
    let DerivedTotal { mut bytes, .. } = total(transaction).await?;
    let mut evicted = EvictedDerived::default();
    let mut configurations = Vec::new();
    for record in oldest(transaction).await? {
        if bytes <= target {
            break;
        }
        bytes = bytes.saturating_sub(record.bytes);
        evicted.records += 1;
        forget(transaction, &record.key).await?;
        if is_free(
            transaction,
            record.repository_id,
            record.manifest_id,
            &record.digest,
        )
        .await?
        {
            evicted.manifests += remove(transaction, &record, &mut configurations).await?;
        }
    }
    let mut rows = Vec::new();
    for (repository_id, repository, blob) in configurations {
        if !is_named(transaction, repository_id, &blob, Naming::Any).await? {
            rows.extend(take(transaction, &repository, &blob).await?);
        }
    }
    Ok((evicted, rows))
}

/// The records that were used least recently.
async fn oldest(transaction: &mut Transaction) -> Result<Vec<Record>, StoreError> {
    type Found = (Vec<u8>, i64, String, i64, Vec<u8>, i64);
    let result = sqlx::query_as(
        "SELECT d.key, d.repository_id, r.name, d.manifest_id, m.digest, d.bytes FROM derived d
         JOIN repositories r ON r.id = d.repository_id
         JOIN manifests m ON m.id = d.manifest_id
         ORDER BY d.used_at, d.key LIMIT $1",
    )
    .bind(BATCH)
    .fetch_all(&mut transaction.connection)
    .await;
    let rows: Vec<Found> = result.map_err(|error| transaction.error(error))?;
    let record = |(key, repository_id, name, manifest_id, digest, bytes): Found| {
        let corrupt = || transaction.corrupt(format!("a derived record of '{name}'"));
        Ok(Record {
            key: digest_from_bytes(&key).ok_or_else(corrupt)?,
            repository: name.parse().map_err(|_| corrupt())?,
            digest: digest_from_bytes(&digest).ok_or_else(corrupt)?,
            bytes: u64::try_from(bytes).unwrap_or(0),
            repository_id,
            manifest_id,
        })
    };
    rows.into_iter().map(record).collect()
}

async fn forget(transaction: &mut Transaction, key: &Digest) -> Result<(), StoreError> {
    let result = sqlx::query("DELETE FROM derived WHERE key = $1")
        .bind(digest_to_bytes(key))
        .execute(&mut transaction.connection)
        .await;
    result.map_err(|error| transaction.error(error))?;
    transaction.changed(Change::Derived(key.clone()));
    Ok(())
}

/// Removes the manifest of a record that went, and those of its children that only it needed; how
/// many. Adds the configurations that they named.
async fn remove(
    transaction: &mut Transaction,
    record: &Record,
    configurations: &mut Vec<(i64, RepositoryName, Digest)>,
) -> Result<u64, StoreError> {
    let children = named(transaction, record.manifest_id, Kind::Child).await?;
    let mut removed = 0;
    let mut gone = vec![(record.manifest_id, record.digest.clone())];
    while let Some((manifest_id, digest)) = gone.pop() {
        for blob in named(transaction, manifest_id, Kind::Config).await? {
            configurations.push((record.repository_id, record.repository.clone(), blob));
        }
        let first = removed == 0;
        let repository = record.repository.clone();
        removed += u64::from(manifests::delete(transaction, repository, digest).await?);
        if !first {
            continue;
        }
        // A child is free only once its index is gone.
        for child in &children {
            let id = id_of(transaction, child).await?;
            if let Some(id) = id
                && is_free(transaction, record.repository_id, id, child).await?
            {
                gone.push((id, child.clone()));
            }
        }
    }
    Ok(removed)
}

async fn id_of(transaction: &mut Transaction, digest: &Digest) -> Result<Option<i64>, StoreError> {
    let result = sqlx::query_scalar("SELECT id FROM manifests WHERE digest = $1")
        .bind(digest_to_bytes(digest))
        .fetch_optional(&mut transaction.connection)
        .await;
    result.map_err(|error| transaction.error(error))
}

/// What a manifest names of one kind.
async fn named(
    transaction: &mut Transaction,
    manifest_id: i64,
    kind: Kind,
) -> Result<Vec<Digest>, StoreError> {
    let result = sqlx::query_scalar("SELECT digest FROM refs WHERE manifest_id = $1 AND kind = $2")
        .bind(manifest_id)
        .bind(kind.number())
        .fetch_all(&mut transaction.connection)
        .await;
    let rows: Vec<Vec<u8>> = result.map_err(|error| transaction.error(error))?;
    Ok(rows
        .iter()
        .filter_map(|row| digest_from_bytes(row))
        .collect())
}

/// Whether a manifest was derived in that repository and nothing there refers to it: no record, no
/// tag, no index, no referrer.
pub(crate) async fn is_free(
    transaction: &mut Transaction,
    repository_id: i64,
    manifest_id: i64,
    digest: &Digest,
) -> Result<bool, StoreError> {
    let result = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM repo_manifests h
             WHERE h.repository_id = $1 AND h.manifest_id = $2 AND h.origin = $3)
             AND NOT EXISTS (SELECT 1 FROM derived d
                             WHERE d.repository_id = $1 AND d.manifest_id = $2)
             AND NOT EXISTS (SELECT 1 FROM tags t
                             WHERE t.repository_id = $1 AND t.manifest_id = $2)
             AND NOT EXISTS (SELECT 1 FROM refs f
                             JOIN repo_manifests o ON o.manifest_id = f.manifest_id
                             WHERE f.digest = $4 AND f.kind IN ($5, $6)
                               AND o.repository_id = $1)",
    )
    .bind(repository_id)
    .bind(manifest_id)
    .bind(Origin::Derived.number())
    .bind(digest_to_bytes(digest))
    .bind(Kind::Child.number())
    .bind(Kind::Subject.number())
    .fetch_one(&mut transaction.connection)
    .await;
    result.map_err(|error| transaction.error(error))
}
