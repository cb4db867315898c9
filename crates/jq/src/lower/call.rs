//! The calls that a program may make, an allow list of names. Some are written in terms of others
//! here, the rest are functions in `builtin`.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::Term;
use jaq_core::ops::Cmp;
use regex::RegexBuilder;
use serde_json::Value;

use super::Lower;
use crate::JqError;
use crate::builtin::{FUNCTIONS, FUNCTIONS1};
use crate::expr::{Expr, Part, Step};
use crate::function::Function;

/// The calls that are written in terms of others, `NAME/ARGUMENTS`.
const COMPOSED: [&str; 29] = [
    "IN/1",
    "all/0",
    "all/1",
    "all/2",
    "any/0",
    "any/1",
    "any/2",
    "arrays/0",
    "booleans/0",
    "empty/0",
    "false/0",
    "first/0",
    "first/1",
    "isempty/1",
    "iterables/0",
    "last/0",
    "map/1",
    "null/0",
    "nulls/0",
    "numbers/0",
    "objects/0",
    "scalars/0",
    "select/1",
    "strings/0",
    "test/1",
    "test/2",
    "true/0",
    "values/0",
    "with_entries/1",
];

/// Every call that a program may make, as `NAME/ARGUMENTS`, sorted.
#[must_use]
pub fn allowed_calls() -> Vec<String> {
    let functions = FUNCTIONS.iter().map(|f| format!("{}/0", f.name));
    let functions1 = FUNCTIONS1.iter().map(|f| format!("{}/1", f.name));
    let composed = COMPOSED.iter().map(ToString::to_string);
    let mut all: Vec<String> = functions.chain(functions1).chain(composed).collect();
    all.sort();
    all
}

impl<'s> Lower<'s> {
    /// A call by its name and arguments.
    pub(super) fn call(
        &mut self,
        name: &'s str,
        arguments: &[Term<&'s str>],
    ) -> Result<Expr, JqError> {
        let found = match arguments {
            [] => lower0(name),
            [argument] => lower1(self, name, argument)?,
            [first, second] => lower2(self, name, first, second)?,
            _ => None,
        };
        found.ok_or_else(|| self.no_such_call(name, arguments.len()))
    }

    fn no_such_call(&self, name: &'s str, count: usize) -> JqError {
        let names = allowed_calls();
        let arities: Vec<&str> = names
            .iter()
            .filter_map(|n| n.split_once('/'))
            .filter(|(n, _)| *n == name)
            .map(|(_, arity)| arity)
            .collect();
        let advice = if arities.is_empty() {
            let mut names: Vec<&str> = names.iter().filter_map(|n| n.split('/').next()).collect();
            names.dedup();
            format!("allowed are paths, operators and {}", names.join(", "))
        } else {
            format!("'{name}' takes {} arguments", arities.join(" or "))
        };
        let what = match count {
            0 => format!("the call '{name}'"),
            1 => format!("the call '{name}' with 1 argument"),
            n => format!("the call '{name}' with {n} arguments"),
        };
        self.refuse(&what, Some(name), &advice)
    }
}

fn lower0(name: &str) -> Option<Expr> {
    Some(match name {
        "true" => Expr::Literal(true.into()),
        "false" => Expr::Literal(false.into()),
        "null" => Expr::Literal(Value::Null),
        "empty" => Expr::Empty,
        "any" => Expr::Quantify(true, Box::new(Expr::each())),
        "all" => Expr::Quantify(false, Box::new(Expr::each())),
        "first" => at(0),
        "last" => at(-1),
        "values" => only(&["boolean", "number", "string", "array", "object"]),
        "nulls" => only(&["null"]),
        "booleans" => only(&["boolean"]),
        "numbers" => only(&["number"]),
        "strings" => only(&["string"]),
        "arrays" => only(&["array"]),
        "objects" => only(&["object"]),
        "iterables" => only(&["array", "object"]),
        "scalars" => only(&["null", "boolean", "number", "string"]),
        name => Expr::Apply(function(name)?),
    })
}

fn lower1<'s>(
    to: &mut Lower<'s>,
    name: &str,
    argument: &Term<&'s str>,
) -> Result<Option<Expr>, JqError> {
    if name == "test" {
        return test(to, argument, "").map(Some);
    }
    let f = to.boxed(argument)?;
    Ok(Some(match name {
        "select" => Expr::Select(f),
        "map" => Expr::Collect(Box::new(Expr::pipe(Expr::each(), *f))),
        "any" => Expr::Quantify(true, Box::new(Expr::pipe(Expr::each(), *f))),
        "all" => Expr::Quantify(false, Box::new(Expr::pipe(Expr::each(), *f))),
        "first" => Expr::First(f),
        "isempty" => Expr::IsEmpty(f),
        "IN" => {
            let equal = Expr::Compare(Cmp::Eq, f, Box::new(Expr::Identity));
            Expr::Quantify(true, Box::new(equal))
        }
        "with_entries" => {
            let (Some(to_entries), Some(from_entries)) =
                (function("to_entries"), function("from_entries"))
            else {
                return Ok(None);
            };
            let each = Expr::pipe(Expr::each(), *f);
            let mapped = Expr::pipe(Expr::Apply(to_entries), Expr::Collect(Box::new(each)));
            Expr::pipe(mapped, Expr::Apply(from_entries))
        }
        name => match FUNCTIONS1.iter().find(|f| f.name == name) {
            Some(function) => Expr::Apply1(*function, f),
            None => return Ok(None),
        },
    }))
}

fn lower2<'s>(
    to: &mut Lower<'s>,
    name: &str,
    first: &Term<&'s str>,
    second: &Term<&'s str>,
) -> Result<Option<Expr>, JqError> {
    let wanted = match name {
        "test" => {
            let flags = literal(second).ok_or_else(|| {
                to.refuse("'test' with computed flags", None, "write them out: \"i\"")
            })?;
            return test(to, first, &flags).map(Some);
        }
        "any" => true,
        "all" => false,
        _ => return Ok(None),
    };
    let pipe = Expr::pipe(to.term(first)?, to.term(second)?);
    Ok(Some(Expr::Quantify(wanted, Box::new(pipe))))
}

fn function(name: &str) -> Option<Function> {
    FUNCTIONS.iter().find(|f| f.name == name).copied()
}

/// `.[place]`
fn at(place: i64) -> Expr {
    let step = Step {
        part: Part::Index(Expr::Literal(place.into())),
        optional: false,
    };
    Expr::Path(Box::new(Expr::Identity), vec![step])
}

/// `select(type == A or type == B …)`
fn only(types: &[&'static str]) -> Expr {
    let types = types.iter().map(|t| Expr::Literal((*t).into()));
    let alternatives = types
        .reduce(|l, r| Expr::Comma(Box::new(l), Box::new(r)))
        .unwrap_or(Expr::Empty);
    let is_type = function("type").map_or(Expr::Empty, Expr::Apply);
    let equal = Expr::Compare(Cmp::Eq, Box::new(is_type), Box::new(alternatives));
    Expr::Select(Box::new(Expr::Quantify(true, Box::new(equal))))
}

/// The text of a string without insertions.
fn literal(term: &Term<&str>) -> Option<String> {
    let Term::Str(None, parts) = term else {
        return None;
    };
    parts
        .iter()
        .map(|part| match part {
            StrPart::Str(text) => Some((*text).to_owned()),
            StrPart::Char(c) => Some(c.to_string()),
            StrPart::Term(_) => None,
        })
        .collect()
}

/// A regular expression is written out, so that it is compiled once and its size is known. The
/// engine is linear in the text, whatever the expression.
fn test(to: &Lower<'_>, pattern: &Term<&str>, flags: &str) -> Result<Expr, JqError> {
    let Some(pattern) = literal(pattern) else {
        let advice = "write the regular expression out: test(\"^arch:\")";
        return Err(to.refuse("'test' with a computed regular expression", None, advice));
    };
    let wrong = |problem: String| JqError::Regex {
        pattern: pattern.clone(),
        problem,
    };
    let mut builder = RegexBuilder::new(&pattern);
    builder.size_limit(128 * 1024).dfa_size_limit(256 * 1024);
    builder.nest_limit(32);
    for flag in flags.chars() {
        match flag {
            'i' => builder.case_insensitive(true),
            'x' => builder.ignore_whitespace(true),
            's' => builder.dot_matches_new_line(true),
            // Whether it matches at all does not depend on these.
            'g' | 'n' => &mut builder,
            other => return Err(wrong(format!("unknown flag '{other}': expected i, x or s"))),
        };
    }
    let regex = builder.build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => wrong("it is too large; repeat less".to_owned()),
        other => wrong(other.to_string()),
    })?;
    Ok(Expr::Test(Box::new(regex)))
}
