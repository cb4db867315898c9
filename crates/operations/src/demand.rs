//! Reports which builds are missing, by what the machines of logins got.

use std::time::{Duration, SystemTime};

use metahub_catalog::TextPattern;
use metahub_registry::{Demand, Registry};
use serde::{Deserialize, Serialize};

use crate::error::OperationError;
use crate::operation::Operation;
use crate::progress::Progress;

/// A request for pulls that fell back to a lesser build, or found none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShowDemand {
    /// Since so many seconds ago, by whole days.
    pub seconds: u64,
    /// Only images whose whole `NAME:TAG` this regular expression matches.
    pub image: Option<String>,
}

impl Operation for ShowDemand {
    type Report = Demand;

    async fn carry_out(
        self,
        registry: &Registry,
        _: impl FnMut(Progress) + Send + Sync,
    ) -> Result<Demand, OperationError> {
        let pattern: Option<TextPattern> = self.image.map(|text| text.parse()).transpose()?;
        let is_shown = |image: &str| {
            pattern
                .as_ref()
                .is_none_or(|pattern| pattern.matches(image))
        };
        let since = SystemTime::now().checked_sub(Duration::from_secs(self.seconds));
        let since = since.unwrap_or(SystemTime::UNIX_EPOCH);
        Ok(registry.demand(since, is_shown).await?)
    }
}
