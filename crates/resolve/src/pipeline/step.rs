//! The result of one action, for explanations and records.

use metahub_catalog::Action;
use serde::{Deserialize, Serialize};

/// One action, as it was done or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The action's name, such as `config-set`.
    pub action: String,
    /// Whether it changed anything.
    pub done: bool,
    /// What it changed, or why nothing.
    pub what: String,
}

impl Step {
    pub(crate) fn done(action: &Action, what: String) -> Self {
        Self {
            action: action.name().to_owned(),
            done: true,
            what,
        }
    }

    pub(crate) fn skipped(action: &Action, why: impl Into<String>) -> Self {
        Self {
            action: action.name().to_owned(),
            done: false,
            what: why.into(),
        }
    }
}
