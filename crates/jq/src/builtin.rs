//! The functions behind the allowed calls. Each charges the budget for what it walks and builds.

use serde_json::{Map, Value};

use crate::budget::Budget;
use crate::function::{Function, Function1};
use crate::number;
use crate::order::{order, sorted};
use crate::path::index;
use crate::stop::Stop;
use crate::value::{kind, list, math, split, text, to_text, truthy};

type Answer = Result<Value, Stop>;

macro_rules! table {
    ($kind:ident, $($name:ident = $run:expr),* $(,)?) => {
        &[$($kind { name: stringify!($name), run: $run }),*]
    };
}

/// Functions of the input alone.
pub(crate) const FUNCTIONS: &[Function] = table!(
    Function,
    abs = |v, _| match v {
        Value::Number(n) if n.as_f64().is_some_and(|n| n < 0.0) => crate::value::negate(v),
        Value::Number(_) => Ok(v.clone()),
        other => fail(format!("abs needs a number, not {}", kind(other))),
    },
    add = add,
    ascii_downcase = |v, b| cased(v, b, "ascii_downcase", str::to_ascii_lowercase),
    ascii_upcase = |v, b| cased(v, b, "ascii_upcase", str::to_ascii_uppercase),
    from_entries = from_entries,
    keys = |v, b| keys(v, b, true),
    keys_unsorted = |v, b| keys(v, b, false),
    length = length,
    max = |v, b| extreme(v, b, "max"),
    min = |v, b| extreme(v, b, "min"),
    not = |v, _| Ok(Value::Bool(!truthy(v))),
    reverse = reverse,
    sort = |v, b| sort(v, b, "sort").map(Value::Array),
    to_entries = to_entries,
    tonumber = to_number,
    tostring = |v, b| to_text(v, b).map(Value::String),
    type = |v, _| Ok(type_name(v).into()),
    unique = unique,
);

/// Functions of the input and one argument.
pub(crate) const FUNCTIONS1: &[Function1] = table!(
    Function1,
    contains = |v, other, b| contains(v, other, b).map(Value::Bool),
    endswith = |v, end, b| affix(v, end, b, "endswith", |t, e| t.ends_with(e)),
    has = |v, key, _| has(v, key),
    in = |key, v, _| has(v, key),
    inside = |v, other, b| contains(other, v, b).map(Value::Bool),
    join = join,
    ltrimstr = |v, start, b| trimmed(v, start, b, |t, s| t.strip_prefix(s)),
    rtrimstr = |v, end, b| trimmed(v, end, b, |t, s| t.strip_suffix(s)),
    split = |v, by, b| split(text(v, "split")?, text(by, "split")?, b),
    startswith = |v, start, b| affix(v, start, b, "startswith", |t, s| t.starts_with(s)),
);

fn fail<T>(message: String) -> Result<T, Stop> {
    Err(Stop::Fail(message))
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The sum of a list's items, or of an object's values.
fn add(value: &Value, budget: &Budget) -> Answer {
    let items: Vec<&Value> = match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(map) => map.values().collect(),
        Value::Null => return Ok(Value::Null),
        other => return fail(format!("cannot add up {}", kind(other))),
    };
    budget.pay(items.len() as u64)?;
    let mut sum = Value::Null;
    for item in items {
        sum = math(jaq_core::ops::Math::Add, &sum, item, budget)?;
    }
    Ok(sum)
}

fn cased(value: &Value, budget: &Budget, name: &str, change: fn(&str) -> String) -> Answer {
    let text = text(value, name)?;
    budget.pay_text(text.len())?;
    Ok(change(text).into())
}

fn keys(value: &Value, budget: &Budget, by_name: bool) -> Answer {
    budget.pay_for(value)?;
    match value {
        Value::Object(map) if by_name => {
            let keys = sorted(map).into_iter().map(|(key, _)| key.as_str());
            Ok(keys.map(Value::from).collect())
        }
        Value::Object(map) => Ok(map.keys().map(String::as_str).map(Value::from).collect()),
        Value::Array(items) => Ok((0..items.len()).map(Value::from).collect()),
        other => fail(format!("{} has no keys", kind(other))),
    }
}

fn length(value: &Value, budget: &Budget) -> Answer {
    Ok(match value {
        Value::Null => 0.into(),
        Value::Bool(_) => return fail("a boolean has no length".to_owned()),
        Value::Number(n) if n.as_f64().is_some_and(|n| n < 0.0) => crate::value::negate(value)?,
        Value::Number(n) => Value::Number(n.clone()),
        Value::String(text) => {
            budget.pay_text(text.len())?;
            text.chars().count().into()
        }
        Value::Array(items) => items.len().into(),
        Value::Object(map) => map.len().into(),
    })
}

/// Pays for sorting `value`, then sorts a copy of it.
fn sort(value: &Value, budget: &Budget, name: &str) -> Result<Vec<Value>, Stop> {
    let items = list(value, name)?;
    for _ in 0..=items.len().checked_ilog2().unwrap_or(0) {
        budget.pay_for(value)?;
        budget.pay_for(value)?;
    }
    let mut items = items.to_vec();
    items.sort_by(order);
    Ok(items)
}

fn unique(value: &Value, budget: &Budget) -> Answer {
    let mut items = sort(value, budget, "unique")?;
    items.dedup_by(|l, r| order(l, r).is_eq());
    Ok(Value::Array(items))
}

fn extreme(value: &Value, budget: &Budget, name: &str) -> Answer {
    let sorted = sort(value, budget, name)?;
    let found = if name == "max" {
        sorted.last()
    } else {
        sorted.first()
    };
    Ok(found.cloned().unwrap_or(Value::Null))
}

fn reverse(value: &Value, budget: &Budget) -> Answer {
    budget.pay_for(value)?;
    match value {
        Value::Null => Ok(Value::Array(Vec::new())),
        Value::String(text) => Ok(text.chars().rev().collect::<String>().into()),
        other => Ok(list(other, "reverse")?.iter().rev().cloned().collect()),
    }
}

fn to_entries(value: &Value, budget: &Budget) -> Answer {
    budget.pay_for(value)?;
    let Value::Object(map) = value else {
        return fail(format!("to_entries needs an object, not {}", kind(value)));
    };
    let entry = |(key, value): (&String, &Value)| {
        let mut entry = Map::new();
        entry.insert("key".to_owned(), key.clone().into());
        entry.insert("value".to_owned(), value.clone());
        Value::Object(entry)
    };
    Ok(map.iter().map(entry).collect())
}

/// As jq reads entries: the key under `key`, `k`, `name`, `Name`, `K` or `Key`.
fn from_entries(value: &Value, budget: &Budget) -> Answer {
    budget.pay_for(value)?;
    let mut map = Map::new();
    for entry in list(value, "from_entries")? {
        let pick = |names: &[&str]| -> Result<Value, Stop> {
            for name in names {
                let found = index(entry, &(*name).into())?;
                if !matches!(found, Value::Null) {
                    return Ok(found.clone());
                }
            }
            Ok(Value::Null)
        };
        let key = match pick(&["key", "k", "name", "Name", "Key", "K"])? {
            Value::String(key) => key,
            Value::Null => "null".to_owned(),
            other @ (Value::Bool(_) | Value::Number(_)) => other.to_string(),
            other => return fail(format!("an object's key is text, not {}", kind(&other))),
        };
        map.insert(key, pick(&["value", "v", "Value", "V"])?);
    }
    Ok(Value::Object(map))
}

fn to_number(value: &Value, budget: &Budget) -> Answer {
    match value {
        Value::Number(_) => Ok(value.clone()),
        Value::String(text) if text.len() <= 64 => {
            budget.pay_text(text.len())?;
            let digits = text.bytes().any(|b| b.is_ascii_digit());
            let number = digits.then(|| number::literal(text)).flatten();
            number.ok_or_else(|| Stop::Fail(format!("'{text}' is not a number")))
        }
        other => fail(format!("cannot read {} as a number", kind(other))),
    }
}

fn has(value: &Value, key: &Value) -> Answer {
    let found = match (value, key) {
        (Value::Object(map), Value::String(key)) => map.contains_key(key),
        (Value::Array(items), Value::Number(at)) => at.as_f64().is_some_and(|at| {
            #[allow(clippy::cast_precision_loss)]
            let len = items.len() as f64;
            (0.0..len).contains(&at)
        }),
        _ => {
            return fail(format!(
                "cannot tell whether {} has {}",
                kind(value),
                kind(key)
            ));
        }
    };
    Ok(Value::Bool(found))
}

/// jq's `contains`: the two have the same type.
fn contains(value: &Value, other: &Value, budget: &Budget) -> Result<bool, Stop> {
    if type_name(value) == type_name(other) {
        holds(value, other, budget)
    } else {
        fail(format!(
            "cannot tell whether {} contains {}",
            kind(value),
            kind(other)
        ))
    }
}

/// Texts hold by their letters, lists and objects by their items. Each step is paid for.
fn holds(value: &Value, other: &Value, budget: &Budget) -> Result<bool, Stop> {
    budget.pay(1)?;
    match (value, other) {
        (Value::Object(value), Value::Object(other)) => {
            for (key, wanted) in other {
                match value.get(key) {
                    Some(found) if holds(found, wanted, budget)? => {}
                    _ => return Ok(false),
                }
            }
            Ok(true)
        }
        (Value::Array(value), Value::Array(other)) => {
            'wanted: for wanted in other {
                for found in value {
                    if holds(found, wanted, budget)? {
                        continue 'wanted;
                    }
                }
                return Ok(false);
            }
            Ok(true)
        }
        (Value::String(value), Value::String(other)) => {
            budget.pay_text(value.len() + other.len())?;
            Ok(value.contains(other.as_str()))
        }
        (value, other) => Ok(order(value, other).is_eq()),
    }
}

fn affix(
    value: &Value,
    part: &Value,
    budget: &Budget,
    name: &str,
    test: fn(&str, &str) -> bool,
) -> Answer {
    let (value, part) = (text(value, name)?, text(part, name)?);
    budget.pay_text(part.len())?;
    Ok(Value::Bool(test(value, part)))
}

/// Unlike `affix`, jq leaves alone what is no text.
fn trimmed(
    value: &Value,
    part: &Value,
    budget: &Budget,
    trim: for<'t> fn(&'t str, &str) -> Option<&'t str>,
) -> Answer {
    budget.pay_for(value)?;
    Ok(match (value, part) {
        (Value::String(text), Value::String(part)) => trim(text, part).unwrap_or(text).into(),
        _ => value.clone(),
    })
}

fn join(value: &Value, separator: &Value, budget: &Budget) -> Answer {
    let items = list(value, "join")?;
    let separator = text(separator, "join")?;
    budget.pay_for(value)?;
    budget.pay_text(separator.len().saturating_mul(items.len()))?;
    let mut joined = String::new();
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            joined.push_str(separator);
        }
        match item {
            Value::Null => {}
            Value::String(text) => joined.push_str(text),
            Value::Bool(_) | Value::Number(_) => joined.push_str(&item.to_string()),
            other => return fail(format!("cannot join {}", kind(other))),
        }
    }
    Ok(joined.into())
}
