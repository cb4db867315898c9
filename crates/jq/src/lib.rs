//! jq programs, confined: for selecting entries of an index by a document that someone else
//! wrote.
//!
//! A [`Program`] is read once, into a small syntax tree that has only harmless operations, and is
//! run by an evaluator that counts every step. It never reads the environment, a file or a clock,
//! never loops without an end, never builds more than its [`Budget`] pays for, and gives the same
//! outputs for the same input everywhere.

mod budget;
mod builtin;
mod error;
mod eval;
mod expr;
mod function;
mod lower;
mod number;
mod order;
mod path;
mod program;
mod source;
mod stop;
mod value;

pub use budget::{Budget, DEFAULT_STEPS, MAX_OUTPUTS};
pub use error::JqError;
pub use lower::call::allowed_calls;
pub use program::Program;
pub use source::{MAX_BRACKETS, MAX_DEPTH, MAX_PROGRAM_BYTES, MAX_WORDS};
