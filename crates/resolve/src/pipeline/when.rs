//! Evaluates an action's condition, as far as its inputs are known.
//!
//! In three-valued logic: a condition that is unknown, or cannot be evaluated, neither holds nor
//! does its negation, so the action is not done.

use std::collections::BTreeMap;

use metahub_catalog::{Composed, TextPattern, When};
use metahub_hardware::fit;
use metahub_oci::{Index, JsonMap, Platform};
use serde_json::Value;

use super::request::Request;

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    Yes,
    No,
    /// It depends on inputs not known yet, or a program failed.
    Unknown,
}

impl Holds {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, Self::Yes) => Self::Yes,
            _ => Self::Unknown,
        }
    }

    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
        }
    }

    fn known(holds: Option<bool>) -> Self {
        match holds {
            Some(true) => Self::Yes,
            Some(false) => Self::No,
            None => Self::Unknown,
        }
    }
}

/// The known facts about the document that an action changes.
#[derive(Clone, Copy, Default)]
pub(crate) struct ConditionFacts<'a> {
    /// The index or manifest.
    pub(crate) document: Option<&'a JsonMap>,
    /// The configuration, of a single image.
    pub(crate) config: Option<&'a JsonMap>,
}

/// Whether `when` holds.
pub(crate) fn holds(when: &When, request: &Request<'_>, facts: ConditionFacts<'_>) -> Holds {
    let repository = when.repository.as_ref().map_or(Holds::Yes, |pattern| {
        Holds::known(request.repository.map(|name| pattern.matches(name)))
    });
    let tag = when.tag.as_ref().map_or(Holds::Yes, |pattern| {
        Holds::known(request.tag.map(|tag| pattern.matches(tag.as_str())))
    });
    let features = Holds::known(Some(fit(&when.features, request.provided).fits()));
    let known = repository.and(tag).and(features);
    let mut all = known
        .and(platform(when, facts))
        .and(texts(&when.annotation, facts.document, annotations))
        .and(texts(&when.label, facts.config, labels));
    // The dearest last, and only where it matters.
    if all != Holds::No
        && let Some(program) = &when.jq
    {
        all = all.and(match facts.document {
            None => Holds::Unknown,
            Some(document) => match program.run(&Value::Object(document.clone())) {
                Ok(values) => Holds::known(Some(!values.is_empty() && values.iter().all(is_true))),
                Err(_) => Holds::Unknown,
            },
        });
    }
    if all != Holds::No
        && let Some(not) = &when.not
    {
        all = all.and(holds(not, request, facts).not());
    }
    all
}

/// Whether `when` holds for an index, as far as it is about one.
/// [`for_request`](super::for_request()) has evaluated the part about the request.
pub(crate) fn holds_of_index(when: &When, profile: &Composed, index: &Index) -> bool {
    let facts = ConditionFacts {
        document: Some(index.as_json()),
        config: None,
    };
    holds(when, &Request::by(profile.provided()), facts) == Holds::Yes
}

fn is_true(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false))
}

fn platform(when: &When, facts: ConditionFacts<'_>) -> Holds {
    let Some(pattern) = &when.platform else {
        return Holds::Yes;
    };
    let platform = facts.config.map(Platform::from_json);
    let stated = platform.filter(|platform| !platform.os.is_empty());
    Holds::known(stated.map(|platform| pattern.matches(&platform.to_string())))
}

/// Whether each of the texts is there and matches.
fn texts(
    wanted: &BTreeMap<String, TextPattern>,
    document: Option<&JsonMap>,
    within: fn(&JsonMap) -> Option<&JsonMap>,
) -> Holds {
    if wanted.is_empty() {
        return Holds::Yes;
    }
    let Some(document) = document else {
        return Holds::Unknown;
    };
    let found = within(document);
    let matches = |(name, pattern): (&String, &TextPattern)| {
        let text = found.and_then(|map| map.get(name)).and_then(Value::as_str);
        text.is_some_and(|text| pattern.matches(text))
    };
    Holds::known(Some(wanted.iter().all(matches)))
}

fn annotations(document: &JsonMap) -> Option<&JsonMap> {
    document.get("annotations").and_then(Value::as_object)
}

fn labels(config: &JsonMap) -> Option<&JsonMap> {
    let config = config.get("config").and_then(Value::as_object);
    config
        .and_then(|config| config.get("Labels"))
        .and_then(Value::as_object)
}
