//! A program: parsed once, run many times.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde_json::Value;

use crate::budget::{Budget, MAX_OUTPUTS};
use crate::eval::{Scope, eval};
use crate::expr::Expr;
use crate::lower::lower;
use crate::stop::Stop;
use crate::{JqError, source};

/// A jq program that may be run on documents: read, checked, and cheap to clone.
#[derive(Clone)]
pub struct Program(Arc<Inner>);

struct Inner {
    source: Box<str>,
    expr: Expr,
}

impl Program {
    /// Reads a program. Refuses texts that are no jq, and functions that a selecting program does
    /// not need; the error says where and what is allowed.
    pub fn parse(source: &str) -> Result<Self, JqError> {
        let expr = lower(source, &source::read(source)?)?;
        let source = source.into();
        Ok(Self(Arc::new(Inner { source, expr })))
    }

    /// The program as it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// All outputs for `input`, within a [`Budget`] of its own.
    pub fn run(&self, input: &Value) -> Result<Vec<Value>, JqError> {
        self.run_within(input, &Budget::default())
    }

    /// All outputs for `input`, paid for by `budget`, which other runs may share.
    pub fn run_within(&self, input: &Value, budget: &Budget) -> Result<Vec<Value>, JqError> {
        let mut outputs = Vec::new();
        let scope = Scope {
            input,
            env: None,
            budget,
        };
        let result = eval(&self.0.expr, scope, &mut |value| {
            if outputs.len() >= MAX_OUTPUTS {
                return Err(Stop::Limit(JqError::TooManyOutputs));
            }
            budget.pay_for(value)?;
            outputs.push(value.clone());
            Ok(())
        });
        match result {
            Ok(()) => Ok(outputs),
            Err(Stop::Limit(error)) => Err(error),
            Err(Stop::Fail(message)) => Err(JqError::Failed(message)),
            // A client that asks for an early end inside a run also answers for it, so none arrives
            // here.
            Err(Stop::Enough) => Ok(outputs),
        }
    }
}

impl FromStr for Program {
    type Err = JqError;

    fn from_str(source: &str) -> Result<Self, JqError> {
        Self::parse(source)
    }
}

/// Two programs are equal when they are written the same.
impl PartialEq for Program {
    fn eq(&self, other: &Self) -> bool {
        self.source() == other.source()
    }
}

impl Eq for Program {}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Program").field(&self.source()).finish()
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.source())
    }
}
