//! jq's order of values: null, false, true, numbers, text, lists, objects. Total, so that sorting
//! is sound. Callers charge the walk to the budget first.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use crate::number;

pub(crate) fn order(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Bool(l), Value::Bool(r)) => l.cmp(r),
        (Value::Number(l), Value::Number(r)) => number::order(l, r),
        (Value::String(l), Value::String(r)) => l.cmp(r),
        (Value::Array(l), Value::Array(r)) => {
            let items = l.iter().zip(r).map(|(l, r)| order(l, r));
            first_unequal(items).then(l.len().cmp(&r.len()))
        }
        (Value::Object(l), Value::Object(r)) => objects(l, r),
        _ => rank(left).cmp(&rank(right)),
    }
}

/// Objects are ordered by their keys as sorted lists, then by the values in that order.
fn objects(left: &Map<String, Value>, right: &Map<String, Value>) -> Ordering {
    let (l, r) = (sorted(left), sorted(right));
    let keys = l.iter().map(|(k, _)| k).cmp(r.iter().map(|(k, _)| k));
    keys.then_with(|| first_unequal(l.iter().zip(&r).map(|((_, l), (_, r))| order(l, r))))
}

pub(crate) fn sorted(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    entries
}

fn first_unequal(mut orders: impl Iterator<Item = Ordering>) -> Ordering {
    orders.find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(false) => 1,
        Value::Bool(true) => 2,
        Value::Number(_) => 3,
        Value::String(_) => 4,
        Value::Array(_) => 5,
        Value::Object(_) => 6,
    }
}
