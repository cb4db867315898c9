//! The part of scrubbing for blobs: finds missing and damaged ones, and removes them from their
//! repositories if they are few.

use std::collections::HashSet;
use std::sync::Arc;

use metahub_oci::Digest;

use crate::blobs::blob::Blob;
use crate::content::bearable;
use crate::records::Cursor;
use crate::scrub::report::Finding;
use crate::scrub::run::{BATCH, Scrub, Wrong};
use crate::{Damage, StoreError};

/// Findings that are reported one by one; a report travels in one piece.
const FINDINGS: usize = 10_000;

/// So many damaged blobs are put aside however few blobs there are.
const DAMAGED: u64 = 8;

impl Scrub<'_> {
    pub(crate) async fn blobs(&mut self) -> Result<(), StoreError> {
        let records = Arc::clone(&self.store.inner.records);
        let mut after = Some(Cursor::default());
        while let Some(from) = after {
            let batch = records.all_blobs(from, BATCH).await?;
            after = batch.next;
            for digest in batch.items {
                match digest {
                    Ok(digest) => {
                        let size = self.blob(digest).await?;
                        self.checked(size).await;
                    }
                    Err(problem) => self.report.database.push(problem),
                }
            }
        }
        Ok(())
    }

    /// Checks one blob; its size.
    async fn blob(&mut self, digest: Digest) -> Result<u64, StoreError> {
        let looked = self.examine(&digest).await?;
        self.report.files += u64::from(looked.in_file);
        let Some(problem) = looked.problem else {
            return Ok(looked.size);
        };
        let missing = looked.missing;
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
                let damage = check(&blob).await?;
                Ok(Looked {
                    size: blob.size(),
                    in_file: !blob.is_inline(),
                    missing: damage == Some(Damage::Missing),
                    problem: damage.map(|damage| damage.to_string()),
                })
            }
            Err(StoreError::Corrupt { problem, .. }) => Ok(Looked {
                problem: Some(problem),
                ..Looked::default()
            }),
            Err(error) => Err(error),
        }
    }

    /// Unlinks damaged blobs from all repositories, unless there are so many that a mishap is more
    /// likely.
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
            // It may have been stored again meanwhile.
            let looked = self.examine(&digest).await?;
            if looked.problem.is_none() {
                healed.insert(digest);
                continue;
            }
            let is_missing = looked.missing;
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
        let inner = &self.store.inner;
        inner.content.quarantine(digest).await?;
        inner.records.forget_blob(digest).await
    }

    /// The repositories affected if the blob `digest` is damaged.
    async fn finding(&self, digest: &Digest, problem: String) -> Result<Finding, StoreError> {
        let affected = self.store.inner.records.affected_by_blob(digest).await?;
        Ok(Finding {
            digest: digest.clone(),
            problem,
            repositories: affected.repositories,
            sources: affected.sources,
        })
    }
}

/// The result of checking a blob.
#[derive(Default)]
struct Looked {
    size: u64,
    in_file: bool,
    missing: bool,
    problem: Option<String>,
}

/// What is wrong with a blob, if anything is.
pub(crate) async fn check(blob: &Blob) -> Result<Option<Damage>, StoreError> {
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
