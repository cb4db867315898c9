//! Operators on values: arithmetic, comparison, text. Each charges the budget before it builds.

use std::cmp::Ordering;

use jaq_core::ops::{Cmp, Math};
use serde_json::{Map, Value};

use crate::budget::Budget;
use crate::number;
use crate::order::order;
use crate::stop::Stop;

/// The name of a value's type, for messages.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Whether a condition holds of it: everything but `null` and `false`.
pub(crate) fn truthy(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false))
}

/// `value` as text, or the failure that `user` needs text.
pub(crate) fn text<'v>(value: &'v Value, user: &str) -> Result<&'v str, Stop> {
    value
        .as_str()
        .ok_or_else(|| Stop::Fail(format!("{user} needs text, not {}", kind(value))))
}

/// `value` as a list, or the failure that `user` needs one.
pub(crate) fn list<'v>(value: &'v Value, user: &str) -> Result<&'v [Value], Stop> {
    match value {
        Value::Array(items) => Ok(items),
        other => Err(Stop::Fail(format!(
            "{user} needs a list, not {}",
            kind(other)
        ))),
    }
}

/// Text as it is, everything else as JSON.
pub(crate) fn to_text(value: &Value, budget: &Budget) -> Result<String, Stop> {
    budget.pay_for(value)?;
    Ok(match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    })
}

pub(crate) fn negate(value: &Value) -> Result<Value, Stop> {
    match value {
        Value::Number(n) => number::math(Math::Sub, &0.into(), n),
        _ => None,
    }
    .ok_or_else(|| Stop::Fail(format!("cannot negate {}", kind(value))))
}

pub(crate) fn compare(op: Cmp, order: Ordering) -> bool {
    match op {
        Cmp::Lt => order.is_lt(),
        Cmp::Le => order.is_le(),
        Cmp::Gt => order.is_gt(),
        Cmp::Ge => order.is_ge(),
        Cmp::Eq => order.is_eq(),
        Cmp::Ne => order.is_ne(),
    }
}

pub(crate) fn math(op: Math, l: &Value, r: &Value, budget: &Budget) -> Result<Value, Stop> {
    budget.pay_for(l)?;
    budget.pay_for(r)?;
    let result = match (op, l, r) {
        (_, Value::Number(l), Value::Number(r)) => number::math(op, l, r),
        (Math::Add, Value::Null, other) | (Math::Add, other, Value::Null) => Some(other.clone()),
        (Math::Add, Value::String(l), Value::String(r)) => Some(format!("{l}{r}").into()),
        (Math::Add, Value::Array(l), Value::Array(r)) => Some(l.iter().chain(r).cloned().collect()),
        (Math::Add, Value::Object(l), Value::Object(r)) => {
            let mut map = l.clone();
            map.extend(r.iter().map(|(k, v)| (k.clone(), v.clone())));
            Some(Value::Object(map))
        }
        (Math::Sub, Value::Array(l), Value::Array(r)) => Some(without(l, r, budget)?),
        (Math::Mul, Value::String(text), Value::Number(n))
        | (Math::Mul, Value::Number(n), Value::String(text)) => repeat(text, n.as_i64(), budget)?,
        (Math::Mul, Value::Object(l), Value::Object(r)) => Some(Value::Object(merge(l, r))),
        (Math::Div, Value::String(l), Value::String(r)) => Some(split(l, r, budget)?),
        _ => None,
    };
    result.ok_or_else(|| {
        Stop::Fail(format!(
            "cannot compute {} {} {}",
            shown(l),
            op.as_str(),
            shown(r)
        ))
    })
}

/// A number as it is, everything else by its type's name.
fn shown(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        other => kind(other).to_owned(),
    }
}

/// The items of `left` that are not in `right`. Each comparison is paid for.
fn without(left: &[Value], right: &[Value], budget: &Budget) -> Result<Value, Stop> {
    let mut kept = Vec::new();
    for item in left {
        let mut found = false;
        for other in right {
            budget.pay_for(item)?;
            if order(item, other).is_eq() {
                found = true;
                break;
            }
        }
        if !found {
            kept.push(item.clone());
        }
    }
    Ok(Value::Array(kept))
}

fn repeat(text: &str, times: Option<i64>, budget: &Budget) -> Result<Option<Value>, Stop> {
    let Some(times) = times else {
        return Ok(None);
    };
    if times <= 0 {
        return Ok(Some(Value::Null));
    }
    let times = usize::try_from(times).unwrap_or(usize::MAX);
    budget.pay_text(text.len().saturating_mul(times))?;
    // An empty text costs nothing, however often it is repeated.
    let times = if text.is_empty() { 0 } else { times };
    Ok(Some(text.repeat(times).into()))
}

/// Objects merged all the way down, `right` winning. As deep as its inputs.
fn merge(left: &Map<String, Value>, right: &Map<String, Value>) -> Map<String, Value> {
    let mut map = left.clone();
    for (key, value) in right {
        let merged = match (map.get(key), value) {
            (Some(Value::Object(l)), Value::Object(r)) => Value::Object(merge(l, r)),
            _ => value.clone(),
        };
        map.insert(key.clone(), merged);
    }
    map
}

/// The parts of `text` between `separator`s; its characters if the separator is empty.
pub(crate) fn split(text: &str, separator: &str, budget: &Budget) -> Result<Value, Stop> {
    // Every byte may become an item.
    budget.pay(1 + text.len() as u64)?;
    Ok(if text.is_empty() {
        Value::Array(Vec::new())
    } else if separator.is_empty() {
        text.chars().map(|c| Value::from(c.to_string())).collect()
    } else {
        text.split(separator).map(Value::from).collect()
    })
}
