//! What to do with an image when it is unknown whether the machine runs it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether an image is served though something about it is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unsure {
    /// It is, with a warning.
    Serve,
    /// It is not.
    Refuse,
}

/// How unknown facts are handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Policy {
    /// An image requires a key of which the login states nothing, and nothing that the login
    /// does not meet: CUDA, on a build host that states its CPU only.
    pub unstated: Unsure,
    /// An image's own statements cannot be read.
    pub unknown: Unsure,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            unstated: Unsure::Serve,
            unknown: Unsure::Refuse,
        }
    }
}
