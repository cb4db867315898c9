//! Giving back what upstreams gave, least recently used first: to keep the cache
//! within bounds. What goes can be fetched again.
//!
//! Only manifests that were read from an upstream go, in repositories that nobody pushed to, and
//! the blobs that nothing else needs. The rows go in one transaction, which looks again whether
//! the manifest was used meanwhile; a blob's file goes as garbage does. Whoever has it open reads
//! on. When and how much to evict is decided by the caller.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use metahub_oci::{Digest, RepositoryName};

use crate::StoreError;
use crate::gc::Gc;
use crate::kept::{evictable, kept, last_used};
use crate::records::sqlite::encoding::{digest_from_bytes, digest_to_bytes, time_to_millis};
use crate::records::sqlite::manifests;
use crate::records::sqlite::repositories::{find, unlink};
use crate::records::sqlite::writer::{Durability, Transaction};
use crate::store::Store;

/// What was given back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evicted {
    /// Blobs that are not here any more.
    pub blobs: u64,
    /// Bytes of those, and of manifests that are not here any more.
    pub bytes: u64,
}

/// A blob's row, its digest and its size.
pub(crate) type Row = (i64, Vec<u8>, i64);

impl Store {
    /// Gives back a manifest that was not used since `unused_since`, with the indexes that lead
    /// to nothing else here, their tags, and the blobs that nothing else needs. Nothing, if it
    /// was used or is not to be given back any more.
    pub async fn evict(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        unused_since: SystemTime,
    ) -> Result<Option<Evicted>, StoreError> {
        self.check_removable().await?;
        let (repository, digest) = (repository.clone(), digest.clone());
        let cutoff = time_to_millis(unused_since);
        let writer = &self.inner.database.writer;
        let rows = writer
            .write(Durability::Full, move |transaction| {
                Box::pin(async move { evict(transaction, repository, digest, cutoff).await })
            })
            .await?;
        let Some((rows, of_manifests)) = rows else {
            return Ok(None);
        };
        let mut evicted = self.remove_unlinked(rows).await?;
        evicted.bytes += of_manifests;
        Ok(Some(evicted))
    }

    /// Gives back blobs of upstreams that no manifest there names, and that came longer than
    /// `spare` ago; those that were fetched there, longer than `spare_fetched` ago. Others may be
    /// part of an import whose manifest comes last.
    pub async fn evict_unreferenced(
        &self,
        spare: Duration,
        spare_fetched: Duration,
    ) -> Result<Evicted, StoreError> {
        self.check_removable().await?;
        let now = SystemTime::now();
        let [cutoff, cutoff_fetched] =
            [spare, spare_fetched].map(|spare| now.checked_sub(spare).map_or(0, time_to_millis));
        let orphaned_files: Vec<(String, Vec<u8>)> = sqlx::query_as(concat!(
            "SELECT r.name, b.digest FROM repositories r
             JOIN repo_blobs l ON l.repository_id = r.id
             JOIN blobs b ON b.id = l.blob_id
             WHERE (l.linked_at <= $1 OR (l.given = 1 AND l.linked_at <= $2)) AND ",
            kept!(),
            " AND NOT EXISTS (
                 SELECT 1 FROM refs f JOIN repo_manifests h ON h.manifest_id = f.manifest_id
                 WHERE f.digest = b.digest AND f.kind <> 4 AND h.repository_id = r.id)
             LIMIT 1000"
        ))
        .bind(cutoff)
        .bind(cutoff_fetched)
        .fetch_all(&self.inner.database.readers)
        .await
        .map_err(|error| self.inner.database.error(error))?;
        if orphaned_files.is_empty() {
            return Ok(Evicted::default());
        }
        let writer = &self.inner.database.writer;
        let rows = writer
            .write(Durability::Full, move |transaction| {
                Box::pin(async move {
                    let mut rows = Vec::new();
                    for (name, digest) in orphaned_files {
                        let (Ok(name), Some(digest)) = (name.parse(), digest_from_bytes(&digest))
                        else {
                            continue;
                        };
                        let repository: RepositoryName = name;
                        if let Some(id) = find(transaction, &repository).await?
                            && !is_named(transaction, id, &digest, Naming::Any).await?
                        {
                            rows.extend(take(transaction, &repository, &digest).await?);
                        }
                    }
                    Ok::<_, StoreError>(rows)
                })
            })
            .await?;
        self.remove_unlinked(rows).await
    }

    /// Removes blobs that no repository may read any more.
    async fn remove_unlinked(&self, rows: Vec<Row>) -> Result<Evicted, StoreError> {
        let gc = Gc::now(self);
        let mut evicted = Evicted::default();
        for row in rows {
            if let Some(bytes) = gc.remove_blob(row).await? {
                evicted.blobs += 1;
                evicted.bytes += bytes;
            }
        }
        Ok(evicted)
    }
}

/// Takes a manifest and what only it needs out of the database; the blobs that may be garbage,
/// and the bytes of manifests that are gone.
async fn evict(
    transaction: &mut Transaction,
    repository: RepositoryName,
    digest: Digest,
    cutoff: i64,
) -> Result<Option<(Vec<Row>, u64)>, StoreError> {
    let result = sqlx::query_as(concat!(
        "SELECT l.repository_id, l.manifest_id FROM repo_manifests l
         JOIN repositories r ON r.id = l.repository_id
         JOIN manifests m ON m.id = l.manifest_id
         WHERE r.name = $1 AND m.digest = $2 AND ",
        last_used!(),
        " <= $3 AND ",
        evictable!()
    ))
    .bind(repository.as_str())
    .bind(digest_to_bytes(&digest))
    .bind(cutoff)
    .fetch_optional(&mut transaction.connection)
    .await;
    let ids: Option<(i64, i64)> = result.map_err(|error| transaction.error(error))?;
    let Some((repository_id, manifest_id)) = ids else {
        return Ok(None);
    };
    let blobs = named_blobs(transaction, manifest_id).await?;
    let parents = lonely_parents(transaction, repository_id, &digest).await?;
    let mut bytes = delete(transaction, &repository, digest).await?;
    for parent in parents {
        bytes += delete(transaction, &repository, parent).await?;
    }
    let mut rows = Vec::new();
    for blob in blobs {
        for holder in holders(transaction, &blob).await? {
            let (holder_id, name) = holder;
            // Here: what no upstream's manifest names. Elsewhere: what only derived manifests
            // name, which find it again where it came from.
            let naming = if holder_id == repository_id {
                Naming::Given
            } else {
                Naming::GivenOrNone
            };
            if !is_named(transaction, holder_id, &blob, naming).await? {
                rows.extend(take(transaction, &name, &blob).await?);
            }
        }
    }
    rows.sort_unstable();
    rows.dedup();
    Ok(Some((rows, bytes)))
}

/// Takes a manifest from a repository; its size, if no other repository holds it.
async fn delete(
    transaction: &mut Transaction,
    repository: &RepositoryName,
    digest: Digest,
) -> Result<u64, StoreError> {
    let before = stored_size(transaction, &digest).await?;
    manifests::delete(transaction, repository.clone(), digest.clone()).await?;
    let after = stored_size(transaction, &digest).await?;
    Ok(before.saturating_sub(after))
}

/// The size of a manifest; nothing if it is not here.
async fn stored_size(transaction: &mut Transaction, digest: &Digest) -> Result<u64, StoreError> {
    let result = sqlx::query_scalar("SELECT length(body) FROM manifests WHERE digest = $1")
        .bind(digest_to_bytes(digest))
        .fetch_optional(&mut transaction.connection)
        .await;
    let size: Option<i64> = result.map_err(|error| transaction.error(error))?;
    Ok(size.map_or(0, |size| u64::try_from(size).unwrap_or(0)))
}

/// The digests that a query gave.
fn digests<C: FromIterator<Digest>>(
    transaction: &Transaction,
    result: Result<Vec<Vec<u8>>, sqlx::Error>,
) -> Result<C, StoreError> {
    let rows = result.map_err(|error| transaction.error(error))?;
    Ok(rows
        .iter()
        .filter_map(|row| digest_from_bytes(row))
        .collect())
}

async fn named_blobs(
    transaction: &mut Transaction,
    manifest_id: i64,
) -> Result<HashSet<Digest>, StoreError> {
    let result =
        sqlx::query_scalar("SELECT digest FROM refs WHERE manifest_id = $1 AND kind IN (1, 2)")
            .bind(manifest_id)
            .fetch_all(&mut transaction.connection)
            .await;
    digests(transaction, result)
}

/// Indexes of an upstream that lead to `digest` and to nothing else that is here.
async fn lonely_parents(
    transaction: &mut Transaction,
    repository_id: i64,
    digest: &Digest,
) -> Result<Vec<Digest>, StoreError> {
    let result = sqlx::query_scalar(
        "SELECT p.digest FROM refs f JOIN manifests p ON p.id = f.manifest_id
         JOIN repo_manifests l ON l.manifest_id = p.id AND l.repository_id = $1
         WHERE f.digest = $2 AND f.kind = 3 AND l.origin = 2
           AND NOT EXISTS (SELECT 1 FROM refs g JOIN manifests c ON c.digest = g.digest
               JOIN repo_manifests h ON h.manifest_id = c.id AND h.repository_id = $1
               WHERE g.manifest_id = p.id AND g.kind = 3 AND g.digest <> $2)",
    )
    .bind(repository_id)
    .bind(digest_to_bytes(digest))
    .fetch_all(&mut transaction.connection)
    .await;
    digests(transaction, result)
}

/// The repositories that may read a blob.
async fn holders(
    transaction: &mut Transaction,
    blob: &Digest,
) -> Result<Vec<(i64, RepositoryName)>, StoreError> {
    let result = sqlx::query_as(
        "SELECT r.id, r.name FROM repo_blobs l JOIN repositories r ON r.id = l.repository_id
         WHERE l.blob_id = (SELECT id FROM blobs WHERE digest = $1)",
    )
    .bind(digest_to_bytes(blob))
    .fetch_all(&mut transaction.connection)
    .await;
    let rows: Vec<(i64, String)> = result.map_err(|error| transaction.error(error))?;
    let parsed = rows.into_iter();
    Ok(parsed
        .filter_map(|(id, name)| Some((id, name.parse().ok()?)))
        .collect())
}

/// Which manifests of a repository count as naming a blob.
#[derive(Clone, Copy)]
pub(crate) enum Naming {
    /// All.
    Any,
    /// Those that were pushed or read from an upstream.
    Given,
    /// The same; and where no manifest names it at all, somebody may be pushing it.
    GivenOrNone,
}

pub(crate) async fn is_named(
    transaction: &mut Transaction,
    repository_id: i64,
    blob: &Digest,
    naming: Naming,
) -> Result<bool, StoreError> {
    let result = sqlx::query_as(
        "SELECT count(*), coalesce(sum(h.origin IN (1, 2)), 0) FROM refs f
         JOIN repo_manifests h ON h.manifest_id = f.manifest_id
         WHERE f.digest = $1 AND f.kind <> 4 AND h.repository_id = $2",
    )
    .bind(digest_to_bytes(blob))
    .bind(repository_id)
    .fetch_one(&mut transaction.connection)
    .await;
    let (any, given): (i64, i64) = result.map_err(|error| transaction.error(error))?;
    Ok(match naming {
        Naming::Any => any > 0,
        Naming::Given => given > 0,
        Naming::GivenOrNone => given > 0 || any == 0,
    })
}

/// Takes a blob from a repository; its row, for whoever looks whether another still has it.
pub(crate) async fn take(
    transaction: &mut Transaction,
    repository: &RepositoryName,
    blob: &Digest,
) -> Result<Option<Row>, StoreError> {
    if !unlink(transaction, repository.clone(), blob.clone()).await? {
        return Ok(None);
    }
    let result = sqlx::query_as("SELECT id, digest, size FROM blobs WHERE digest = $1")
        .bind(digest_to_bytes(blob))
        .fetch_optional(&mut transaction.connection)
        .await;
    result.map_err(|error| transaction.error(error))
}
