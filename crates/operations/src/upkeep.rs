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
    /// What came or was used less than this ago stays, in seconds.
    pub grace_seconds: u64,
    /// Only say what would go.
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

/// Rereads all content, sets damaged content aside, and fetches it again where it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scrub {
    /// Read at most so many bytes a second.
    pub bytes_per_second: Option<u64>,
    /// Only say what is wrong.
    pub dry_run: bool,
    /// Give up content however much is missing or damaged. Absent in what an earlier version's
    /// command sends.
    #[serde(default)]
    pub accept_loss: bool,
}

/// What a scrub found and fetched again.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ScrubOutcome {
    /// What it found, and what is whole again.
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
