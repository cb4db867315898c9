//! Numbers: whole numbers stay exact as long as they fit, everything else is a finite double.

use std::cmp::Ordering;

use jaq_core::ops::Math;
use serde_json::{Number, Value};

/// The number that a program writes as `text`, if it is finite.
pub(crate) fn literal(text: &str) -> Option<Value> {
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.into());
    }
    finite(text.parse().ok()?)
}

/// `value` as JSON, if JSON has it.
pub(crate) fn finite(value: f64) -> Option<Value> {
    Number::from_f64(value).map(Value::Number)
}

/// `left op right`, if that is a number.
pub(crate) fn math(op: Math, left: &Number, right: &Number) -> Option<Value> {
    if let (Some(l), Some(r)) = (left.as_i64(), right.as_i64()) {
        let exact = match op {
            Math::Add => l.checked_add(r),
            Math::Sub => l.checked_sub(r),
            Math::Mul => l.checked_mul(r),
            Math::Div if r != 0 && l.checked_rem(r) == Some(0) => l.checked_div(r),
            Math::Rem => return l.checked_rem(r.checked_abs()?).map(Value::from),
            Math::Div => None,
        };
        if let Some(exact) = exact {
            return Some(exact.into());
        }
    }
    let (l, r) = (left.as_f64()?, right.as_f64()?);
    finite(match op {
        Math::Add => l + r,
        Math::Sub => l - r,
        Math::Mul => l * r,
        Math::Div => l / r,
        // As in jq, the remainder is that of the whole parts.
        Math::Rem => l.trunc() % r.trunc().abs(),
    })
}

/// The order of two numbers by value, whichever way they are kept. A total order: sorting relies
/// on it.
pub(crate) fn order(left: &Number, right: &Number) -> Ordering {
    match (whole(left), whole(right)) {
        (Some(l), Some(r)) => l.cmp(&r),
        (Some(l), None) => whole_to_double(l, double(right)),
        (None, Some(r)) => whole_to_double(r, double(left)).reverse(),
        (None, None) => double(left)
            .partial_cmp(&double(right))
            .unwrap_or(Ordering::Equal),
    }
}

fn whole(number: &Number) -> Option<i128> {
    let signed = number.as_i64().map(i128::from);
    signed.or_else(|| number.as_u64().map(i128::from))
}

fn double(number: &Number) -> f64 {
    number.as_f64().unwrap_or(0.0)
}

fn whole_to_double(whole: i128, double: f64) -> Ordering {
    let floor = double.floor();
    // The conversion saturates far outside of what a whole number here can be.
    #[allow(clippy::cast_possible_truncation)]
    whole.cmp(&(floor as i128)).then(if double > floor {
        Ordering::Less
    } else {
        Ordering::Equal
    })
}
