//! Removing records of derived content, least recently used first, with their manifests, the
//! children that were made for those, and their configurations.

use metahub_oci::{Digest, RepositoryName};

use super::derived_rows::total;
use super::encoding::{digest_from_bytes, digest_to_bytes};
use super::eviction::{Naming, is_named, take};
use super::manifests::delete;
use super::stale::unreferenced;
use super::transaction::Transaction;
use crate::StoreError;
use crate::records::{Change, EvictedRecords};

statements! {
    OLDEST =
        "SELECT d.key, d.repository_id, r.name, d.manifest_id, m.digest, d.bytes FROM derived d
         JOIN repositories r ON r.id = d.repository_id
         JOIN manifests m ON m.id = d.manifest_id
         ORDER BY d.used_at, d.key LIMIT $1";
    FORGET = "DELETE FROM derived WHERE key = $1";
    ROW_OF_BODY = "SELECT id FROM manifests WHERE digest = $1";
    CHILDREN = "SELECT digest FROM child_refs WHERE manifest_id = $1";
    CONFIGURATIONS = "SELECT digest FROM config_refs WHERE manifest_id = $1";
    IS_FREE = concat!(
        "SELECT EXISTS (SELECT 1 FROM derived_manifests h
             JOIN manifests m ON m.id = h.manifest_id
             WHERE h.repository_id = $1 AND h.manifest_id = $2
               AND NOT EXISTS (SELECT 1 FROM derived d
                               WHERE d.repository_id = $1 AND d.manifest_id = $2) AND ",
        unreferenced!(),
        ")"
    );
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

pub(super) async fn evict(
    transaction: &mut Transaction,
    target: u64,
    limit: u32,
) -> Result<EvictedRecords, StoreError> {
    let result = total(&mut transaction.connection).await;
    let mut bytes = result.map_err(|error| transaction.error(error))?.bytes;
    let mut evicted = EvictedRecords::default();
    let mut configurations = Vec::new();
    for record in oldest(transaction, limit).await? {
        if bytes <= target {
            break;
        }
        bytes = bytes.saturating_sub(record.bytes);
        evicted.records += 1;
        forget(transaction, &record.key).await?;
        if is_free(transaction, record.repository_id, record.manifest_id).await? {
            evicted.manifests += remove(transaction, &record, &mut configurations).await?;
        }
    }
    for (repository_id, repository, blob) in configurations {
        if !is_named(transaction, repository_id, &blob, Naming::Any).await? {
            let taken = take(transaction, &repository, &blob).await?;
            evicted.blobs.extend(taken);
        }
    }
    Ok(evicted)
}

/// The records that were used least recently.
async fn oldest(transaction: &mut Transaction, limit: u32) -> Result<Vec<Record>, StoreError> {
    type Found = (Vec<u8>, i64, String, i64, Vec<u8>, i64);
    let result = sqlx::query_as(OLDEST)
        .bind(limit)
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
    let result = sqlx::query(FORGET)
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
    let children = named(transaction, record.manifest_id, CHILDREN).await?;
    let mut removed = 0;
    let mut gone = vec![(record.manifest_id, record.digest.clone())];
    while let Some((manifest_id, digest)) = gone.pop() {
        for blob in named(transaction, manifest_id, CONFIGURATIONS).await? {
            configurations.push((record.repository_id, record.repository.clone(), blob));
        }
        let first = removed == 0;
        let repository = record.repository.clone();
        removed += u64::from(delete(transaction, repository, digest).await?);
        if !first {
            continue;
        }
        // A child is free only once its index is gone.
        for child in &children {
            let id = row_of(transaction, child).await?;
            if let Some(id) = id
                && is_free(transaction, record.repository_id, id).await?
            {
                gone.push((id, child.clone()));
            }
        }
    }
    Ok(removed)
}

async fn row_of(transaction: &mut Transaction, digest: &Digest) -> Result<Option<i64>, StoreError> {
    let result = sqlx::query_scalar(ROW_OF_BODY)
        .bind(digest_to_bytes(digest))
        .fetch_optional(&mut transaction.connection)
        .await;
    result.map_err(|error| transaction.error(error))
}

/// What a manifest names, by one of the statements for it.
async fn named(
    transaction: &mut Transaction,
    manifest_id: i64,
    statement: &'static str,
) -> Result<Vec<Digest>, StoreError> {
    let result = sqlx::query_scalar(statement)
        .bind(manifest_id)
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
async fn is_free(
    transaction: &mut Transaction,
    repository_id: i64,
    manifest_id: i64,
) -> Result<bool, StoreError> {
    let result = sqlx::query_scalar(IS_FREE)
        .bind(repository_id)
        .bind(manifest_id)
        .fetch_one(&mut transaction.connection)
        .await;
    result.map_err(|error| transaction.error(error))
}
