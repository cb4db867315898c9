//! One expression of a rule: an operator and what it compares with. All of Node Feature
//! Discovery's operators, with the values that each takes.

use std::cmp::Ordering;
use std::fmt;

use regex::{Regex, RegexBuilder};
use serde_json::Value;

/// Most memory of one compiled regular expression, in bytes. An artifact is a stranger's.
const REGEX_BYTES: usize = 256 << 10;

/// The node's value for the element that an expression is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found<'a> {
    Absent,
    /// It is there, and has no value.
    Flag,
    Value(&'a str),
}

#[derive(Debug, Clone)]
pub(super) enum Expression {
    /// No operator: it always holds.
    Any,
    In(Vec<String>),
    NotIn(Vec<String>),
    InRegexp(Vec<Regex>),
    Exists,
    DoesNotExist,
    IsTrue,
    IsFalse,
    Bounds {
        operator: &'static str,
        /// What the value must be to the first bound, and to the second if there is one.
        orders: Vec<(&'static [Ordering], Number)>,
        kind: Kind,
    },
}

/// How numbers are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    Version,
}

/// An integer, or a version of up to three numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number([i64; 3]);

impl Number {
    fn read(text: &str, kind: Kind) -> Option<Self> {
        let whole = |text: &str| -> Option<i64> {
            let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| text.parse().ok())?
        };
        match kind {
            Kind::Integer => text.parse().ok().map(|number| Self([number, 0, 0])),
            Kind::Version => {
                let text = text.strip_prefix('v').unwrap_or(text);
                // As Node Feature Discovery does: a pre-release or a build does not count.
                let text = text.split(['-', '+']).next().unwrap_or(text);
                let mut numbers = [0; 3];
                let mut words = text.split('.');
                for (place, number) in numbers.iter_mut().enumerate() {
                    match words.next() {
                        Some(word) => *number = whole(word)?,
                        None if place > 0 => {}
                        None => return None,
                    }
                }
                words.next().is_none().then_some(Self(numbers))
            }
        }
    }
}

const LESS: &[Ordering] = &[Ordering::Less];
const AT_MOST: &[Ordering] = &[Ordering::Less, Ordering::Equal];
const MORE: &[Ordering] = &[Ordering::Greater];
const AT_LEAST: &[Ordering] = &[Ordering::Greater, Ordering::Equal];

/// Operators that compare numbers, and what each bound asks for.
const BOUNDS: &[(&str, &[&[Ordering]])] = &[
    ("Gt", &[MORE]),
    ("Ge", &[AT_LEAST]),
    ("Lt", &[LESS]),
    ("Le", &[AT_MOST]),
    ("GtLt", &[MORE, LESS]),
    ("GeLe", &[AT_LEAST, AT_MOST]),
];

impl Expression {
    /// Reads `{op: In, value: [...]}`. The error says what is wrong with it.
    pub(super) fn read(value: &Value) -> Result<Self, String> {
        let Value::Object(map) = value else {
            return Err("an expression is written {op: In, value: [...]}".to_owned());
        };
        let operator = match map.get("op") {
            None | Some(Value::Null) => "",
            Some(Value::String(operator)) => operator.as_str(),
            Some(_) => return Err("`op` is no text".to_owned()),
        };
        let values: Vec<String> = match map.get("value") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| scalar(item).ok_or("`value` holds something else than texts"))
                .collect::<Result<_, _>>()?,
            Some(_) => return Err("`value` is no list".to_owned()),
        };
        let kind = match map.get("type") {
            None | Some(Value::Null) => Kind::Integer,
            Some(Value::String(kind)) if kind.is_empty() => Kind::Integer,
            Some(Value::String(kind)) if kind == "version" => Kind::Version,
            Some(Value::String(other)) => {
                return Err(format!("the type {other:?} is not known, only version"));
            }
            Some(_) => return Err("`type` is no text".to_owned()),
        };
        let known = ["op", "value", "type"];
        if let Some(key) = map.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(format!(
                "the key {key:?} is not known, only {}",
                known.join(", ")
            ));
        }
        Self::build(operator, values, kind)
    }

    fn build(operator: &str, values: Vec<String>, kind: Kind) -> Result<Self, String> {
        let takes = |wanted: &str| Err(format!("{operator} takes {wanted}, not {}", values.len()));
        if let Some((name, asks)) = BOUNDS.iter().find(|(name, _)| *name == operator) {
            if values.len() != asks.len() {
                return takes(if asks.len() == 1 {
                    "one value"
                } else {
                    "two values"
                });
            }
            let numbers = values.iter().map(|value| {
                Number::read(value, kind).ok_or_else(|| format!("{value:?} is no {kind}"))
            });
            let numbers: Vec<Number> = numbers.collect::<Result<_, _>>()?;
            if let [low, high] = numbers.as_slice()
                && low >= high
            {
                return Err(format!(
                    "the first value of {operator} must be less than the second"
                ));
            }
            return Ok(Self::Bounds {
                operator: name,
                orders: asks.iter().copied().zip(numbers).collect(),
                kind,
            });
        }
        let expression = match operator {
            "In" | "NotIn" | "InRegexp" if values.is_empty() => return takes("at least one value"),
            "In" => return Ok(Self::In(values)),
            "NotIn" => return Ok(Self::NotIn(values)),
            "InRegexp" => {
                let compile = |text: &String| {
                    RegexBuilder::new(text)
                        .size_limit(REGEX_BYTES)
                        .dfa_size_limit(REGEX_BYTES)
                        .build()
                        .map_err(|_| format!("{text:?} is no usable regular expression"))
                };
                let compiled = values.iter().map(compile).collect::<Result<_, _>>()?;
                return Ok(Self::InRegexp(compiled));
            }
            "" => Self::Any,
            "Exists" => Self::Exists,
            "DoesNotExist" => Self::DoesNotExist,
            "IsTrue" => Self::IsTrue,
            "IsFalse" => Self::IsFalse,
            other => return Err(format!("there is no operator {other:?}")),
        };
        if values.is_empty() {
            Ok(expression)
        } else {
            takes("no value")
        }
    }

    /// Whether it holds. An element that is absent, or has no value, meets no comparison.
    pub(super) fn holds(&self, found: Found<'_>) -> bool {
        match (self, found) {
            (Self::Any, _) => true,
            (Self::Exists, found) => found != Found::Absent,
            (Self::DoesNotExist, found) => found == Found::Absent,
            (_, Found::Absent | Found::Flag) => false,
            (Self::In(values), Found::Value(value)) => values.iter().any(|v| v == value),
            (Self::NotIn(values), Found::Value(value)) => values.iter().all(|v| v != value),
            (Self::InRegexp(values), Found::Value(value)) => {
                values.iter().any(|regex| regex.is_match(value))
            }
            (Self::IsTrue, Found::Value(value)) => value == "true",
            (Self::IsFalse, Found::Value(value)) => value == "false",
            (Self::Bounds { orders, kind, .. }, Found::Value(value)) => {
                let Some(number) = Number::read(value, *kind) else {
                    return false;
                };
                orders
                    .iter()
                    .all(|(allowed, bound)| allowed.contains(&number.cmp(bound)))
            }
        }
    }

    pub(super) fn is_absence(&self) -> bool {
        matches!(self, Self::DoesNotExist)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Integer => "whole number",
            Self::Version => "version such as 1.2.3",
        })
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [number, 0, 0] => write!(f, "{number}"),
            [major, minor, 0] => write!(f, "{major}.{minor}"),
            [major, minor, patch] => write!(f, "{major}.{minor}.{patch}"),
        }
    }
}

/// As a condition that is not met: `In [AMD]`.
impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("anything"),
            Self::In(values) => write!(f, "In [{}]", values.join(", ")),
            Self::NotIn(values) => write!(f, "NotIn [{}]", values.join(", ")),
            Self::InRegexp(values) => {
                let values: Vec<&str> = values.iter().map(Regex::as_str).collect();
                write!(f, "InRegexp [{}]", values.join(", "))
            }
            Self::Exists => f.write_str("Exists"),
            Self::DoesNotExist => f.write_str("DoesNotExist"),
            Self::IsTrue => f.write_str("IsTrue"),
            Self::IsFalse => f.write_str("IsFalse"),
            Self::Bounds {
                operator, orders, ..
            } => {
                let bounds: Vec<String> = orders.iter().map(|(_, n)| n.to_string()).collect();
                write!(f, "{operator} [{}]", bounds.join(", "))
            }
        }
    }
}

/// A text, number or boolean as a text, as YAML would have it.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}
