//! The syntax tree of an allowed program. It has no node that could loop, define or reach out, so
//! a program's depth bounds the depth of its evaluation.

use jaq_core::ops::{Cmp, Math};
use serde_json::Value;

use crate::function::{Function, Function1};

#[derive(Debug)]
pub(crate) enum Expr {
    Identity,
    /// No outputs.
    Empty,
    Literal(Value),
    /// `"a \(f) b"`
    Text(Vec<Piece>),
    /// `[f]`
    Collect(Box<Expr>),
    /// `{k: v}`
    Object(Vec<(Expr, Expr)>),
    Negate(Box<Expr>),
    Pipe(Box<Expr>, Box<Expr>),
    /// `f as $x | g`
    Bind(Box<Expr>, Box<Expr>),
    Comma(Box<Expr>, Box<Expr>),
    /// `f // g`
    Alternative(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Math(Math, Box<Expr>, Box<Expr>),
    Compare(Cmp, Box<Expr>, Box<Expr>),
    /// `f?`, `try f`, `try f catch g`
    Try(Box<Expr>, Option<Box<Expr>>),
    If(Vec<(Expr, Expr)>, Option<Box<Expr>>),
    /// A variable, by the number of bindings between its use and its own.
    Variable(usize),
    Path(Box<Expr>, Vec<Step>),
    Select(Box<Expr>),
    /// The first output only.
    First(Box<Expr>),
    /// Whether there is no output.
    IsEmpty(Box<Expr>),
    /// Whether any (`true`) or all (`false`) outputs of the pipe are truthy.
    Quantify(bool, Box<Expr>),
    /// A function of the input.
    Apply(Function),
    /// A function of the input and each output of an argument.
    Apply1(Function1, Box<Expr>),
    /// `test("…")`, compiled.
    Test(Box<regex::Regex>),
}

#[derive(Debug)]
pub(crate) enum Piece {
    Literal(String),
    Inserted(Expr),
}

#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) part: Part,
    /// Whether `?` follows.
    pub(crate) optional: bool,
}

#[derive(Debug)]
pub(crate) enum Part {
    Each,
    Index(Expr),
    Slice(Option<Expr>, Option<Expr>),
}

impl Expr {
    pub(crate) fn pipe(left: Self, right: Self) -> Self {
        Self::Pipe(Box::new(left), Box::new(right))
    }

    /// `.[]`
    pub(crate) fn each() -> Self {
        let each = Step {
            part: Part::Each,
            optional: false,
        };
        Self::Path(Box::new(Self::Identity), vec![each])
    }
}
