//! The part of scrubbing that looks at blobs: which are missing or damaged, and taking those from
//! their repositories if there are few.

use std::collections::HashSet;

use metahub_oci::Digest;

use crate::StoreError;
use crate::blob::Blob;
use crate::content::{MISSING, bearable};
use crate::records::Change;
use crate::records::sqlite::encoding::{digest_from_bytes, digest_to_bytes};
use crate::records::sqlite::writer::Durability;
use crate::scrub::{BATCH, Scrub, Wrong};
use crate::scrub_report::Finding;
use crate::store::Store;

/// Findings that are reported one by one; a report travels in one piece.
const FINDINGS: usize = 10_000;

/// So many damaged blobs are put aside however few blobs there are.
const DAMAGED: u64 = 8;

/// The repositories that may read a blob.
const HOLDERS: &str = "SELECT r.name FROM repo_blobs l
    JOIN repositories r ON r.id = l.repository_id
    WHERE l.blob_id = (SELECT id FROM blobs WHERE digest = $1) ORDER BY r.name";

impl Scrub<'_> {
    pub(crate) async fn blobs(&mut self) -> Result<(), StoreError> {
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
        let looked = self.examine(&digest).await?;
        self.report.files += u64::from(looked.in_file);
        let Some(problem) = looked.problem else {
            return Ok(looked.size);
        };
        let missing = problem == MISSING;
        if self.wrong.len() < FINDINGS {
            let finding = self.finding(&digest, problem).await?;
            tracing::error!(%digest, problem = finding.problem, "damaged content");
            self.report.blobs.push(finding);
        }
        self.wrong.push(Wrong { digest, missing });
        Ok(looked.size)
    }

    /// What a blob is like. Nothing is wrong with one that was collected meanwhile.
    async fn examine(&self, digest: &Digest) -> Result<Looked, StoreError> {
        match self.store.inner.records.stored_blob(digest).await {
            Ok(None) => Ok(Looked::default()),
            Ok(Some(access)) => {
                let blob = self.store.known_blob(digest, access, None);
                Ok(Looked {
                    size: blob.size(),
                    in_file: !blob.is_inline(),
                    problem: check(&blob).await?,
                })
            }
            Err(StoreError::Corrupt { problem, .. }) => Ok(Looked {
                problem: Some(problem),
                ..Looked::default()
            }),
            Err(error) => Err(error),
        }
    }

    /// Takes what is wrong from everybody, unless so much is that a mishap is more likely.
    pub(crate) async fn put_aside(&mut self) -> Result<(), StoreError> {
        let wrong = std::mem::take(&mut self.wrong);
        let absent = wrong.iter().filter(|wrong| wrong.missing).count() as u64;
        let damaged = wrong.len() as u64 - absent;
        let few = bearable(self.report.files);
        let (keep_missing, keep_damaged) = if self.options.accept_loss {
            (false, false)
        } else {
            (absent > few, damaged > few.max(DAMAGED))
        };
        if keep_missing || keep_damaged {
            self.report.withheld = Some(format!(
                "of {} files, {absent} are missing and {damaged} damaged: too many for anything \
                 but a mishap, so nothing was taken from its repositories; if they are lost, use \
                 --accept-loss",
                self.report.files
            ));
        }
        // Garbage collection and backups find the files as they are, or put aside.
        let _removing = self.store.inner.removing.lock().await;
        self.store.check_in_place().await?;
        let mut healed = HashSet::new();
        for Wrong { digest, missing } in wrong {
            let guard = self.store.inner.guard(&digest).await;
            // Somebody may have brought it again meanwhile.
            let Some(problem) = self.examine(&digest).await?.problem else {
                healed.insert(digest);
                continue;
            };
            let is_missing = problem == MISSING;
            self.report.absent += u64::from(is_missing);
            self.report.damaged += u64::from(!is_missing);
            let keep = if missing || is_missing {
                keep_missing
            } else {
                keep_damaged
            };
            if !keep && !self.options.dry_run {
                self.quarantine(&digest).await?;
            }
            drop(guard);
        }
        self.report
            .blobs
            .retain(|finding| !healed.contains(&finding.digest));
        Ok(())
    }

    /// Takes a blob from everybody and puts its file aside.
    async fn quarantine(&self, digest: &Digest) -> Result<(), StoreError> {
        self.store.inner.content.quarantine(digest).await?;
        self.store.remove_row(digest).await
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
}

/// What was seen of a blob.
#[derive(Default)]
struct Looked {
    size: u64,
    in_file: bool,
    problem: Option<String>,
}

impl Store {
    /// Takes a blob from every repository.
    async fn remove_row(&self, digest: &Digest) -> Result<(), StoreError> {
        let (digest, writer) = (digest.clone(), &self.inner.database.writer);
        writer
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
}

/// What is wrong with a blob, if anything is.
pub(crate) async fn check(blob: &Blob) -> Result<Option<String>, StoreError> {
    let outcome = match blob.open().await {
        Ok(mut open) => open.verify_again().await,
        Err(error) => Err(error),
    };
    match outcome {
        Ok(()) => Ok(None),
        Err(StoreError::Damaged { problem, .. }) => Ok(Some(problem)),
        Err(error) => Err(error),
    }
}
