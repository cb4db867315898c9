//! What is cached from upstreams: how much it is, when it was used, and which manifests of it can be
//! given back, least recently used first. Reads all of that from the database, and gives nothing
//! back itself; see [`crate::evict`].

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use metahub_oci::{Digest, RepositoryName, Tag};

use crate::StoreError;
use crate::records::sqlite::encoding::{
    digest_from_bytes, digest_to_bytes, time_from_millis, time_to_millis,
};
use crate::records::sqlite::writer::Durability;
use crate::store::Store;

/// A manifest that can be given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The repository that keeps it.
    pub repository: RepositoryName,
    /// The manifest.
    pub digest: Digest,
    /// When it, or an index that leads to it, was used last.
    pub used_at: SystemTime,
    repository_id: i64,
    manifest_id: i64,
}

/// A use of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// The repository that keeps it.
    pub repository: RepositoryName,
    /// The manifest.
    pub digest: Digest,
    /// When.
    pub at: SystemTime,
    /// By whom: as [`crate::PutManifest::brought_by`] has it.
    pub by: i64,
}

/// Which manifests are looked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Which<'h> {
    /// Those of this host only.
    pub host: Option<&'h str>,
    /// Those only that a single client without an account asked for.
    pub of_one_client: bool,
}

/// Where a list of candidates goes on.
#[derive(Clone, Copy, Debug, Default)]
pub struct CandidatesAfter(i64, i64, i64);

/// When `l`, or a manifest of its repository that leads to its manifest `m`, was used.
macro_rules! last_used {
    () => {
        "max(l.pushed_at, l.used_at, coalesce((
             SELECT max(max(p.pushed_at, p.used_at)) FROM refs f
             JOIN repo_manifests p ON p.manifest_id = f.manifest_id
                 AND p.repository_id = l.repository_id
             WHERE f.digest = m.digest AND f.kind = 3), 0))"
    };
}

/// Whether `l` was read from an upstream, is in a repository whose name is not local, and leads to
/// no other manifest that is here.
macro_rules! evictable {
    () => {
        "l.origin = 2
         AND NOT EXISTS (SELECT 1 FROM local_names x JOIN repositories y ON y.name = x.name
             WHERE y.id = l.repository_id)
         AND NOT EXISTS (SELECT 1 FROM refs f JOIN manifests c ON c.digest = f.digest
             JOIN repo_manifests h
                 ON h.manifest_id = c.id AND h.repository_id = l.repository_id
             WHERE f.manifest_id = l.manifest_id AND f.kind = 3)"
    };
}

/// The repositories `r` that keep an upstream's content and whose names are not local.
macro_rules! kept {
    () => {
        "instr(r.name, '/') > 0
         AND (EXISTS (SELECT 1 FROM repo_manifests u
                 WHERE u.repository_id = r.id AND u.origin = 2)
             OR EXISTS (SELECT 1 FROM repo_blobs g
                 WHERE g.repository_id = r.id AND g.given = 1))
         AND NOT EXISTS (SELECT 1 FROM local_names x WHERE x.name = r.name)"
    };
}

pub(crate) use {evictable, kept, last_used};

/// Counts what is kept from its rows alone: what the totals must say.
const RECOUNTED: &str = concat!(
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
    ")) GROUP BY host HAVING sum(size) > 0"
);

impl Store {
    /// Writes down when manifests were used, and by how many. May be undone by a power cut.
    pub async fn touch_manifests(&self, used: Vec<Use>) -> Result<(), StoreError> {
        self.inner
            .database
            .writer
            .write(Durability::Relaxed, move |transaction| {
                Box::pin(async move {
                    for one in used {
                        let result = sqlx::query(
                            "UPDATE repo_manifests SET used_at = max(used_at, $1),
                                 brought_by = CASE WHEN brought_by = $4 THEN $4 ELSE 0 END
                             WHERE repository_id = (SELECT id FROM repositories WHERE name = $2)
                               AND manifest_id = (SELECT id FROM manifests WHERE digest = $3)",
                        )
                        .bind(time_to_millis(one.at))
                        .bind(one.repository.as_str())
                        .bind(digest_to_bytes(&one.digest))
                        .bind(one.by)
                        .execute(&mut transaction.connection)
                        .await;
                        result.map_err(|error| transaction.error(error))?;
                        let result = sqlx::query(
                            "UPDATE derived SET used_at = max(used_at, $1)
                             WHERE repository_id = (SELECT id FROM repositories WHERE name = $2)
                               AND manifest_id = (SELECT id FROM manifests WHERE digest = $3)",
                        )
                        .bind(time_to_millis(one.at))
                        .bind(one.repository.as_str())
                        .bind(digest_to_bytes(&one.digest))
                        .execute(&mut transaction.connection)
                        .await;
                        result.map_err(|error| transaction.error(error))?;
                    }
                    Ok::<_, StoreError>(())
                })
            })
            .await
    }

    /// Bytes of the blobs and manifests that are cached from upstreams, each counted once for an
    /// upstream, by the first part of the repositories' names; and of what came of fills that were
    /// interrupted, where that is their source. Costs the same however much is kept.
    pub async fn kept_bytes(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        let mut kept = self
            .bytes_by_host("SELECT host, bytes FROM kept_totals WHERE bytes > 0")
            .await?;
        for (host, bytes) in self.inner.content.resumable_bytes() {
            *kept.entry(host).or_default() += bytes;
        }
        Ok(kept)
    }

    /// The same without what was interrupted, counted anew from all of what is kept: for tests.
    #[doc(hidden)]
    pub async fn recounted_bytes(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        self.bytes_by_host(RECOUNTED).await
    }

    async fn bytes_by_host(
        &self,
        query: &'static str,
    ) -> Result<BTreeMap<String, u64>, StoreError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(query)
            .fetch_all(&self.inner.database.readers)
            .await
            .map_err(|error| self.inner.database.error(error))?;
        let parsed = rows.into_iter();
        Ok(parsed
            .map(|(host, bytes)| (host, u64::try_from(bytes).unwrap_or(0)))
            .collect())
    }

    /// Bytes of what only single clients without an account asked for: blobs that no other
    /// manifest of their repository names, and manifests. Reads all of what is kept.
    pub async fn bytes_of_one_client(&self) -> Result<u64, StoreError> {
        let bytes: i64 = sqlx::query_scalar(concat!(
            "SELECT coalesce(sum(size), 0) FROM (
                 SELECT DISTINCT b.id, b.size FROM repositories r
                 JOIN repo_blobs l ON l.repository_id = r.id
                 JOIN blobs b ON b.id = l.blob_id
                 WHERE ",
            kept!(),
            " AND NOT EXISTS (SELECT 1 FROM refs f
                     JOIN repo_manifests h
                         ON h.manifest_id = f.manifest_id AND h.repository_id = r.id
                     WHERE f.digest = b.digest AND f.kind <> 4 AND h.brought_by = 0)
             UNION ALL SELECT * FROM (
                 SELECT DISTINCT -m.id, length(m.body) FROM repositories r
                 JOIN repo_manifests h ON h.repository_id = r.id AND h.brought_by <> 0
                 JOIN manifests m ON m.id = h.manifest_id))"
        ))
        .fetch_one(&self.inner.database.readers)
        .await
        .map_err(|error| self.inner.database.error(error))?;
        Ok(u64::try_from(bytes).unwrap_or(0))
    }

    /// How often all manifests that are kept were put in order since the start.
    #[must_use]
    pub fn orderings(&self) -> u64 {
        self.inner.orderings.load(Ordering::Relaxed)
    }

    /// Manifests that can be given back, least recently used first. At most `limit`, and where
    /// the next ones begin. Puts all in order, whatever the limit is: ask for many at once.
    pub async fn candidates(
        &self,
        which: Which<'_>,
        after: CandidatesAfter,
        limit: usize,
    ) -> Result<(Vec<Candidate>, CandidatesAfter), StoreError> {
        type Found = (i64, i64, i64, String, Vec<u8>);
        self.inner.orderings.fetch_add(1, Ordering::Relaxed);
        let rows: Vec<Found> = sqlx::query_as(concat!(
            "SELECT * FROM (
                 SELECT ",
            last_used!(),
            " AS used, l.repository_id, l.manifest_id, r.name, m.digest
                 FROM repo_manifests l
                 JOIN repositories r ON r.id = l.repository_id
                 JOIN manifests m ON m.id = l.manifest_id
                 WHERE ($1 IS NULL OR substr(r.name, 1, instr(r.name, '/') - 1) = $1)
                     AND ($6 = 0 OR l.brought_by <> 0) AND ",
            evictable!(),
            ") WHERE (used, repository_id, manifest_id) > ($2, $3, $4)
             ORDER BY used, repository_id, manifest_id LIMIT $5"
        ))
        .bind(which.host)
        .bind(after.0)
        .bind(after.1)
        .bind(after.2)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .bind(which.of_one_client)
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
                repository: name.parse().map_err(|_| corrupt())?,
                used_at: time_from_millis(used),
                repository_id: repository,
                manifest_id: manifest,
            });
        }
        Ok((candidates, last))
    }

    /// The tags that lead to it.
    pub async fn tags_of(&self, candidate: &Candidate) -> Result<Vec<Tag>, StoreError> {
        let names: Vec<String> = sqlx::query_scalar(
            "SELECT name FROM tags WHERE repository_id = $1 AND (manifest_id = $2
                 OR manifest_id IN (SELECT manifest_id FROM refs WHERE digest = $3 AND kind = 3))",
        )
        .bind(candidate.repository_id)
        .bind(candidate.manifest_id)
        .bind(digest_to_bytes(&candidate.digest))
        .fetch_all(&self.inner.database.readers)
        .await
        .map_err(|error| self.inner.database.error(error))?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }
}
