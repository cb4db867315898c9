//! Node Feature Discovery's image-compatibility artifact (`v1alpha1`): rules over facts of a node
//! that a publisher attaches to an image. It is parsed here from JSON and compared with what a
//! login provides; callers fetch the artifact.
//!
//! An image is compatible when in one of its sets every rule matches. Tags and weights of
//! sets are not used: they order nodes for an image, not images for a node. Templates are
//! not run, so a later rule that needs what one would give does not match.

mod domains;
mod expression;
pub(crate) mod node_features;
mod objection;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use domains::{DOMAINS, is_in_a_domain};
use expression::{Expression, scalar};

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

impl NfdError {
    pub(crate) fn new(problem: impl Into<String>) -> Self {
        Self(problem.into())
    }
}

fn wrong<T>(problem: impl Into<String>) -> Result<T, NfdError> {
    Err(NfdError::new(problem))
}

/// Keys of the specification's objects. A value under another key would be a condition that is
/// ignored, or a misspelt one.
const SPECIFICATION_KEYS: &[&str] = &["version", "compatibilities"];
const SET_KEYS: &[&str] = &["description", "tag", "weight", "rules"];
const RULE_KEYS: &[&str] = &[
    "annotations",
    "extendedResources",
    "labels",
    "labelsTemplate",
    "matchAny",
    "matchFeatures",
    "name",
    "taints",
    "vars",
    "varsTemplate",
];
const ALTERNATIVE_KEYS: &[&str] = &["matchFeatures"];
const TERM_KEYS: &[&str] = &["feature", "matchExpressions", "matchName"];

fn only(map: &Map<String, Value>, keys: &[&str]) -> Result<(), NfdError> {
    match map.keys().find(|key| !keys.contains(&key.as_str())) {
        Some(key) => wrong(format!(
            "the key {key:?} is not known, only {}",
            keys.join(", ")
        )),
        None => Ok(()),
    }
}

impl Compatibility {
    /// Reads a specification from JSON, which is what its YAML comes to.
    ///
    /// # Errors When it is not JSON, of another version, too large, or has something without a
    /// meaning: an unknown key, domain or operator, values that an operator does not take.
    pub fn parse(json: &str) -> Result<Self, NfdError> {
        if json.len() > MOST_BYTES {
            return wrong(format!("it has more than {MOST_BYTES} bytes"));
        }
        let value: Value =
            serde_json::from_str(json).map_err(|error| NfdError(format!("not JSON: {error}")))?;
        let Value::Object(map) = &value else {
            return wrong("expected an object with version and compatibilities");
        };
        only(map, SPECIFICATION_KEYS)?;
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
        only(map, SET_KEYS)?;
        let rules = objects(map, "rules")?
            .into_iter()
            .map(|rule| Rule::read(rule, budget))
            .collect::<Result<_, _>>()?;
        Ok(Self { rules })
    }
}

impl Rule {
    fn read(map: &Map<String, Value>, budget: &mut usize) -> Result<Self, NfdError> {
        only(map, RULE_KEYS)?;
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
            .map(|alternative| {
                only(alternative, ALTERNATIVE_KEYS)?;
                terms(alternative, budget)
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            name,
            gives,
            all: terms(map, budget)?,
            any,
        })
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
        only(map, TERM_KEYS)?;
        if !is_in_a_domain(&source.to_ascii_lowercase()) {
            return wrong(format!(
                "the feature {source:?} is not known, only those of {}",
                DOMAINS.join(", ")
            ));
        }
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

#[cfg(test)]
mod tests;
