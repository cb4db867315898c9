//! The operator's settings of inspection.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::inspection::lifted::Lifted;

/// What is done with what reading the code of images shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum InspectionMode {
    /// No code is read: labels are believed.
    TrustLabels,
    /// Code is read in the background, and an image whose code was shown to require more than a
    /// login has is served with a warning.
    #[default]
    Warn,
    /// Such an image is not served, nor one of which it is not known; a pull waits for the answer.
    Enforce,
}

/// Inspection of images.
#[derive(Clone, Debug)]
pub struct InspectionSettings {
    /// What is done with what it shows.
    pub mode: InspectionMode,
    /// Bytes of layers a second that are read at most in the background.
    pub rate: u64,
    /// How long a pull waits for the inspection of what it chose, where it waits.
    pub wait: Duration,
    /// Files of which an operator knows that they need no more than what was proven of them.
    pub lifted: Lifted,
}

impl Default for InspectionSettings {
    fn default() -> Self {
        Self {
            // A registry of a command reads no code; one that serves is told to.
            mode: InspectionMode::TrustLabels,
            rate: 64 * 1024 * 1024,
            wait: Duration::from_secs(20),
            lifted: Lifted::default(),
        }
    }
}
