//! Content cached from upstreams: uses, totals and candidates for eviction.

use std::collections::BTreeMap;
use std::time::SystemTime;

use metahub_oci::{Digest, RepositoryName, Tag};

use super::encoding::{digest_from_bytes, digest_to_bytes, time_from_millis, time_to_millis};
use super::eviction_rules::{evictable, last_used};
use super::transaction::Durability;
use super::{SqliteRecords, eviction};
use crate::StoreError;
use crate::records::{
    Answer, CacheRecords, Candidate, CandidatesAfter, EvictedManifest, UnlinkedBlob, Use, Which,
};

/// Whether the repository `r` is an upstream's, from its rows alone.
macro_rules! is_upstreams {
    () => {
        "r.host IS NOT NULL
         AND (EXISTS (SELECT 1 FROM fetched_manifests u WHERE u.repository_id = r.id)
             OR EXISTS (SELECT 1 FROM repo_blobs g WHERE g.repository_id = r.id AND g.given))
         AND NOT EXISTS (SELECT 1 FROM local_names x WHERE x.name = r.name)"
    };
}

statements! {
    USE_MANIFEST = concat!(
        "UPDATE repo_manifests SET used_at = max(used_at, $1),
             brought_by = CASE WHEN brought_by = $4 THEN $4 ELSE ",
        shared!(),
        " END
         WHERE repository_id = (SELECT id FROM repositories WHERE name = $2)
           AND manifest_id = (SELECT id FROM manifests WHERE digest = $3)"
    );
    USE_DERIVED =
        "UPDATE derived SET used_at = max(used_at, $1)
         WHERE repository_id = (SELECT id FROM repositories WHERE name = $2)
           AND manifest_id IN (
               SELECT id FROM manifests WHERE digest = $3
               UNION SELECT manifest_id FROM child_refs WHERE digest = $3)";
    TOTALS = "SELECT host, bytes FROM cached_totals WHERE bytes > 0";
    RECOUNTED = concat!(
        "SELECT host, sum(size) FROM (
             SELECT DISTINCT r.host, b.id, b.size FROM repositories r
             JOIN repo_blobs l ON l.repository_id = r.id
             JOIN blobs b ON b.id = l.blob_id
             WHERE ",
        is_upstreams!(),
        " UNION ALL SELECT * FROM (
             SELECT DISTINCT r.host, m.id, length(m.body) FROM repositories r
             JOIN fetched_manifests h ON h.repository_id = r.id
             JOIN manifests m ON m.id = h.manifest_id
             WHERE ",
        is_upstreams!(),
        ")) GROUP BY host HAVING sum(size) > 0"
    );
    OF_ONE_CLIENT = concat!(
        "SELECT coalesce(sum(size), 0) FROM (
             SELECT DISTINCT b.id, b.size FROM repositories r
             JOIN repo_blobs l ON l.repository_id = r.id
             JOIN blobs b ON b.id = l.blob_id
             WHERE r.kind = 'upstream' AND NOT EXISTS (SELECT 1 FROM needed_refs f
                 CROSS JOIN repo_manifests h
                     ON h.manifest_id = f.manifest_id AND h.repository_id = r.id
                 WHERE f.digest = b.digest AND h.brought_by = ",
        shared!(),
        ")
             UNION ALL SELECT * FROM (
                 SELECT DISTINCT -m.id, length(m.body) FROM original_manifests h
                 JOIN manifests m ON m.id = h.manifest_id WHERE h.brought_by <> ",
        shared!(),
        "))"
    );
    CANDIDATES = concat!(
        "SELECT * FROM (
             SELECT ",
        last_used!(),
        " AS used, l.repository_id, l.manifest_id, r.name, m.digest
             FROM fetched_manifests l
             JOIN repositories r ON r.id = l.repository_id
             JOIN manifests m ON m.id = l.manifest_id
             WHERE ($1 IS NULL OR r.host = $1) AND (NOT $6 OR l.brought_by <> ",
        shared!(),
        ") AND ",
        evictable!(),
        ") WHERE (used, repository_id, manifest_id) > ($2, $3, $4)
         ORDER BY used, repository_id, manifest_id LIMIT $5"
    );
    TAGS_LEADING_TO =
        "SELECT name FROM tags WHERE repository_id = (SELECT id FROM repositories WHERE name = $1)
             AND manifest_id IN (
                 SELECT id FROM manifests WHERE digest = $2
                 UNION SELECT manifest_id FROM child_refs WHERE digest = $2)
         ORDER BY name";
}

impl SqliteRecords {
    async fn bytes_by_host(
        &self,
        statement: &'static str,
    ) -> Result<BTreeMap<String, u64>, StoreError> {
        let query = sqlx::query_as(statement);
        let rows: Vec<(String, i64)> = self.read(query.fetch_all(&self.readers)).await?;
        let parsed = rows.into_iter();
        Ok(parsed
            .map(|(host, bytes)| (host, u64::try_from(bytes).unwrap_or(0)))
            .collect())
    }
}

impl CacheRecords for SqliteRecords {
    fn record_use(&self, used: Vec<Use>) -> Answer<'_, ()> {
        self.write(Durability::Relaxed, move |transaction| {
            Box::pin(async move {
                for one in used {
                    for (statement, is_shared) in [(USE_MANIFEST, true), (USE_DERIVED, false)] {
                        let mut query = sqlx::query(statement)
                            .bind(time_to_millis(one.at))
                            .bind(one.repository.as_str())
                            .bind(digest_to_bytes(&one.digest));
                        if is_shared {
                            query = query.bind(one.by);
                        }
                        let result = query.execute(&mut transaction.connection).await;
                        result.map_err(|error| transaction.error(error))?;
                    }
                }
                Ok::<_, StoreError>(())
            })
        })
    }

    fn cached_bytes(&self) -> Answer<'_, BTreeMap<String, u64>> {
        Box::pin(self.bytes_by_host(TOTALS))
    }

    fn recounted_bytes(&self) -> Answer<'_, BTreeMap<String, u64>> {
        Box::pin(self.bytes_by_host(RECOUNTED))
    }

    fn bytes_of_one_client(&self) -> Answer<'_, u64> {
        Box::pin(async move {
            let query = sqlx::query_scalar(OF_ONE_CLIENT);
            let bytes: i64 = self.read(query.fetch_one(&self.readers)).await?;
            Ok(u64::try_from(bytes).unwrap_or(0))
        })
    }

    fn eviction_candidates(
        &self,
        which: Which<'_>,
        after: CandidatesAfter,
        limit: usize,
    ) -> Answer<'_, (Vec<Candidate>, CandidatesAfter)> {
        type Found = (i64, i64, i64, String, Vec<u8>);
        let query = sqlx::query_as(CANDIDATES)
            .bind(which.host.map(str::to_owned))
            .bind(after.used_at)
            .bind(after.repository)
            .bind(after.manifest)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .bind(which.of_one_client);
        Box::pin(async move {
            let rows: Vec<Found> = self.read(query.fetch_all(&self.readers)).await?;
            let mut candidates = Vec::with_capacity(rows.len());
            let mut last = after;
            for (used_at, repository, manifest, name, digest) in rows {
                last = CandidatesAfter {
                    used_at,
                    repository,
                    manifest,
                };
                let corrupt = || self.corrupt(format!("a manifest of '{name}'"));
                candidates.push(Candidate {
                    digest: digest_from_bytes(&digest).ok_or_else(corrupt)?,
                    repository: name.parse().map_err(|_| corrupt())?,
                    used_at: time_from_millis(used_at),
                });
            }
            Ok((candidates, last))
        })
    }

    fn tags_leading_to(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Answer<'_, Vec<Tag>> {
        let query = sqlx::query_scalar(TAGS_LEADING_TO)
            .bind(repository.to_string())
            .bind(digest_to_bytes(digest));
        Box::pin(async move {
            let names: Vec<String> = self.read(query.fetch_all(&self.readers)).await?;
            Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
        })
    }

    fn evict_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        unused_since: SystemTime,
    ) -> Answer<'_, Option<EvictedManifest>> {
        let (repository, digest) = (repository.clone(), digest.clone());
        let cutoff = time_to_millis(unused_since);
        self.write(Durability::Full, move |transaction| {
            Box::pin(eviction::evict(transaction, repository, digest, cutoff))
        })
    }

    fn evict_unreferenced(
        &self,
        linked_before: SystemTime,
        given_before: SystemTime,
        limit: u32,
    ) -> Answer<'_, Vec<UnlinkedBlob>> {
        let cutoffs = (time_to_millis(linked_before), time_to_millis(given_before));
        Box::pin(async move {
            // All of the cache is read concurrently with the writer, which then checks again.
            let found = self
                .read(eviction::unreferenced(&self.readers, cutoffs, limit))
                .await?;
            if found.is_empty() {
                return Ok(Vec::new());
            }
            self.write(Durability::Full, move |transaction| {
                Box::pin(eviction::take_unreferenced(transaction, found))
            })
            .await
        })
    }
}
