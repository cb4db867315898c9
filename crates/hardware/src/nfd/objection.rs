//! Why an image is not compatible with a node: its rules compared with the node's features.

use super::node_features::{Failing, NodeFeatures, Source, Tried};
use super::{Compatibility, Rule, Set, Term, domains};
use crate::mismatch::Mismatch;

/// A reason against running an image on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Objection {
    /// In words.
    pub(crate) reason: String,
    /// Whether it is a fact, or something not known about the node.
    pub(crate) mismatch: Mismatch,
}

impl Compatibility {
    /// The reason against running the image on a node with these features; `None` when it is
    /// compatible.
    pub(crate) fn objection(&self, features: &NodeFeatures) -> Option<Objection> {
        let objections: Option<Vec<Objection>> = self
            .sets
            .iter()
            .map(|set| set.objection(features))
            .collect();
        let objections = objections?;
        // One set would be enough: the least certain objection decides.
        let mismatch = objections
            .iter()
            .map(|objection| objection.mismatch)
            .min()?;
        let Objection { reason, .. } = objections.into_iter().next()?;
        let reason = match self.sets.len() {
            1 => reason,
            many => format!("none of {many} sets of rules matches; of the first, {reason}"),
        };
        Some(Objection { reason, mismatch })
    }
}

impl Set {
    /// All rules must match: the first objection is reported, the most certain one decides.
    fn objection(&self, features: &NodeFeatures) -> Option<Objection> {
        let mut matched = Source::attributes();
        let mut found: Option<Objection> = None;
        for rule in &self.rules {
            let tried = Tried {
                features,
                matched: &matched,
            };
            match rule.objection(&tried) {
                None => matched.add(&rule.gives),
                Some(Objection { reason, mismatch }) => {
                    let first = found.get_or_insert_with(|| Objection {
                        reason: format!("the rule {:?} does not match: {reason}", rule.name),
                        mismatch,
                    });
                    first.mismatch = first.mismatch.max(mismatch);
                }
            }
        }
        found
    }
}

impl Rule {
    fn objection(&self, tried: &Tried<'_>) -> Option<Objection> {
        let failing = |terms: &[Term]| worst(terms.iter().filter_map(|term| term.objection(tried)));
        let none_of_any = match self.any.as_slice() {
            [] => None,
            any => {
                let objections: Option<Vec<Objection>> =
                    any.iter().map(|terms| failing(terms)).collect();
                objections.and_then(|objections| {
                    let mismatch = objections
                        .iter()
                        .map(|objection| objection.mismatch)
                        .min()?;
                    let Objection { reason, .. } = objections.into_iter().next()?;
                    Some(Objection { reason, mismatch })
                })
            }
        };
        worst(none_of_any.into_iter().chain(failing(&self.all)))
    }
}

/// The first objection, as certain as the most certain of all.
fn worst(objections: impl Iterator<Item = Objection>) -> Option<Objection> {
    objections.reduce(|first, other| Objection {
        reason: first.reason,
        mismatch: first.mismatch.max(other.mismatch),
    })
}

impl Term {
    fn objection(&self, tried: &Tried<'_>) -> Option<Objection> {
        let object = |reason: String, mismatch| Some(Objection { reason, mismatch });
        let Some(source) = tried.source(&self.source) else {
            let mismatch = if domains::is_feature(&self.source) {
                Mismatch::Unstated
            } else {
                Mismatch::Unknown
            };
            return object(format!("nothing is known of {}", self.source), mismatch);
        };
        // Features that an earlier rule creates are not known where it did not match.
        let proven = |is_stated: bool| match is_stated && self.source != domains::MATCHED {
            true => Mismatch::Proven,
            false => Mismatch::Unstated,
        };
        match source.failing(&self.expressions) {
            None => {}
            Some(Failing::Expression(name, expression)) => {
                let reason = format!("{} {name} {expression}", self.source);
                return object(reason, proven(source.states(name)));
            }
            Some(Failing::Instances) => {
                let reason = format!("no {} has all that is asked for", self.source);
                return object(reason, proven(source.states_instances()));
            }
        }
        let name = self.name.as_ref()?;
        if source.has_name(name) {
            return None;
        }
        let reason = format!("no name in {} {name}", self.source);
        object(reason, proven(source.states_names()))
    }
}
