//! The operator's settings of inspection.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::inspection::lifted::Lifted;

/// How the findings of inspection are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum InspectionMode {
    /// No code is read: labels are believed.
    TrustLabels,
    /// Code is read in the background, and an image whose code provably requires more than a login
    /// has is served with a warning.
    #[default]
    Warn,
    /// Such an image is not served, nor one of which that is unknown; a pull waits for the
    /// inspection.
    Enforce,
}

/// Inspection of images.
#[derive(Clone, Debug)]
pub struct InspectionSettings {
    /// How its findings are used.
    pub mode: InspectionMode,
    /// Most bytes of layers per second that are read in the background.
    pub rate: u64,
    /// How long a pull waits for the inspection of its image.
    pub wait: Duration,
    /// Files of which an operator knows that they need no more than their proven needs.
    pub lifted: Lifted,
}

impl Default for InspectionSettings {
    fn default() -> Self {
        Self {
            // A registry of a command reads no code; `metahub serve` configures it.
            mode: InspectionMode::TrustLabels,
            rate: 64 * 1024 * 1024,
            wait: Duration::from_secs(20),
            lifted: Lifted::default(),
        }
    }
}
