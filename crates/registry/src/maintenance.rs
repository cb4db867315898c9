//! Upkeep of stored content: garbage collection, scrubbing, and fetching damaged content again.

use metahub_oci::{Digest, RepositoryName};
use metahub_store::{Finding, GcOptions, GcReport, ScrubOptions, ScrubProgress, ScrubReport};
use serde::{Deserialize, Serialize};

use crate::Registry;
use crate::error::RegistryError;
use crate::provenance::parse_sources;
use crate::pull::blob::BlobRead;

/// The report of a scrub, and the blobs that were fetched again.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Scrubbed {
    /// The report.
    #[serde(flatten)]
    pub report: ScrubReport,
    /// Blobs that were fetched again.
    pub refilled: Vec<Digest>,
}

impl Scrubbed {
    /// Whether everything is intact now: nothing was wrong, or all of it was fetched again.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let lost = self
            .report
            .blobs
            .iter()
            .filter(|f| !self.refilled.contains(&f.digest))
            .count();
        let rest = &self.report;
        lost == 0
            && rest.manifests.is_empty()
            && rest.missing.is_empty()
            && rest.database.is_empty()
            && rest.notes.is_empty()
    }
}

impl Registry {
    /// Collects garbage, including derived content whose source is gone.
    pub async fn collect_garbage(&self, options: &GcOptions) -> Result<GcReport, RegistryError> {
        // Recent uses count, so they are stored first.
        self.write_usage().await?;
        if !options.dry_run {
            self.expire_derived().await;
        }
        let report = self.store().collect_garbage(options).await?;
        if options.dry_run {
            return Ok(report);
        }
        let counters = self.counters();
        counters.gc_runs.inc();
        counters.gc_blobs.inc_by(report.blobs);
        counters
            .gc_bytes
            .inc_by(report.blob_bytes + report.file_bytes);
        Ok(report)
    }

    /// Rereads everything, quarantines what is damaged, and fetches again what an upstream has.
    pub async fn scrub(
        &self,
        options: ScrubOptions,
        progress: impl FnMut(ScrubProgress) + Send + Sync,
    ) -> Result<Scrubbed, RegistryError> {
        let report = self.store().scrub(options, progress).await?;
        let mut refilled = Vec::new();
        // Blobs that were left in place may only be out of reach.
        if !options.dry_run && report.withheld.is_none() {
            for finding in &report.blobs {
                if self.refill(finding).await {
                    refilled.push(finding.digest.clone());
                }
            }
        }
        let counters = self.counters();
        counters.scrub_runs.inc();
        let others = report.manifests.len() + report.missing.len();
        counters
            .scrub_findings
            .inc_by(report.absent + report.damaged + others as u64);
        counters.scrub_refilled.inc_by(refilled.len() as u64);
        Ok(Scrubbed { report, refilled })
    }

    /// Fetches a damaged blob again, for every repository that held it. Returns whether it is back.
    async fn refill(&self, finding: &Finding) -> bool {
        let mut back = false;
        for repository in &finding.repositories {
            match self.fetch_again(repository, finding).await {
                Ok(true) => back = true,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%repository, digest = %finding.digest, %error, "not fetched again");
                }
            }
        }
        back
    }

    async fn fetch_again(
        &self,
        repository: &RepositoryName,
        finding: &Finding,
    ) -> Result<bool, RegistryError> {
        for source in parse_sources(&finding.sources) {
            let itself = self.as_itself();
            for location in itself.locations_of_image(&source).await? {
                let Some(blob) = itself.blob_at(&location, &finding.digest).await? else {
                    continue;
                };
                if let BlobRead::Arriving { mut follower, .. } = blob
                    && !follower.completed().await
                {
                    continue;
                }
                if self
                    .arrived(location.stored(), &finding.digest)
                    .await?
                    .is_some()
                {
                    self.repository_for_upkeep(repository)
                        .mount(location.stored(), &finding.digest)
                        .await?;
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}
