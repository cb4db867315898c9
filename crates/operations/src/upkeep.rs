//! Upkeep of content: garbage collection and scrubbing.

use std::time::Duration;

use metahub_registry::{Registry, Scrubbed};
use metahub_store::{GcOptions, GcReport, ScrubOptions};
use serde::{Deserialize, Serialize};

use crate::error::OperationError;
use crate::operation::Operation;
use crate::progress::Progress;

/// Removes content that nothing needs any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectGarbage {
    /// The grace period, in seconds: newer or recently used content stays.
    pub grace_seconds: u64,
    /// Only report what would be removed.
    pub dry_run: bool,
}

impl Operation for CollectGarbage {
    type Report = GcReport;

    async fn carry_out(
        self,
        registry: &Registry,
        _: impl FnMut(Progress) + Send + Sync,
    ) -> Result<GcReport, OperationError> {
        let options = GcOptions {
            grace: Duration::from_secs(self.grace_seconds),
            dry_run: self.dry_run,
        };
        Ok(registry.collect_garbage(&options).await?)
    }
}

/// Rereads all content, quarantines damaged content, and fetches it again from its upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scrub {
    /// Read at most so many bytes a second.
    pub bytes_per_second: Option<u64>,
    /// Only report what is wrong.
    pub dry_run: bool,
    /// Remove content however much is missing or damaged. Absent in requests of earlier versions.
    #[serde(default)]
    pub accept_loss: bool,
}

/// The report of a scrub.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ScrubOutcome {
    /// The findings, and what was fetched again.
    #[serde(flatten)]
    pub scrubbed: Scrubbed,
    /// Whether everything is whole now.
    pub whole: bool,
}

impl Operation for Scrub {
    type Report = ScrubOutcome;

    async fn carry_out(
        self,
        registry: &Registry,
        mut progress: impl FnMut(Progress) + Send + Sync,
    ) -> Result<ScrubOutcome, OperationError> {
        let options = ScrubOptions {
            bytes_per_second: self.bytes_per_second,
            dry_run: self.dry_run,
            accept_loss: self.accept_loss,
        };
        let scrubbed = registry.scrub(options, |now| progress(now.into())).await?;
        Ok(ScrubOutcome {
            whole: scrubbed.is_whole(),
            scrubbed,
        })
    }
}
