//! Scrubbing: rereads all content, checks digests and references, and quarantines damaged blobs.
//!
//! A damaged or missing blob is removed from every repository that held it, so that the next push
//! or pull stores it again; its file goes to `quarantine` and is never deleted. If too many are
//! damaged at once, an unmounted disk is likelier than as many losses, and nothing is removed. A
//! damaged manifest stays: reading it fails, and storing it again repairs it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metahub_oci::Digest;

use crate::StoreError;
use crate::records::{Cursor, StoredBody};
use crate::scrub::report::{Finding, ScrubOptions, ScrubProgress, ScrubReport};
use crate::store::Store;
use crate::task::blocking;

/// Rows that are looked at at once.
pub(crate) const BATCH: u32 = 100;

/// Missing references that are looked at, at most.
const REFERENCES: u32 = 10_000;

impl Store {
    /// Scrubs everything. Other work continues meanwhile; `progress` is called after each object.
    pub async fn scrub(
        &self,
        options: ScrubOptions,
        mut progress: impl FnMut(ScrubProgress) + Send + Sync,
    ) -> Result<ScrubReport, StoreError> {
        self.check_in_place().await?;
        let total = self.inner.records.count_content().await?;
        let mut scrub = Scrub {
            store: self,
            options,
            started: Instant::now(),
            progress: &mut progress,
            report: ScrubReport::default(),
            wrong: Vec::new(),
        };
        scrub.report.progress.total = total;
        scrub.report.database = self.inner.records.check_integrity().await?;
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

    async fn manifests(&mut self) -> Result<(), StoreError> {
        let records = Arc::clone(&self.store.inner.records);
        let mut after = Some(Cursor::default());
        while let Some(from) = after {
            let batch = records.all_manifests(from, BATCH).await?;
            after = batch.next;
            for StoredBody { digest, bytes } in batch.items {
                let size = bytes.len() as u64;
                match digest {
                    Err(problem) => self.report.database.push(problem),
                    Ok(digest) => {
                        let known = digest.clone();
                        let matches = blocking(move || Ok::<_, StoreError>(known.matches(&bytes)));
                        if !matches.await? {
                            self.damaged_manifest(digest).await?;
                        }
                    }
                }
                self.checked(size).await;
            }
        }
        Ok(())
    }

    async fn damaged_manifest(&mut self, digest: Digest) -> Result<(), StoreError> {
        tracing::error!(%digest, "damaged manifest");
        let records = &self.store.inner.records;
        let affected = records.affected_by_manifest(&digest).await?;
        // Content in memory is right: it was verified when it was read.
        self.report.manifests.push(Finding {
            digest,
            problem: "its bytes hash to something else".to_owned(),
            repositories: affected.repositories,
            sources: affected.sources,
        });
        Ok(())
    }

    /// Looks for what pushed manifests refer to and their repositories do not hold.
    async fn references(&mut self) -> Result<(), StoreError> {
        let records = &self.store.inner.records;
        for (digest, name) in records.missing_references(REFERENCES).await? {
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
