//! Functions that programs call by name.

use std::fmt;

use serde_json::Value;

use crate::budget::Budget;
use crate::stop::Stop;

/// A function of the input.
#[derive(Clone, Copy)]
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Value, &Budget) -> Result<Value, Stop>,
}

/// A function of the input and one argument.
#[derive(Clone, Copy)]
pub(crate) struct Function1 {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Value, &Value, &Budget) -> Result<Value, Stop>,
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Debug for Function1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
