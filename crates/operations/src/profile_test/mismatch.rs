//! A difference between what a test expected and what it got.

use metahub_catalog::Location;
use serde::Serialize;

/// A difference from what was expected.
#[derive(Clone, Debug, Serialize)]
pub struct Mismatch {
    /// The place of the expectation.
    #[serde(flatten)]
    pub location: Location,
    /// Its subject, such as `env SIMD`.
    pub what: String,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub found: String,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            location,
            what,
            expected,
            found,
        } = self;
        write!(f, "{location}: {what}: expected {expected}, found {found}")
    }
}
