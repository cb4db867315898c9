//! Profiles: named, tagged documents that say what a login provides and what is done for it.

use metahub_hardware::{Feature, Target};
use serde::Serialize;

use crate::features;
use crate::location::Location;
use crate::reader::Reader;
use crate::yaml::{Mark, Node};
use crate::{Action, ManifestSelect, ProfileName};

/// What a login that names it provides, and what is done for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Profile {
    /// What it is called.
    pub name: ProfileName,
    /// The features that it provides.
    pub features: Vec<Feature>,
    /// Targets whose images it vouches for where none of its own line fits, best first.
    pub fallback: Vec<Target>,
    /// What is done, in order.
    pub actions: Vec<Action>,
    /// Where it was read; nothing for one that is built in.
    pub location: Option<Location>,
}

pub(crate) const PROFILE_KEYS: &[&str] = &["name", "features", "fallback", "actions"];

impl Profile {
    /// The built-in profile of a CPU target: it provides the target and chooses by it.
    pub(crate) fn of_target(target: &Target) -> Option<Self> {
        Some(Self {
            name: ProfileName::new(None, target.as_str(), None).ok()?,
            features: vec![Feature::of_target(target)],
            fallback: Vec::new(),
            actions: vec![Action::ManifestSelect(ManifestSelect::default())],
            location: None,
        })
    }

    /// The login that sees everything as it is: it provides nothing and does nothing.
    pub const ANY: &'static str = "any";

    /// The built-in profile [`ANY`](Self::ANY). No document may be called that.
    pub(crate) fn any() -> Option<Self> {
        Some(Self {
            name: ProfileName::new(None, Self::ANY, None).ok()?,
            features: Vec::new(),
            fallback: Vec::new(),
            actions: Vec::new(),
            location: None,
        })
    }

    pub(crate) fn is_any(&self) -> bool {
        self.location.is_none() && self.name.selector() == Self::ANY
    }

    /// Reads a `profile:` or one item of `profiles:`, and where its name stands.
    pub(crate) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<(Self, Mark)> {
        const NAME: &str = "library/zen3:latest";
        const ACTIONS: &str = "actions: [{name: manifest-select, event: post-manifest-list-get}]";
        let errors = reader.errors();
        let fields = reader.fields(node, "a profile", PROFILE_KEYS)?;
        let name_node = fields.required(reader, "name", NAME);
        let name = name_node
            .and_then(|n| reader.parsed(n, "name", "bad-name", "name: library/zen3:latest"));
        if let Some(node) = name_node
            && name.is_some()
            && name == ProfileName::new(None, Self::ANY, None).ok()
        {
            reader.error(
                "reserved-name",
                node.mark,
                "a profile cannot be called `any`: that login gets everything as it is".to_owned(),
                "give it another name, as in `name: library/zen3:latest`".to_owned(),
            );
        }
        let features = fields
            .get("features")
            .and_then(|n| features::read_provided(reader, n, "features"))
            .unwrap_or_default();
        let fallback = fields
            .get("fallback")
            .map(|n| features::fallback(reader, n))
            .unwrap_or_default();
        let mut actions = Vec::new();
        if let Some(list) = fields.get("actions") {
            for item in reader.list(list, "actions", ACTIONS).unwrap_or_default() {
                actions.extend(Action::read(reader, item));
            }
        }
        if errors == reader.errors() && features.is_empty() && actions.is_empty() {
            reader.warn(
                "empty-profile",
                fields.mark,
                "this profile provides nothing and does nothing",
                format!("give it `features: [arch:zen3]` or `{ACTIONS}`"),
            );
        }
        let profile = Self {
            name: name?,
            features,
            fallback,
            actions,
            location: Some(reader.location(fields.mark)),
        };
        (errors == reader.errors()).then_some((profile, name_node?.mark))
    }
}
