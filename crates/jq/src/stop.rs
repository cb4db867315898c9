//! Why a run stops early, and the callback that receives its outputs.

use serde_json::Value;

use crate::JqError;

/// Why a run stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// A value did not fit an operation. `try` catches this one only.
    Fail(String),
    /// A bound was reached. Nothing catches it.
    Limit(JqError),
    /// Someone inside the run has what it wanted; it keeps its own result aside.
    Enough,
}

pub(crate) type Flow = Result<(), Stop>;
pub(crate) type Out<'o> = &'o mut dyn FnMut(&Value) -> Flow;
