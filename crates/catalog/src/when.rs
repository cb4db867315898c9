//! `when`: on which requests, and for which images, an action is done.

use std::collections::BTreeMap;

use metahub_hardware::Feature;
use metahub_jq::Program;
use serde::{Serialize, Serializer};

use crate::{RepositoryPattern, TextPattern};

/// What must hold for an action to be done: all that is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct When {
    /// Annotations of the index or manifest, each with a pattern of its value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotation: BTreeMap<String, TextPattern>,
    /// Features that the login provides, as an entry that requires them would find.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<Feature>,
    /// A program over the index or manifest. It holds when it puts out a value, and no value is
    /// `false` or `null`.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "source")]
    pub jq: Option<Program>,
    /// Labels of the image, each with a pattern of its value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub label: BTreeMap<String, TextPattern>,
    /// What must not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not: Option<Box<When>>,
    /// The image's platform, as `OS/ARCHITECTURE[/VARIANT]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<TextPattern>,
    /// The repository that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<RepositoryPattern>,
    /// The tag that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<TextPattern>,
}

fn source<S: Serializer>(program: &Option<Program>, serializer: S) -> Result<S::Ok, S::Error> {
    match program {
        Some(program) => serializer.serialize_str(program.source()),
        None => serializer.serialize_none(),
    }
}
