//! Node Feature Discovery's image-compatibility artifact (`v1alpha1`): rules over facts of a
//! node that a publisher attaches to an image. It is read here from JSON and held against
//! what a login provides; fetching the artifact is the caller's work.
//!
//! An image is compatible when in one of its sets every rule matches. Tags and weights of
//! sets are not used: they order nodes for an image, not images for a node. Templates are
//! not run, so a later rule that needs what one would give does not match.

mod expression;
mod facts;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use expression::Expression;
pub(crate) use facts::Facts;
use facts::{Source, Tried};

/// The artifact's type.
pub const ARTIFACT_TYPE: &str = "application/vnd.nfd.image-compatibility.v1alpha1";
/// The media type of its one layer, which is YAML.
pub const LAYER_TYPE: &str = "application/vnd.nfd.image-compatibility.spec.v1alpha1+yaml";
/// The specification's version that is read.
const VERSION: &str = "v1alpha1";
/// Longest document, in bytes.
const MOST_BYTES: usize = 64 << 10;
/// Most expressions in one document.
const MOST_EXPRESSIONS: usize = 1_000;

/// A compatibility specification.
#[derive(Debug, Clone)]
pub struct Compatibility {
    sets: Vec<Set>,
}

#[derive(Debug, Clone)]
struct Set {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    name: String,
    /// What later rules find under `rule.matched` when this one matches.
    gives: BTreeMap<String, String>,
    all: Vec<Term>,
    any: Vec<Vec<Term>>,
}

/// What must hold of one source of facts, such as `cpu.cpuid`.
#[derive(Debug, Clone)]
struct Term {
    source: String,
    expressions: Vec<(String, Expression)>,
    name: Option<Expression>,
}

/// Why a text is no compatibility specification.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a compatibility specification: {0}")]
pub struct NfdError(String);

fn wrong<T>(problem: impl Into<String>) -> Result<T, NfdError> {
    Err(NfdError(problem.into()))
}

impl Compatibility {
    /// Reads a specification from JSON, which is what its YAML comes to.
    ///
    /// # Errors
    /// When it is not JSON, of another version, too large, or holds an expression that has
    /// no meaning (an unknown operator, values that it does not take).
    pub fn parse(json: &str) -> Result<Self, NfdError> {
        if json.len() > MOST_BYTES {
            return wrong(format!("it has more than {MOST_BYTES} bytes"));
        }
        let value: Value =
            serde_json::from_str(json).map_err(|error| NfdError(format!("not JSON: {error}")))?;
        let Value::Object(map) = &value else {
            return wrong("expected an object with version and compatibilities");
        };
        match map.get("version") {
            None | Some(Value::Null) => {}
            Some(Value::String(version)) if version == VERSION => {}
            Some(other) => return wrong(format!("version {other} is not known, only {VERSION}")),
        }
        let mut budget = MOST_EXPRESSIONS;
        let sets = objects(map, "compatibilities")?
            .into_iter()
            .map(|set| Set::read(set, &mut budget))
            .collect::<Result<_, _>>()?;
        Ok(Self { sets })
    }

    /// What stands in the way of running the image on a node with these facts; nothing when
    /// it is compatible.
    pub(crate) fn objection(&self, facts: &Facts) -> Option<String> {
        let mut first = None;
        for set in &self.sets {
            match set.objection(facts) {
                None => return None,
                Some(reason) => {
                    first.get_or_insert(reason);
                }
            }
        }
        let reason = first?;
        Some(match self.sets.len() {
            1 => reason,
            many => format!("none of {many} sets of rules matches; of the first, {reason}"),
        })
    }

    /// The names of the rules, each once, in order.
    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for rule in self.sets.iter().flat_map(|set| &set.rules) {
            if !names.contains(&rule.name.as_str()) {
                names.push(&rule.name);
            }
        }
        names
    }
}

/// The names of its rules: the whole is too long to be shown.
impl fmt::Display for Compatibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rules {}", self.names().join(", "))
    }
}

impl Set {
    fn read(map: &Map<String, Value>, budget: &mut usize) -> Result<Self, NfdError> {
        let rules = objects(map, "rules")?
            .into_iter()
            .map(|rule| Rule::read(rule, budget))
            .collect::<Result<_, _>>()?;
        Ok(Self { rules })
    }

    fn objection(&self, facts: &Facts) -> Option<String> {
        let mut matched = Source::attributes();
        for rule in &self.rules {
            let tried = Tried {
                facts,
                matched: &matched,
            };
            if let Some(reason) = rule.objection(&tried) {
                return Some(format!("the rule {:?} does not match: {reason}", rule.name));
            }
            matched.add(&rule.gives);
        }
        None
    }
}

impl Rule {
    fn read(map: &Map<String, Value>, budget: &mut usize) -> Result<Self, NfdError> {
        let name = match map.get("name") {
            Some(Value::String(name)) if !name.is_empty() => name.clone(),
            _ => "unnamed".to_owned(),
        };
        let mut gives = BTreeMap::new();
        for key in ["labels", "vars"] {
            if let Some(Value::Object(entries)) = map.get(key) {
                let texts = entries
                    .iter()
                    .filter_map(|(k, v)| Some((k.clone(), scalar(v)?)));
                gives.extend(texts);
            }
        }
        let any = objects(map, "matchAny")?
            .into_iter()
            .map(|alternative| terms(alternative, budget))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            name,
            gives,
            all: terms(map, budget)?,
            any,
        })
    }

    fn objection(&self, tried: &Tried<'_>) -> Option<String> {
        let failing = |terms: &[Term]| terms.iter().find_map(|term| term.objection(tried));
        if !self.any.is_empty() {
            let mut reasons = self.any.iter().map(|terms| failing(terms));
            if !reasons.clone().any(|reason| reason.is_none()) {
                return reasons.next().flatten();
            }
        }
        failing(&self.all)
    }
}

fn terms(map: &Map<String, Value>, budget: &mut usize) -> Result<Vec<Term>, NfdError> {
    objects(map, "matchFeatures")?
        .into_iter()
        .map(|term| Term::read(term, budget))
        .collect()
}

impl Term {
    fn read(map: &Map<String, Value>, budget: &mut usize) -> Result<Self, NfdError> {
        let Some(Value::String(source)) = map.get("feature") else {
            return wrong("an item of matchFeatures needs `feature`, such as cpu.cpuid");
        };
        let mut spend = || {
            *budget = budget.checked_sub(1).ok_or_else(|| {
                NfdError(format!("it has more than {MOST_EXPRESSIONS} expressions"))
            })?;
            Ok::<(), NfdError>(())
        };
        let mut expressions = Vec::new();
        match map.get("matchExpressions") {
            None | Some(Value::Null) => {}
            Some(Value::Object(entries)) => {
                for (name, expression) in entries {
                    spend()?;
                    let read = Expression::read(expression);
                    let read = read.map_err(|e| NfdError(format!("{source} {name}: {e}")))?;
                    expressions.push((name.clone(), read));
                }
            }
            Some(_) => return wrong(format!("matchExpressions of {source} is no mapping")),
        }
        let name = match map.get("matchName") {
            None | Some(Value::Null) => None,
            Some(expression) => {
                spend()?;
                let read = Expression::read(expression);
                Some(read.map_err(|e| NfdError(format!("matchName of {source}: {e}")))?)
            }
        };
        Ok(Self {
            source: source.to_ascii_lowercase(),
            expressions,
            name,
        })
    }

    fn objection(&self, tried: &Tried<'_>) -> Option<String> {
        let Some(source) = tried.source(&self.source) else {
            return Some(format!("nothing is known of {}", self.source));
        };
        if let Some(failing) = source.failing(&self.expressions) {
            return Some(match failing {
                Some((name, expression)) => format!("{} {name} {expression}", self.source),
                None => format!("no {} has all that is asked for", self.source),
            });
        }
        let name = self.name.as_ref()?;
        (!source.has_name(name)).then(|| format!("no name in {} {name}", self.source))
    }
}

/// The objects of a list; absent and null lists are empty.
fn objects<'v>(
    map: &'v Map<String, Value>,
    key: &str,
) -> Result<Vec<&'v Map<String, Value>>, NfdError> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| match item {
                Value::Object(item) => Ok(item),
                _ => wrong(format!("`{key}` holds something else than objects")),
            })
            .collect(),
        Some(_) => wrong(format!("`{key}` is no list")),
    }
}

/// A text, number or boolean as a text, as YAML would have it.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
