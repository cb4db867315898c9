//! Removing records of derived content, least recently used first, with their manifests, the
//! children that were made for those, their configurations, and their provenance.

use metahub_oci::{Digest, RepositoryName};

use super::derived_rows::total;
use super::encoding::{digest_from_bytes, digest_to_bytes, time_to_millis};
use super::eviction::{Naming, is_named, take};
use super::manifests::delete;
use super::stale::unreferenced;
use super::transaction::Transaction;
use crate::StoreError;
use crate::records::{Change, DerivedEviction, EvictedRecords};

/// Whether only one client without an account requested the content of the record `d`.
macro_rules! of_one_client {
    () => {
        concat!(
            "EXISTS (SELECT 1 FROM repo_manifests h
                 WHERE h.repository_id = d.repository_id AND h.manifest_id = d.manifest_id
                   AND h.brought_by <> ",
            shared!(),
            ")"
        )
    };
}

statements! {
    // `$2`: only those that one client without an account requested.
    OLDEST = concat!(
        "SELECT d.key, d.repository_id, r.name, d.manifest_id, m.digest, d.bytes, d.used_at
         FROM derived d
         JOIN repositories r ON r.id = d.repository_id
         JOIN manifests m ON m.id = d.manifest_id
         WHERE NOT d.pinned AND (NOT $2 OR ",
        of_one_client!(),
        ") ORDER BY d.used_at, d.key LIMIT $1"
    );
    OF_ONE_CLIENT = concat!(
        "SELECT coalesce(sum(d.bytes), 0) FROM derived d WHERE NOT d.pinned AND ",
        of_one_client!()
    );
    FORGET = "DELETE FROM derived WHERE key = $1";
    ROW_OF_BODY = "SELECT id FROM manifests WHERE digest = $1";
    CHILDREN = "SELECT digest FROM child_refs WHERE manifest_id = $1";
    CONFIGURATIONS = "SELECT digest FROM config_refs WHERE manifest_id = $1";
    BLOBS = "SELECT digest FROM blob_refs WHERE manifest_id = $1";
    REFERRERS =
        "SELECT s.id, s.digest FROM manifests s
         CROSS JOIN derived_manifests h ON h.manifest_id = s.id AND h.repository_id = $1
         WHERE s.subject = $2 ORDER BY s.id";
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
    used_at: i64,
}

pub(super) async fn evict(
    transaction: &mut Transaction,
    eviction: DerivedEviction,
    limit: u32,
) -> Result<EvictedRecords, StoreError> {
    let mut evicting = Evicting {
        bytes: bytes(transaction).await?,
        evicted: EvictedRecords::default(),
        blobs: Vec::new(),
    };
    if evicting.bytes > eviction.bytes && eviction.of_one_client > 0 {
        evicting.first(transaction, eviction, limit).await?;
    }
    let unused_since = time_to_millis(eviction.unused_since);
    let done = u32::try_from(evicting.evicted.records).unwrap_or(limit);
    for record in oldest(transaction, limit.saturating_sub(done), false).await? {
        if evicting.bytes <= eviction.bytes && record.used_at > unused_since {
            break;
        }
        evicting.record(transaction, &record).await?;
    }
    for (repository_id, repository, blob) in evicting.blobs {
        if !is_named(transaction, repository_id, &blob, Naming::Any).await? {
            let taken = take(transaction, &repository, &blob).await?;
            evicting.evicted.blobs.extend(taken);
        }
    }
    Ok(evicting.evicted)
}

/// Bytes of content that only single clients without an account requested.
pub(super) async fn of_one_client<'e>(
    executor: impl sqlx::SqliteExecutor<'e>,
) -> Result<u64, sqlx::Error> {
    let bytes: i64 = sqlx::query_scalar(OF_ONE_CLIENT)
        .fetch_one(executor)
        .await?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}

/// An eviction on its way.
struct Evicting {
    /// What the records take that are left.
    bytes: u64,
    evicted: EvictedRecords,
    /// Made for manifests that went.
    blobs: Vec<(i64, RepositoryName, Digest)>,
}

impl Evicting {
    /// Removes records of content that only one client without an account requested, as far as
    /// those are evicted first.
    async fn first(
        &mut self,
        transaction: &mut Transaction,
        eviction: DerivedEviction,
        limit: u32,
    ) -> Result<(), StoreError> {
        for record in oldest(transaction, limit, true).await? {
            let gone = self.evicted.of_one_client;
            if self.bytes <= eviction.bytes || gone >= eviction.of_one_client {
                break;
            }
            self.evicted.of_one_client += record.bytes;
            self.record(transaction, &record).await?;
        }
        Ok(())
    }

    /// Removes a record, and its manifest if nothing else leads to that.
    async fn record(
        &mut self,
        transaction: &mut Transaction,
        record: &Record,
    ) -> Result<(), StoreError> {
        self.bytes = self.bytes.saturating_sub(record.bytes);
        self.evicted.records += 1;
        forget(transaction, &record.key).await?;
        if is_free(transaction, record.repository_id, record.manifest_id).await? {
            self.evicted.manifests += remove(transaction, record, &mut self.blobs).await?;
        }
        Ok(())
    }
}

async fn bytes(transaction: &mut Transaction) -> Result<u64, StoreError> {
    let result = total(&mut transaction.connection).await;
    Ok(result.map_err(|error| transaction.error(error))?.bytes)
}

/// The records that were used least recently.
async fn oldest(
    transaction: &mut Transaction,
    limit: u32,
    of_one_client: bool,
) -> Result<Vec<Record>, StoreError> {
    type Found = (Vec<u8>, i64, String, i64, Vec<u8>, i64, i64);
    let result = sqlx::query_as(OLDEST)
        .bind(limit)
        .bind(of_one_client)
        .fetch_all(&mut transaction.connection)
        .await;
    let rows: Vec<Found> = result.map_err(|error| transaction.error(error))?;
    let record = |(key, repository_id, name, manifest_id, digest, bytes, used_at): Found| {
        let corrupt = || transaction.corrupt(format!("a derived record of '{name}'"));
        Ok(Record {
            key: digest_from_bytes(&key).ok_or_else(corrupt)?,
            repository: name.parse().map_err(|_| corrupt())?,
            digest: digest_from_bytes(&digest).ok_or_else(corrupt)?,
            used_at,
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

/// A manifest that goes with a record.
struct Going {
    manifest_id: i64,
    digest: Digest,
    /// The statement for what it names that was made here.
    made: &'static str,
}

/// Removes the manifest of a record that went, those of its children that only it needed, and the
/// referrers that were made with those; how many. Adds the blobs that were made for them.
async fn remove(
    transaction: &mut Transaction,
    record: &Record,
    blobs: &mut Vec<(i64, RepositoryName, Digest)>,
) -> Result<u64, StoreError> {
    let children = named(transaction, record.manifest_id, CHILDREN).await?;
    let mut removed = 0;
    let mut gone = vec![Going {
        manifest_id: record.manifest_id,
        digest: record.digest.clone(),
        made: CONFIGURATIONS,
    }];
    while let Some(going) = gone.pop() {
        for blob in named(transaction, going.manifest_id, going.made).await? {
            blobs.push((record.repository_id, record.repository.clone(), blob));
        }
        let first = removed == 0;
        let repository = record.repository.clone();
        removed += u64::from(delete(transaction, repository, going.digest.clone()).await?);
        gone.extend(referrers(transaction, record.repository_id, &going.digest).await?);
        if !first {
            continue;
        }
        // A child is free only once its index is gone.
        for child in &children {
            let id = row_of(transaction, child).await?;
            if let Some(manifest_id) = id
                && is_free(transaction, record.repository_id, manifest_id).await?
            {
                gone.push(Going {
                    manifest_id,
                    digest: child.clone(),
                    made: CONFIGURATIONS,
                });
            }
        }
    }
    Ok(removed)
}

/// The referrers that were made here for a manifest that went, and that nothing refers to.
async fn referrers(
    transaction: &mut Transaction,
    repository_id: i64,
    subject: &Digest,
) -> Result<Vec<Going>, StoreError> {
    let result = sqlx::query_as(REFERRERS)
        .bind(repository_id)
        .bind(digest_to_bytes(subject))
        .fetch_all(&mut transaction.connection)
        .await;
    let rows: Vec<(i64, Vec<u8>)> = result.map_err(|error| transaction.error(error))?;
    let mut free = Vec::new();
    for (manifest_id, digest) in rows {
        if let Some(digest) = digest_from_bytes(&digest)
            && is_free(transaction, repository_id, manifest_id).await?
        {
            free.push(Going {
                manifest_id,
                digest,
                made: BLOBS,
            });
        }
    }
    Ok(free)
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
/// tag, no index, no referrer but those that were made with it.
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
