//! Evicts content that came from upstreams: a manifest, the indexes that lead to nothing else, and
//! the blobs that nothing else needs.

use std::collections::HashSet;

use metahub_oci::{Digest, RepositoryName};
use sqlx::SqlitePool;

use super::encoding::{digest_from_bytes, digest_to_bytes};
use super::eviction_rules::{evictable, last_used};
use super::manifests;
use super::repositories::{find, unlink};
use super::transaction::Transaction;
use crate::StoreError;
use crate::records::{EvictedManifest, UnlinkedBlob};

statements! {
    CANDIDATE = concat!(
        "SELECT l.repository_id, l.manifest_id FROM fetched_manifests l
         JOIN repositories r ON r.id = l.repository_id
         JOIN manifests m ON m.id = l.manifest_id
         WHERE r.name = $1 AND m.digest = $2 AND ",
        last_used!(),
        " <= $3 AND ",
        evictable!()
    );
    STORED_SIZE = "SELECT length(body) FROM manifests WHERE digest = $1";
    BLOBS = "SELECT digest FROM blob_refs WHERE manifest_id = $1";
    LONELY_PARENTS =
        "SELECT p.digest FROM child_refs f JOIN manifests p ON p.id = f.manifest_id
         CROSS JOIN fetched_manifests l ON l.manifest_id = p.id AND l.repository_id = $1
         WHERE f.digest = $2
           AND NOT EXISTS (SELECT 1 FROM child_refs g JOIN manifests c ON c.digest = g.digest
               JOIN repo_manifests h ON h.manifest_id = c.id AND h.repository_id = $1
               WHERE g.manifest_id = p.id AND g.digest <> $2)";
    HOLDERS =
        "SELECT r.id, r.name FROM repo_blobs l JOIN repositories r ON r.id = l.repository_id
         WHERE l.blob_id = (SELECT id FROM blobs WHERE digest = $1)";
    NAMED =
        "SELECT EXISTS (SELECT 1 FROM needed_refs f
                 CROSS JOIN repo_manifests h ON h.manifest_id = f.manifest_id
                     AND h.repository_id = $2
                 WHERE f.digest = $1),
             EXISTS (SELECT 1 FROM needed_refs f
                 CROSS JOIN original_manifests h ON h.manifest_id = f.manifest_id
                     AND h.repository_id = $2
                 WHERE f.digest = $1)
             OR EXISTS (SELECT 1 FROM needed_refs f
                 CROSS JOIN derived_manifests h ON h.manifest_id = f.manifest_id
                     AND h.repository_id = $2
                 CROSS JOIN manifests m ON m.id = h.manifest_id
                 WHERE f.digest = $1 AND m.subject IS NOT NULL)";
    SIZE = "SELECT size FROM blobs WHERE digest = $1";
    UNREFERENCED =
        "SELECT r.name, b.digest FROM repositories r
         JOIN repo_blobs l ON l.repository_id = r.id
         JOIN blobs b ON b.id = l.blob_id
         WHERE r.kind = 'upstream'
           AND (l.linked_at <= $1 OR (l.given AND l.linked_at <= $2))
           AND NOT EXISTS (SELECT 1 FROM needed_refs f
               CROSS JOIN repo_manifests h ON h.manifest_id = f.manifest_id
                   AND h.repository_id = r.id
               WHERE f.digest = b.digest)
         ORDER BY r.id, b.id LIMIT $3";
}

/// Takes a manifest and what only it needs out of the database.
pub(super) async fn evict(
    transaction: &mut Transaction,
    repository: RepositoryName,
    digest: Digest,
    cutoff: i64,
) -> Result<Option<EvictedManifest>, StoreError> {
    let result = sqlx::query_as(CANDIDATE)
        .bind(repository.as_str())
        .bind(digest_to_bytes(&digest))
        .bind(cutoff)
        .fetch_optional(&mut transaction.connection)
        .await;
    let rows: Option<(i64, i64)> = result.map_err(|error| transaction.error(error))?;
    let Some((repository_id, manifest_id)) = rows else {
        return Ok(None);
    };
    let blobs = named_blobs(transaction, manifest_id).await?;
    let parents = lonely_parents(transaction, repository_id, &digest).await?;
    let mut evicted = EvictedManifest {
        bytes: delete(transaction, &repository, digest).await?,
        blobs: Vec::new(),
    };
    for parent in parents {
        evicted.bytes += delete(transaction, &repository, parent).await?;
    }
    for blob in blobs {
        for (holder_id, name) in holders(transaction, &blob).await? {
            // Here: what no upstream's manifest names. Elsewhere: what only derived manifests
            // name, which find it again where it came from.
            let naming = if holder_id == repository_id {
                Naming::Original
            } else {
                Naming::OriginalOrNone
            };
            if !is_named(transaction, holder_id, &blob, naming).await? {
                let taken = take(transaction, &name, &blob).await?;
                evicted.blobs.extend(taken);
            }
        }
    }
    evicted.blobs.sort_unstable();
    evicted.blobs.dedup();
    Ok(Some(evicted))
}

/// Removes a manifest from a repository; returns its size, if no other repository holds it.
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
    let result = sqlx::query_scalar(STORED_SIZE)
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
    let result = sqlx::query_scalar(BLOBS)
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
    let result = sqlx::query_scalar(LONELY_PARENTS)
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
    let result = sqlx::query_as(HOLDERS)
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
pub(super) enum Naming {
    /// All.
    Any,
    /// Those that were pushed or read from an upstream, and referrers that were made here: what
    /// those name is nowhere else.
    Original,
    /// The same; but a blob that no manifest names at all may belong to a push in progress.
    OriginalOrNone,
}

pub(super) async fn is_named(
    transaction: &mut Transaction,
    repository_id: i64,
    blob: &Digest,
    naming: Naming,
) -> Result<bool, StoreError> {
    let result = sqlx::query_as(NAMED)
        .bind(digest_to_bytes(blob))
        .bind(repository_id)
        .fetch_one(&mut transaction.connection)
        .await;
    let (any, original): (bool, bool) = result.map_err(|error| transaction.error(error))?;
    Ok(match naming {
        Naming::Any => any,
        Naming::Original => original,
        Naming::OriginalOrNone => original || !any,
    })
}

/// Unlinks a blob from a repository, if it is linked.
pub(super) async fn take(
    transaction: &mut Transaction,
    repository: &RepositoryName,
    blob: &Digest,
) -> Result<Option<UnlinkedBlob>, StoreError> {
    if !unlink(transaction, repository.clone(), blob.clone()).await? {
        return Ok(None);
    }
    let result = sqlx::query_scalar(SIZE)
        .bind(digest_to_bytes(blob))
        .fetch_one(&mut transaction.connection)
        .await;
    let size: i64 = result.map_err(|error| transaction.error(error))?;
    Ok(Some(UnlinkedBlob {
        digest: blob.clone(),
        size: u64::try_from(size).unwrap_or(0),
    }))
}

/// The names of repositories and the digests of blobs that no manifest there names.
pub(super) async fn unreferenced(
    readers: &SqlitePool,
    (linked_before, given_before): (i64, i64),
    limit: u32,
) -> Result<Vec<(String, Vec<u8>)>, sqlx::Error> {
    sqlx::query_as(UNREFERENCED)
        .bind(linked_before)
        .bind(given_before)
        .bind(limit)
        .fetch_all(readers)
        .await
}

/// Takes those of them out that no manifest names still.
pub(super) async fn take_unreferenced(
    transaction: &mut Transaction,
    found: Vec<(String, Vec<u8>)>,
) -> Result<Vec<UnlinkedBlob>, StoreError> {
    let mut taken = Vec::new();
    for (name, digest) in found {
        let (Ok(name), Some(digest)) = (name.parse(), digest_from_bytes(&digest)) else {
            continue;
        };
        let repository: RepositoryName = name;
        if let Some(id) = find(transaction, &repository).await?
            && !is_named(transaction, id, &digest, Naming::Any).await?
        {
            taken.extend(take(transaction, &repository, &digest).await?);
        }
    }
    taken.sort_unstable();
    taken.dedup();
    Ok(taken)
}
