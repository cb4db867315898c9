//! The cost limit of a run. Every step, and every value that is copied or compared, is charged
//! before it is done.

use std::cell::Cell;

use serde_json::Value;

use crate::JqError;
use crate::stop::Stop;

/// Steps that one run may take unless the caller says otherwise: some tens of milliseconds.
pub const DEFAULT_STEPS: u64 = 1_000_000;

/// Most outputs of one run.
pub const MAX_OUTPUTS: usize = 10_000;

/// Work that is left to do. One budget may be shared by many runs, one after another, so that a
/// program over a long list costs no more than a program over a short one.
#[derive(Debug)]
pub struct Budget {
    steps: u64,
    left: Cell<u64>,
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(DEFAULT_STEPS)
    }
}

impl Budget {
    /// A budget of `steps`. A step is about the work of looking up one key.
    #[must_use]
    pub fn new(steps: u64) -> Self {
        Self {
            steps,
            left: Cell::new(steps),
        }
    }

    /// Steps that are left.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left.get()
    }

    /// Pays for `steps`, or stops the run. What is spent stays spent, so no `try` runs on.
    pub(crate) fn pay(&self, steps: u64) -> Result<(), Stop> {
        match self.left.get().checked_sub(steps) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => {
                self.left.set(0);
                Err(Stop::Limit(JqError::TooMuchWork { steps: self.steps }))
            }
        }
    }

    /// Pays for a walk over all of `value`: a copy, a comparison, a print.
    pub(crate) fn pay_for(&self, value: &Value) -> Result<(), Stop> {
        self.pay(weight(value))
    }

    /// Pays for `bytes` of text.
    pub(crate) fn pay_text(&self, bytes: usize) -> Result<(), Stop> {
        self.pay(1 + bytes as u64 / 16)
    }
}

/// How many steps a walk over `value` costs: one a node, and one for each 16 bytes of text.
/// Values nest at most as deep as JSON may (128) and as the program has brackets, so this
/// recursion ends early.
fn weight(value: &Value) -> u64 {
    let text = |text: &str| text.len() as u64 / 16;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
        Value::String(s) => 1 + text(s),
        Value::Array(items) => 1 + items.iter().map(weight).sum::<u64>(),
        Value::Object(map) => {
            1 + map
                .iter()
                .map(|(k, v)| 1 + text(k) + weight(v))
                .sum::<u64>()
        }
    }
}
