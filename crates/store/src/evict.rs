//! Giving back what upstreams gave, least recently used first: to keep what is kept of them
//! within bounds. What goes can be fetched again.
//!
//! Only manifests that were read from an upstream go, in repositories that nobody pushed to, and
//! the blobs that nothing else needs. The rows go in one transaction, which looks again whether
//! the manifest was used meanwhile; a blob's file goes as garbage does. Whoever has it open reads
//! on. When and how much to evict is decided by the caller.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, SystemTime};

use metahub_oci::{Digest, RepositoryName, Tag};

use crate::StoreError;
use crate::encoding::{digest_from_bytes, digest_to_bytes, time_from_millis, time_to_millis};
use crate::gc::Gc;
use crate::manifest;
use crate::repository::{find, unlink};
use crate::store::Store;
use crate::writer::{Durability, Transaction};

/// Blobs of an upstream's repository that no manifest names are given back after this time: the
/// manifest of a blob that is on its way may have gone.
const STRAY: Duration = Duration::from_hours(1);

/// A manifest that can be given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The repository that keeps it.
    pub repository: RepositoryName,
    /// The manifest.
    pub digest: Digest,
    /// When it, or an index that leads to it, was used last.
    pub used_at: SystemTime,
    /// The tags that lead to it.
    pub tags: Vec<Tag>,
}

/// Where a list of candidates goes on.
#[derive(Clone, Copy, Debug, Default)]
pub struct CandidatesAfter(i64, i64, i64);

/// What was given back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evicted {
    /// Blobs that are not here any more.
    pub blobs: u64,
    /// Bytes of those, and of manifests that are not here any more.
    pub bytes: u64,
}

/// When `l`, or a manifest of its repository that leads to its manifest `m`, was used.
macro_rules! used {
    () => {
        "max(l.pushed_at, l.used_at, coalesce((
             SELECT max(max(p.pushed_at, p.used_at)) FROM refs f
             JOIN repo_manifests p ON p.manifest_id = f.manifest_id
                 AND p.repository_id = l.repository_id
             WHERE f.digest = m.digest AND f.kind = 3), 0))"
    };
}

/// Whether `l` was read from an upstream, is in a repository that nobody pushed to, and leads to
/// no other manifest that is here.
macro_rules! evictable {
    () => {
        "l.origin = 2
         AND NOT EXISTS (SELECT 1 FROM repo_manifests x
             WHERE x.repository_id = l.repository_id AND x.origin = 1)
         AND NOT EXISTS (SELECT 1 FROM refs f JOIN manifests c ON c.digest = f.digest
             JOIN repo_manifests h
                 ON h.manifest_id = c.id AND h.repository_id = l.repository_id
             WHERE f.manifest_id = l.manifest_id AND f.kind = 3)"
    };
}

/// The repositories `r` that keep an upstream's content and nothing that was pushed.
macro_rules! kept {
    () => {
        "instr(r.name, '/') > 0
         AND EXISTS (SELECT 1 FROM repo_manifests u
             WHERE u.repository_id = r.id AND u.origin = 2)
         AND NOT EXISTS (SELECT 1 FROM repo_manifests x
             WHERE x.repository_id = r.id AND x.origin = 1)"
    };
}

/// A blob's row, its digest and its size.
type Row = (i64, Vec<u8>, i64);

impl Store {
    /// Writes down when manifests were used. May be undone by a power cut.
    pub async fn touch_manifests(
        &self,
        used: Vec<(RepositoryName, Digest, SystemTime)>,
    ) -> Result<(), StoreError> {
        self.inner
            .database
            .writer
            .write(Durability::Relaxed, move |transaction| {
                Box::pin(async move {
                    for (repository, digest, at) in used {
                        let result = sqlx::query(
                            "UPDATE repo_manifests SET used_at = max(used_at, $1)
                             WHERE repository_id = (SELECT id FROM repositories WHERE name = $2)
                               AND manifest_id = (SELECT id FROM manifests WHERE digest = $3)",
                        )
                        .bind(time_to_millis(at))
                        .bind(repository.as_str())
                        .bind(digest_to_bytes(&digest))
                        .execute(&mut transaction.connection)
                        .await;
                        result.map_err(|error| transaction.error(error))?;
                    }
                    Ok::<_, StoreError>(())
                })
            })
            .await
    }

    /// Bytes of the blobs and manifests that are kept of upstreams, each counted once for an
    /// upstream, by the first part of the repositories' names; and of what came of fills that were
    /// interrupted, where that is their source. Reads all of what is kept.
    pub async fn kept_bytes(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(concat!(
            "SELECT host, sum(size) FROM (
                 SELECT DISTINCT substr(r.name, 1, instr(r.name, '/') - 1) AS host, b.id, b.size
                 FROM repositories r
                 JOIN repo_blobs l ON l.repository_id = r.id
                 JOIN blobs b ON b.id = l.blob_id
                 WHERE ",
            kept!(),
            " UNION ALL SELECT * FROM (
                 SELECT DISTINCT substr(r.name, 1, instr(r.name, '/') - 1), m.id, length(m.body)
                 FROM repositories r
                 JOIN repo_manifests h ON h.repository_id = r.id AND h.origin = 2
                 JOIN manifests m ON m.id = h.manifest_id
                 WHERE ",
            kept!(),
            ")) GROUP BY host"
        ))
        .fetch_all(&self.inner.database.readers)
        .await
        .map_err(|error| self.inner.database.error(error))?;
        let mut kept: BTreeMap<String, u64> = rows
            .into_iter()
            .map(|(host, bytes)| (host, u64::try_from(bytes).unwrap_or(0)))
            .collect();
        for (host, bytes) in self.inner.interrupted.bytes() {
            *kept.entry(host).or_default() += bytes;
        }
        Ok(kept)
    }

    /// Manifests that can be given back, least recently used first; of `host` only, if one is
    /// given. At most `limit`, and where the next ones begin.
    pub async fn candidates(
        &self,
        host: Option<&str>,
        after: CandidatesAfter,
        limit: usize,
    ) -> Result<(Vec<Candidate>, CandidatesAfter), StoreError> {
        type Found = (i64, i64, i64, String, Vec<u8>);
        let rows: Vec<Found> = sqlx::query_as(concat!(
            "SELECT * FROM (
                 SELECT ",
            used!(),
            " AS used, l.repository_id, l.manifest_id, r.name, m.digest
                 FROM repo_manifests l
                 JOIN repositories r ON r.id = l.repository_id
                 JOIN manifests m ON m.id = l.manifest_id
                 WHERE ($1 IS NULL OR substr(r.name, 1, instr(r.name, '/') - 1) = $1) AND ",
            evictable!(),
            ") WHERE (used, repository_id, manifest_id) > ($2, $3, $4)
             ORDER BY used, repository_id, manifest_id LIMIT $5"
        ))
        .bind(host)
        .bind(after.0)
        .bind(after.1)
        .bind(after.2)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.inner.database.readers)
        .await
        .map_err(|error| self.inner.database.error(error))?;
        let mut candidates = Vec::with_capacity(rows.len());
        let mut last = after;
        for (used, repository, manifest, name, digest) in rows {
            last = CandidatesAfter(used, repository, manifest);
            let corrupt = || {
                self.inner
                    .database
                    .corrupt(format!("a manifest of '{name}'"))
            };
            candidates.push(Candidate {
                digest: digest_from_bytes(&digest).ok_or_else(corrupt)?,
                tags: self.tags_leading_to(repository, manifest, &digest).await?,
                repository: name.parse().map_err(|_| corrupt())?,
                used_at: time_from_millis(used),
            });
        }
        Ok((candidates, last))
    }

    async fn tags_leading_to(
        &self,
        repository: i64,
        manifest: i64,
        digest: &[u8],
    ) -> Result<Vec<Tag>, StoreError> {
        let names: Vec<String> = sqlx::query_scalar(
            "SELECT name FROM tags WHERE repository_id = $1 AND (manifest_id = $2
                 OR manifest_id IN (SELECT manifest_id FROM refs WHERE digest = $3 AND kind = 3))",
        )
        .bind(repository)
        .bind(manifest)
        .bind(digest)
        .fetch_all(&self.inner.database.readers)
        .await
        .map_err(|error| self.inner.database.error(error))?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Gives back a manifest that was not used since `unused_since`, with the indexes that lead
    /// to nothing else here, their tags, and the blobs that nothing else needs. Nothing, if it
    /// was used or is not to be given back any more.
    pub async fn evict(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        unused_since: SystemTime,
    ) -> Result<Option<Evicted>, StoreError> {
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

    /// Gives back blobs of upstreams that no manifest there names, and that came a while ago.
    pub async fn evict_strays(&self) -> Result<Evicted, StoreError> {
        let cutoff = SystemTime::now()
            .checked_sub(STRAY)
            .map_or(0, time_to_millis);
        let strays: Vec<(String, Vec<u8>)> = sqlx::query_as(concat!(
            "SELECT r.name, b.digest FROM repositories r
             JOIN repo_blobs l ON l.repository_id = r.id
             JOIN blobs b ON b.id = l.blob_id
             WHERE l.linked_at <= $1 AND ",
            kept!(),
            " AND NOT EXISTS (
                 SELECT 1 FROM refs f JOIN repo_manifests h ON h.manifest_id = f.manifest_id
                 WHERE f.digest = b.digest AND f.kind <> 4 AND h.repository_id = r.id)
             LIMIT 1000"
        ))
        .bind(cutoff)
        .fetch_all(&self.inner.database.readers)
        .await
        .map_err(|error| self.inner.database.error(error))?;
        if strays.is_empty() {
            return Ok(Evicted::default());
        }
        let writer = &self.inner.database.writer;
        let rows = writer
            .write(Durability::Full, move |transaction| {
                Box::pin(async move {
                    let mut rows = Vec::new();
                    for (name, digest) in strays {
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
        used!(),
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
    manifest::delete(transaction, repository.clone(), digest.clone()).await?;
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
enum Naming {
    /// All.
    Any,
    /// Those that were pushed or read from an upstream.
    Given,
    /// The same; and where no manifest names it at all, somebody may be pushing it.
    GivenOrNone,
}

async fn is_named(
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
async fn take(
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
