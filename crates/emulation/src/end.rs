//! How a run ended, and how that is told from inside the namespaces.

use serde::{Deserialize, Serialize};

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signal(i32),
    /// It was ended because it lasted too long.
    Time,
    /// It was ended because it took too much memory.
    Memory,
    /// It was ended because it wrote too much.
    Disk,
}

/// What is told from inside.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Told {
    Ended(End),
    NotConfined(String),
    NotStarted { program: String, why: String },
}
