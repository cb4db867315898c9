//! Scrubbing: rereads all content, checks digests and references, and puts aside what is wrong.
//!
//! A damaged or missing blob is taken from every repository that held it, so that the next push
//! or pull brings it again; its file goes to `quarantine`, never deleted. Unless too many are wrong
//! at once: then a mishap is more likely than as many losses, and nothing is taken. A damaged
//! manifest stays where it is: reading it fails, and storing it again makes it right.

use std::time::{Duration, Instant};

use metahub_oci::{Digest, RepositoryName};

use crate::StoreError;
use crate::records::sqlite::encoding::digest_from_bytes;
use crate::scrub_report::{Finding, ScrubOptions, ScrubProgress, ScrubReport};
use crate::store::Store;
use crate::task::blocking;

/// Rows that are looked at at once.
pub(crate) const BATCH: i64 = 100;

impl Store {
    /// Scrubs everything. Other work goes on meanwhile; `progress` is told after each object.
    pub async fn scrub(
        &self,
        options: ScrubOptions,
        mut progress: impl FnMut(ScrubProgress) + Send + Sync,
    ) -> Result<ScrubReport, StoreError> {
        self.check_in_place().await?;
        let total: i64 = sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM blobs) + (SELECT count(*) FROM manifests)",
        )
        .fetch_one(&self.inner.database.readers)
        .await
        .map_err(|error| self.inner.database.error(error))?;
        let mut scrub = Scrub {
            store: self,
            options,
            started: Instant::now(),
            progress: &mut progress,
            report: ScrubReport::default(),
            wrong: Vec::new(),
        };
        scrub.report.progress.total = u64::try_from(total).unwrap_or(0);
        scrub.database().await?;
        scrub.blobs().await?;
        scrub.put_aside().await?;
        scrub.manifests().await?;
        scrub.references().await?;
        scrub.orphans().await?;
        scrub.settle().await?;
        let report = scrub.report;
        tracing::info!(
            checked = report.progress.checked,
            bytes = report.progress.bytes,
            clean = report.is_clean(),
            "scrubbed"
        );
        Ok(report)
    }
}

/// A blob that is wrong.
pub(crate) struct Wrong {
    pub(crate) digest: Digest,
    pub(crate) missing: bool,
}

/// One scrub.
pub(crate) struct Scrub<'s> {
    pub(crate) store: &'s Store,
    pub(crate) options: ScrubOptions,
    started: Instant,
    progress: &'s mut (dyn FnMut(ScrubProgress) + Send + Sync),
    pub(crate) report: ScrubReport,
    /// Blobs that are missing or damaged.
    pub(crate) wrong: Vec<Wrong>,
}

impl Scrub<'_> {
    pub(crate) fn error(&self, error: sqlx::Error) -> StoreError {
        self.store.inner.database.error(error)
    }

    /// Notes one more object, and waits if that was too fast.
    pub(crate) async fn checked(&mut self, bytes: u64) {
        let progress = &mut self.report.progress;
        progress.checked += 1;
        progress.bytes += bytes;
        (self.progress)(*progress);
        let Some(limit) = self.options.bytes_per_second else {
            return;
        };
        let due = Duration::from_secs_f64(progress.bytes as f64 / limit.max(1) as f64);
        if let Some(early) = due.checked_sub(self.started.elapsed()) {
            tokio::time::sleep(early).await;
        }
    }

    async fn database(&mut self) -> Result<(), StoreError> {
        let lines: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check(20)")
            .fetch_all(&self.store.inner.database.readers)
            .await
            .map_err(|error| self.error(error))?;
        self.report.database = lines.into_iter().filter(|line| line != "ok").collect();
        Ok(())
    }

    async fn manifests(&mut self) -> Result<(), StoreError> {
        let mut after = 0;
        loop {
            let found: Vec<(i64, Vec<u8>, Vec<u8>)> = sqlx::query_as(
                "SELECT id, digest, body FROM manifests WHERE id > $1 ORDER BY id LIMIT $2",
            )
            .bind(after)
            .bind(BATCH)
            .fetch_all(&self.store.inner.database.readers)
            .await
            .map_err(|error| self.error(error))?;
            let Some(last) = found.last() else {
                return Ok(());
            };
            after = last.0;
            for (id, digest, body) in found {
                let size = body.len() as u64;
                let digest = digest_from_bytes(&digest);
                let matches = blocking(move || {
                    let matches = digest.as_ref().is_some_and(|digest| digest.matches(&body));
                    Ok::<_, StoreError>((matches, digest))
                });
                match matches.await? {
                    (true, _) => {}
                    (false, None) => {
                        let problem = format!("the digest of manifest {id} is none");
                        self.report.database.push(problem);
                    }
                    (false, Some(digest)) => self.damaged_manifest(id, digest).await?,
                }
                self.checked(size).await;
            }
        }
    }

    async fn damaged_manifest(&mut self, id: i64, digest: Digest) -> Result<(), StoreError> {
        tracing::error!(%digest, "damaged manifest");
        let holders: Vec<(String, Option<String>)> = sqlx::query_as(
            "SELECT r.name, h.source FROM repo_manifests h
             JOIN repositories r ON r.id = h.repository_id WHERE h.manifest_id = $1 ORDER BY r.name",
        )
        .bind(id)
        .fetch_all(&self.store.inner.database.readers)
        .await
        .map_err(|error| self.error(error))?;
        let names = holders.iter().filter_map(|(name, _)| name.parse().ok());
        let repositories: Vec<RepositoryName> = names.collect();
        // What is in memory is right: it was verified when it was read.
        self.report.manifests.push(Finding {
            digest,
            problem: "its bytes hash to something else".to_owned(),
            repositories,
            sources: holders
                .into_iter()
                .filter_map(|(_, source)| source)
                .collect(),
        });
        Ok(())
    }

    /// Looks for what pushed manifests refer to and their repositories do not hold.
    async fn references(&mut self) -> Result<(), StoreError> {
        let missing: Vec<(Vec<u8>, String)> = sqlx::query_as(
            "SELECT f.digest, r.name FROM repo_manifests h
             JOIN refs f ON f.manifest_id = h.manifest_id
             JOIN repositories r ON r.id = h.repository_id
             WHERE h.origin = 1 AND f.kind <> 4
               AND NOT EXISTS (SELECT 1 FROM blobs b JOIN repo_blobs l ON l.blob_id = b.id
                               WHERE b.digest = f.digest AND l.repository_id = h.repository_id)
               AND NOT EXISTS (SELECT 1 FROM manifests m
                               JOIN repo_manifests o ON o.manifest_id = m.id
                               WHERE m.digest = f.digest AND o.repository_id = h.repository_id)
             GROUP BY f.digest, r.name ORDER BY f.digest, r.name LIMIT 10000",
        )
        .fetch_all(&self.store.inner.database.readers)
        .await
        .map_err(|error| self.error(error))?;
        for (digest, name) in missing {
            let (Some(digest), Ok(name)) = (digest_from_bytes(&digest), name.parse()) else {
                continue;
            };
            if self.adopt(&digest, &name).await? {
                continue;
            }
            if let Some(last) = self
                .report
                .missing
                .last_mut()
                .filter(|f| f.digest == digest)
            {
                last.repositories.push(name);
                continue;
            }
            self.report.missing.push(Finding {
                digest,
                problem: "a manifest refers to it and the repository does not hold it".to_owned(),
                repositories: vec![name],
                sources: Vec::new(),
            });
        }
        Ok(())
    }
}
