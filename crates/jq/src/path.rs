//! Path expressions, `.a`, `.[0]`, `.[]`, `.[1:3]`: the values that they lead to.

use serde_json::Value;

use crate::stop::Stop;
use crate::value::kind;

/// What is iterated over.
pub(crate) enum Items<'v> {
    List(&'v [Value]),
    Map(&'v serde_json::Map<String, Value>),
}

/// The items of a list or an object.
pub(crate) fn each(value: &Value) -> Result<Items<'_>, Stop> {
    match value {
        Value::Array(items) => Ok(Items::List(items)),
        Value::Object(map) => Ok(Items::Map(map)),
        other => Err(Stop::Fail(format!("cannot iterate over {}", kind(other)))),
    }
}

/// `value[key]`, null where there is nothing.
pub(crate) fn index<'v>(value: &'v Value, key: &Value) -> Result<&'v Value, Stop> {
    let found = match (value, key) {
        (Value::Null, Value::String(_) | Value::Number(_) | Value::Null) => None,
        (Value::Object(map), Value::String(key)) => map.get(key),
        (Value::Array(items), Value::Number(number)) => number
            .as_f64()
            .and_then(|at| place(at, items.len()))
            .and_then(|at| items.get(at)),
        (value, Value::String(key)) => {
            let message = format!("cannot look up '{key}' in {}", kind(value));
            return Err(Stop::Fail(message));
        }
        (value, key) => {
            let message = format!("cannot index {} with {}", kind(value), kind(key));
            return Err(Stop::Fail(message));
        }
    };
    Ok(found.unwrap_or(&Value::Null))
}

/// Where `at` lies in a list of `len`, from the end if negative.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss
)]
fn place(at: f64, len: usize) -> Option<usize> {
    let at = at.floor();
    let at = if at < 0.0 { at + len as f64 } else { at };
    (at >= 0.0 && at < len as f64).then_some(at as usize)
}

/// `value[from:upto]` of a list or a text.
pub(crate) fn slice(value: &Value, from: &Value, upto: &Value) -> Result<Value, Stop> {
    match value {
        Value::Null => Ok(Value::Null),
        Value::Array(items) => {
            let (from, upto) = range(from, upto, items.len())?;
            let items = items.iter().skip(from).take(upto - from);
            Ok(items.cloned().collect())
        }
        Value::String(text) => {
            let (from, upto) = range(from, upto, text.chars().count())?;
            let text: String = text.chars().skip(from).take(upto - from).collect();
            Ok(Value::String(text))
        }
        other => Err(Stop::Fail(format!("cannot take a part of {}", kind(other)))),
    }
}

/// The half-open range of places that `from` and `upto` mean in a list of `len`.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss
)]
fn range(from: &Value, upto: &Value, len: usize) -> Result<(usize, usize), Stop> {
    let end = |value: &Value, default: usize, round: fn(f64) -> f64| match value {
        Value::Null => Ok(default),
        Value::Number(number) => {
            let at = round(number.as_f64().unwrap_or(0.0));
            let at = if at < 0.0 { at + len as f64 } else { at };
            Ok(at.clamp(0.0, len as f64) as usize)
        }
        other => Err(Stop::Fail(format!(
            "a range has numbers at its ends, not {}",
            kind(other)
        ))),
    };
    let from = end(from, 0, f64::floor)?;
    let upto = end(upto, len, f64::ceil)?;
    Ok((from, upto.max(from)))
}
