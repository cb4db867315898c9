//! Detected facts, collected from many places.

use serde::Serialize;

use crate::feature::Feature;

/// A feature of the node and where it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// The feature.
    pub feature: Feature,
    /// A path below the root, or a tool's name.
    pub from: String,
}

/// Facts as they are gathered; the first place that states one counts.
#[derive(Default)]
pub(crate) struct Facts(Vec<Fact>);

impl Facts {
    /// Adds a fact unless its key has one, or its value is invalid.
    pub(crate) fn add(&mut self, key: &str, value: &str, from: &str) {
        if let Ok(feature) = Feature::new(key, value) {
            self.push(feature, from);
        }
    }

    pub(super) fn push(&mut self, feature: Feature, from: &str) {
        if !self.0.iter().any(|fact| fact.feature == feature) {
            self.0.push(Fact {
                feature,
                from: from.to_owned(),
            });
        }
    }

    pub(super) fn into_list(self) -> Vec<Fact> {
        self.0
    }
}
