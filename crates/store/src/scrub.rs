//! Scrubbing: rereads all content, checks digests and references, and puts aside what is wrong.
//!
//! A damaged or vanished blob is taken from every repository that held it, so that the next push
//! or pull brings it again; its file goes to `quarantine`, never deleted. A damaged manifest stays
//! where it is: reading it fails, and storing it again makes it right. What is affected is told.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use metahub_oci::{Digest, RepositoryName};

use crate::StoreError;
use crate::blob::Blob;
use crate::cache::Change;
use crate::encoding::{digest_from_bytes, digest_to_bytes};
use crate::layout::sync_folder;
use crate::scrub_report::{Finding, ScrubOptions, ScrubProgress, ScrubReport};
use crate::store::{Store, blocking};
use crate::writer::Durability;

/// Rows that are looked at at once.
const BATCH: i64 = 100;

/// The repositories that may read a blob.
const HOLDERS: &str = "SELECT r.name FROM repo_blobs l
    JOIN repositories r ON r.id = l.repository_id
    WHERE l.blob_id = (SELECT id FROM blobs WHERE digest = $1) ORDER BY r.name";

impl Store {
    /// Scrubs everything. Other work goes on meanwhile; `progress` is told after each object.
    pub async fn scrub(
        &self,
        options: ScrubOptions,
        mut progress: impl FnMut(ScrubProgress) + Send + Sync,
    ) -> Result<ScrubReport, StoreError> {
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
        };
        scrub.report.progress.total = u64::try_from(total).unwrap_or(0);
        scrub.database().await?;
        scrub.blobs().await?;
        scrub.manifests().await?;
        scrub.references().await?;
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

struct Scrub<'s> {
    store: &'s Store,
    options: ScrubOptions,
    started: Instant,
    progress: &'s mut (dyn FnMut(ScrubProgress) + Send + Sync),
    report: ScrubReport,
}

impl Scrub<'_> {
    fn error(&self, error: sqlx::Error) -> StoreError {
        self.store.inner.database.error(error)
    }

    /// Notes one more object, and waits if that was too fast.
    async fn checked(&mut self, bytes: u64) {
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

    async fn blobs(&mut self) -> Result<(), StoreError> {
        let mut after = 0;
        loop {
            let found: Vec<(i64, Vec<u8>)> =
                sqlx::query_as("SELECT id, digest FROM blobs WHERE id > $1 ORDER BY id LIMIT $2")
                    .bind(after)
                    .bind(BATCH)
                    .fetch_all(&self.store.inner.database.readers)
                    .await
                    .map_err(|error| self.error(error))?;
            let Some(last) = found.last() else {
                return Ok(());
            };
            after = last.0;
            for (id, digest) in found {
                let Some(digest) = digest_from_bytes(&digest) else {
                    let problem = format!("the digest of blob {id} is none");
                    self.report.database.push(problem);
                    continue;
                };
                let size = self.blob(digest).await?;
                self.checked(size).await;
            }
        }
    }

    /// Checks one blob; its size.
    async fn blob(&mut self, digest: Digest) -> Result<u64, StoreError> {
        let inner = &self.store.inner;
        let (size, problem) = self.examine(&digest).await?;
        if problem.is_none() {
            return Ok(size);
        }
        // Somebody may have brought it again while it was read.
        let guard = inner.guard(&digest).await;
        let (size, Some(problem)) = self.examine(&digest).await? else {
            return Ok(size);
        };
        let finding = self.finding(&digest, problem).await?;
        tracing::error!(%digest, problem = finding.problem, "damaged content");
        if !self.options.dry_run {
            self.quarantine(&digest).await?;
        }
        drop(guard);
        self.report.blobs.push(finding);
        Ok(size)
    }

    /// The size of a blob, and what is wrong with it. Nothing is with one that was collected
    /// meanwhile.
    async fn examine(&self, digest: &Digest) -> Result<(u64, Option<String>), StoreError> {
        match self.store.row(digest).await {
            Ok(None) => Ok((0, None)),
            Ok(Some(blob)) => Ok((blob.size(), check(&blob).await?)),
            Err(StoreError::Corrupt { problem, .. }) => Ok((0, Some(problem))),
            Err(error) => Err(error),
        }
    }

    /// Takes a blob from everybody and puts its file aside.
    async fn quarantine(&self, digest: &Digest) -> Result<(), StoreError> {
        let inner = &self.store.inner;
        let (from, folder) = (inner.blob_path(digest), inner.layout.quarantine());
        let to = folder.join(digest.hex());
        blocking(move || {
            fs::create_dir_all(&folder)
                .map_err(|error| StoreError::io("create the folder", &folder, error))?;
            match fs::rename(&from, &to) {
                Ok(()) => sync_folder(&folder),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                Err(error) => Err(StoreError::io("move", &from, error)),
            }
        })
        .await?;
        inner.verified.forget(digest);
        let digest = digest.clone();
        inner
            .database
            .writer
            .write(Durability::Full, move |transaction| {
                Box::pin(async move {
                    let key = digest_to_bytes(&digest);
                    let names = sqlx::query_scalar(HOLDERS)
                        .bind(key.clone())
                        .fetch_all(&mut transaction.connection)
                        .await;
                    let names: Vec<String> = names.map_err(|error| transaction.error(error))?;
                    for statement in [
                        "DELETE FROM repo_blobs
                         WHERE blob_id = (SELECT id FROM blobs WHERE digest = $1)",
                        "DELETE FROM blobs WHERE digest = $1",
                    ] {
                        let result = sqlx::query(statement)
                            .bind(key.clone())
                            .execute(&mut transaction.connection)
                            .await;
                        result.map_err(|error| transaction.error(error))?;
                    }
                    for repository in names.iter().filter_map(|name| name.parse().ok()) {
                        transaction.changed(Change::Blob(repository, digest.clone()));
                    }
                    Ok::<_, StoreError>(())
                })
            })
            .await
    }

    /// Who is affected if the blob `digest` is wrong.
    async fn finding(&self, digest: &Digest, problem: String) -> Result<Finding, StoreError> {
        let key = digest_to_bytes(digest);
        let readers = &self.store.inner.database.readers;
        let names: Vec<String> = sqlx::query_scalar(HOLDERS)
            .bind(key.clone())
            .fetch_all(readers)
            .await
            .map_err(|error| self.error(error))?;
        let sources: Vec<String> = sqlx::query_scalar(
            "SELECT DISTINCT h.source FROM refs f
             JOIN repo_manifests h ON h.manifest_id = f.manifest_id
             WHERE f.digest = $1 AND h.source IS NOT NULL ORDER BY h.source",
        )
        .bind(key)
        .fetch_all(readers)
        .await
        .map_err(|error| self.error(error))?;
        Ok(Finding {
            digest: digest.clone(),
            problem,
            repositories: names.iter().filter_map(|name| name.parse().ok()).collect(),
            sources,
        })
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

impl Store {
    /// A blob as its row says, whether or not its file is there.
    async fn row(&self, digest: &Digest) -> Result<Option<Blob>, StoreError> {
        let row = sqlx::query_as("SELECT size, body FROM blobs WHERE digest = $1")
            .bind(digest_to_bytes(digest))
            .fetch_optional(&self.inner.database.readers)
            .await
            .map_err(|error| self.inner.database.error(error))?;
        self.of_row(digest, row, None)
    }
}

/// What is wrong with a blob, if anything is.
async fn check(blob: &Blob) -> Result<Option<String>, StoreError> {
    let outcome = match blob.open().await {
        Ok(open) => open.verify_again().await,
        Err(error) => Err(error),
    };
    match outcome {
        Ok(()) => Ok(None),
        Err(StoreError::Damaged { problem, .. }) => Ok(Some(problem)),
        Err(error) => Err(error),
    }
}
