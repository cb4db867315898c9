//! Running a program: outputs are handed on one by one, by reference, so nothing is copied that
//! the program does not collect. Depth is bounded by the program's size, work by its budget.

use jaq_core::ops::{Cmp, Math};
use serde_json::{Map, Value};

use crate::budget::Budget;
use crate::expr::{Expr, Part, Piece, Step};
use crate::function::{Function, Function1};
use crate::order::order;
use crate::path::{Items, each, index, slice};
use crate::stop::{Flow, Out, Stop};
use crate::value::{self, truthy};

/// Bound variables, innermost first.
pub(crate) struct Env<'e> {
    pub(crate) value: &'e Value,
    pub(crate) outer: Option<&'e Env<'e>>,
}

/// One evaluation's surroundings.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'e> {
    pub(crate) input: &'e Value,
    pub(crate) env: Option<&'e Env<'e>>,
    pub(crate) budget: &'e Budget,
}

impl<'e> Scope<'e> {
    pub(crate) fn with_input<'n>(self, input: &'n Value) -> Scope<'n>
    where
        'e: 'n,
    {
        Scope { input, ..self }
    }
}

/// Hands each output of `expr` to `out`.
///
/// Only a switch: what a node does is in a function of its own, so that this function's frame,
/// which a deep program has on the stack many times, stays small.
pub(crate) fn eval(expr: &Expr, scope: Scope<'_>, out: Out<'_>) -> Flow {
    scope.budget.pay(1)?;
    match expr {
        Expr::Identity => out(scope.input),
        Expr::Empty => Ok(()),
        Expr::Literal(value) => out(value),
        Expr::Variable(distance) => out(variable(scope.env, *distance)),
        Expr::Path(base, steps) => follow(base, steps, scope, out),
        Expr::Pipe(left, right) => pipe(left, right, scope, out),
        Expr::Bind(left, right) => bind(left, right, scope, out),
        Expr::Comma(left, right) => comma(left, right, scope, out),
        Expr::Select(condition) => select(condition, scope, out),
        Expr::Text(pieces) => text(pieces, String::new(), scope, out),
        Expr::Collect(inner) => collect(inner, scope, out),
        Expr::Object(entries) => object(entries, &Map::new(), scope, out),
        Expr::Alternative(left, right) => alternative(left, right, scope, out),
        Expr::Or(left, right) => logic(true, left, right, scope, out),
        Expr::And(left, right) => logic(false, left, right, scope, out),
        Expr::Math(op, left, right) => math(*op, left, right, scope, out),
        Expr::Compare(op, left, right) => compare(*op, left, right, scope, out),
        Expr::Try(body, handler) => attempt(body, handler.as_deref(), scope, out),
        Expr::If(branches, otherwise) => branch(branches, otherwise.as_deref(), scope, out),
        Expr::First(inner) => first(inner, scope, out),
        Expr::IsEmpty(inner) => is_empty(inner, scope, out),
        Expr::Quantify(wanted, inner) => quantify(*wanted, inner, scope, out),
        Expr::Negate(inner) => negate(inner, scope, out),
        Expr::Apply(function) => apply(*function, scope, out),
        Expr::Apply1(function, argument) => apply1(*function, argument, scope, out),
        Expr::Test(regex) => test(regex, scope, out),
    }
}

fn pipe(left: &Expr, right: &Expr, scope: Scope<'_>, out: Out<'_>) -> Flow {
    eval(left, scope, &mut |value| {
        eval(right, scope.with_input(value), out)
    })
}

fn comma(left: &Expr, right: &Expr, scope: Scope<'_>, out: Out<'_>) -> Flow {
    eval(left, scope, out)?;
    eval(right, scope, out)
}

fn select(condition: &Expr, scope: Scope<'_>, out: Out<'_>) -> Flow {
    eval(condition, scope, &mut |value| {
        if truthy(value) {
            out(scope.input)
        } else {
            Ok(())
        }
    })
}

/// As jq does, the right side is the outer loop.
fn math(op: Math, left: &Expr, right: &Expr, scope: Scope<'_>, out: Out<'_>) -> Flow {
    eval(right, scope, &mut |r| {
        eval(left, scope, &mut |l| {
            out(&value::math(op, l, r, scope.budget)?)
        })
    })
}

/// As jq does, the right side is the outer loop.
fn compare(op: Cmp, left: &Expr, right: &Expr, scope: Scope<'_>, out: Out<'_>) -> Flow {
    eval(right, scope, &mut |r| {
        eval(left, scope, &mut |l| {
            scope.budget.pay_for(l)?;
            scope.budget.pay_for(r)?;
            out(&Value::Bool(value::compare(op, order(l, r))))
        })
    })
}

fn negate(inner: &Expr, scope: Scope<'_>, out: Out<'_>) -> Flow {
    eval(inner, scope, &mut |value| out(&value::negate(value)?))
}

fn is_empty(inner: &Expr, scope: Scope<'_>, out: Out<'_>) -> Flow {
    let any = find(inner, scope, |_| true)?;
    out(&Value::Bool(!any))
}

fn quantify(wanted: bool, inner: &Expr, scope: Scope<'_>, out: Out<'_>) -> Flow {
    let found = find(inner, scope, |value| truthy(value) == wanted)?;
    out(&Value::Bool(found == wanted))
}

fn apply(function: Function, scope: Scope<'_>, out: Out<'_>) -> Flow {
    out(&(function.run)(scope.input, scope.budget)?)
}

fn apply1(function: Function1, argument: &Expr, scope: Scope<'_>, out: Out<'_>) -> Flow {
    eval(argument, scope, &mut |value| {
        out(&(function.run)(scope.input, value, scope.budget)?)
    })
}

fn test(regex: &regex::Regex, scope: Scope<'_>, out: Out<'_>) -> Flow {
    let text = value::text(scope.input, "test")?;
    // A search is linear in the text; a byte costs more than a step of ours on its slow path.
    scope.budget.pay(64 + 4 * text.len() as u64)?;
    out(&Value::Bool(regex.is_match(text)))
}

fn variable<'e>(env: Option<&'e Env<'e>>, distance: usize) -> &'e Value {
    std::iter::successors(env, |env| env.outer)
        .nth(distance)
        .map_or(&Value::Null, |env| env.value)
}

fn bind(left: &Expr, right: &Expr, scope: Scope<'_>, out: Out<'_>) -> Flow {
    eval(left, scope, &mut |value| {
        let env = Env {
            value,
            outer: scope.env,
        };
        let inner = Scope {
            env: Some(&env),
            ..scope
        };
        eval(right, inner, out)
    })
}

fn collect(inner: &Expr, scope: Scope<'_>, out: Out<'_>) -> Flow {
    let mut items = Vec::new();
    eval(inner, scope, &mut |value| {
        scope.budget.pay_for(value)?;
        items.push(value.clone());
        Ok(())
    })?;
    out(&Value::Array(items))
}

fn text(pieces: &[Piece], before: String, scope: Scope<'_>, out: Out<'_>) -> Flow {
    scope.budget.pay_text(before.len())?;
    match pieces.split_first() {
        None => out(&Value::String(before)),
        Some((Piece::Literal(literal), rest)) => text(rest, before + literal, scope, out),
        Some((Piece::Inserted(inner), rest)) => eval(inner, scope, &mut |value| {
            let inserted = value::to_text(value, scope.budget)?;
            text(rest, format!("{before}{inserted}"), scope, out)
        }),
    }
}

/// Every combination of the entries' outputs, each paid for.
fn object(
    entries: &[(Expr, Expr)],
    before: &Map<String, Value>,
    scope: Scope<'_>,
    out: Out<'_>,
) -> Flow {
    let Some(((key, value), rest)) = entries.split_first() else {
        scope.budget.pay(1 + before.len() as u64)?;
        return out(&Value::Object(before.clone()));
    };
    eval(key, scope, &mut |key| {
        let key = value::text(key, "an object's key")?;
        eval(value, scope, &mut |value| {
            let so_far = before.values();
            so_far
                .chain([value])
                .try_for_each(|v| scope.budget.pay_for(v))?;
            let mut map = before.clone();
            map.insert(key.to_owned(), value.clone());
            object(rest, &map, scope, out)
        })
    })
}

/// `l // r`: the truthy outputs of `l`, or `r` if it has none. Failures of `l` end it quietly.
fn alternative(left: &Expr, right: &Expr, scope: Scope<'_>, out: Out<'_>) -> Flow {
    let mut any = false;
    attempt(left, None, scope, &mut |value| {
        if truthy(value) {
            any = true;
            out(value)
        } else {
            Ok(())
        }
    })?;
    if any { Ok(()) } else { eval(right, scope, out) }
}

/// `or` (decided by true) and `and` (decided by false).
fn logic(decided_by: bool, left: &Expr, right: &Expr, scope: Scope<'_>, out: Out<'_>) -> Flow {
    eval(left, scope, &mut |l| {
        if truthy(l) == decided_by {
            out(&Value::Bool(decided_by))
        } else {
            eval(right, scope, &mut |r| out(&Value::Bool(truthy(r))))
        }
    })
}

/// Runs `body` until it fails, then `handler` on what it said. What `out` answers passes through
/// untouched: only the body's own failures are caught.
fn attempt(body: &Expr, handler: Option<&Expr>, scope: Scope<'_>, out: Out<'_>) -> Flow {
    let mut from_out = None;
    let result = eval(body, scope, &mut |value| {
        out(value).map_err(|stop| {
            from_out = Some(stop);
            Stop::Enough
        })
    });
    if let Some(stop) = from_out {
        return Err(stop);
    }
    match result {
        Err(Stop::Fail(message)) => match handler {
            None => Ok(()),
            Some(handler) => {
                let message = Value::String(message);
                eval(handler, scope.with_input(&message), out)
            }
        },
        other => other,
    }
}

fn branch(
    branches: &[(Expr, Expr)],
    otherwise: Option<&Expr>,
    scope: Scope<'_>,
    out: Out<'_>,
) -> Flow {
    match (branches.split_first(), otherwise) {
        (Some(((condition, then), rest)), _) => eval(condition, scope, &mut |value| {
            if truthy(value) {
                eval(then, scope, out)
            } else {
                branch(rest, otherwise, scope, out)
            }
        }),
        (None, Some(otherwise)) => eval(otherwise, scope, out),
        (None, None) => out(scope.input),
    }
}

fn first(inner: &Expr, scope: Scope<'_>, out: Out<'_>) -> Flow {
    let mut answer = None;
    let result = eval(inner, scope, &mut |value| {
        answer = Some(out(value));
        Err(Stop::Enough)
    });
    answer.unwrap_or(result)
}

/// Whether an output of `inner` is `wanted`. Stops at the first that is.
fn find(inner: &Expr, scope: Scope<'_>, wanted: impl Fn(&Value) -> bool) -> Result<bool, Stop> {
    let mut found = false;
    let result = eval(inner, scope, &mut |value| {
        if wanted(value) {
            found = true;
            Err(Stop::Enough)
        } else {
            Ok(())
        }
    });
    if found {
        Ok(true)
    } else {
        result.map(|()| false)
    }
}

/// Hands on what `steps` lead to from each output of `base`. Index expressions see the input, not
/// the value that they index.
fn follow(base: &Expr, steps: &[Step], scope: Scope<'_>, out: Out<'_>) -> Flow {
    match base {
        Expr::Identity => walk(scope.input, steps, scope, out),
        base => eval(base, scope, &mut |value| walk(value, steps, scope, out)),
    }
}

fn walk(value: &Value, steps: &[Step], scope: Scope<'_>, out: Out<'_>) -> Flow {
    scope.budget.pay(1)?;
    let Some((step, rest)) = steps.split_first() else {
        return out(value);
    };
    // `?` silences this step only, never what follows it.
    let skip = |stop: Stop| match stop {
        Stop::Fail(_) if step.optional => Ok(()),
        stop => Err(stop),
    };
    match &step.part {
        Part::Each => match each(value) {
            Ok(Items::List(items)) => items.iter().try_for_each(|v| walk(v, rest, scope, out)),
            Ok(Items::Map(map)) => map.values().try_for_each(|v| walk(v, rest, scope, out)),
            Err(stop) => skip(stop),
        },
        Part::Index(Expr::Literal(key)) => match index(value, key) {
            Ok(found) => walk(found, rest, scope, out),
            Err(stop) => skip(stop),
        },
        Part::Index(key) => eval(key, scope, &mut |key| match index(value, key) {
            Ok(found) => walk(found, rest, scope, out),
            Err(stop) => skip(stop),
        }),
        Part::Slice(from, upto) => bound(from.as_ref(), scope, &mut |from| {
            bound(upto.as_ref(), scope, &mut |upto| {
                scope.budget.pay_for(value)?;
                match slice(value, from, upto) {
                    Ok(found) => walk(&found, rest, scope, out),
                    Err(stop) => skip(stop),
                }
            })
        }),
    }
}

fn bound(expr: Option<&Expr>, scope: Scope<'_>, out: Out<'_>) -> Flow {
    match expr {
        Some(expr) => eval(expr, scope, out),
        None => out(&Value::Null),
    }
}
