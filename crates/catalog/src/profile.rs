//! Profiles: named, tagged documents that say what a login provides and which actions run for it.

use std::sync::Arc;

use metahub_hardware::{Feature, Microarchitectures, Target};
use serde::Serialize;

use crate::actions::ManifestSelect;
use crate::features;
use crate::location::Location;
use crate::parameters::Parameter;
use crate::reader::Reader;
use crate::source::Source;
use crate::substitution::Values;
use crate::yaml::{Mark, Node, Value};
use crate::{Action, Args, ProfileName};

/// A profile: what a login that names it provides, and its actions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Profile {
    /// What it is called.
    pub name: ProfileName,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What a login may set of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
    /// The profiles that it begins with: what they provide and do comes before its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extends: Vec<ProfileName>,
    /// The features that it provides.
    pub features: Vec<Feature>,
    /// Features that the default of a parameter states: they give way to what a login states.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub default_features: Vec<Feature>,
    /// Targets whose images it vouches for where none of its own line fits, best first.
    pub fallback: Vec<Target>,
    /// What is done, in order.
    pub actions: Vec<Action>,
    /// Where it was read; nothing for one that is built in.
    pub location: Option<Location>,
    /// What it is read from again under other values of its parameters.
    #[serde(skip)]
    pub(crate) template: Option<Arc<Template>>,
}

/// A profile with parameters as it was written.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) node: Node,
    source: Arc<Source>,
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.node == other.node
    }
}

impl Eq for Template {}

/// A profile as it was read, and where its names stand.
pub(crate) struct Read {
    pub(crate) profile: Profile,
    pub(crate) name: Mark,
    /// Where each of the profiles stands that it extends.
    pub(crate) extends: Vec<Mark>,
}

pub(crate) const PROFILE_KEYS: &[&str] = &[
    "name",
    "description",
    "parameters",
    "extends",
    "features",
    "fallback",
    "actions",
];

/// Most profiles that one extends by itself.
const MOST_EXTENDED: usize = 16;

impl Profile {
    /// The built-in profile of a CPU target: it provides the target and chooses by it.
    pub(crate) fn of_target(target: &Target) -> Option<Self> {
        Some(Self {
            features: vec![Feature::of_target(target)],
            actions: vec![Args::ManifestSelect(ManifestSelect::default()).into()],
            ..Self::named(ProfileName::new(None, target.as_str(), None).ok()?)
        })
    }

    /// The login that sees everything as it is: it provides nothing and does nothing.
    pub const ANY: &'static str = "any";

    /// The built-in profile [`ANY`](Self::ANY). No document may be called that.
    pub(crate) fn any() -> Option<Self> {
        Some(Self::named(ProfileName::new(None, Self::ANY, None).ok()?))
    }

    /// One that provides nothing and does nothing.
    fn named(name: ProfileName) -> Self {
        Self {
            name,
            description: None,
            parameters: Vec::new(),
            extends: Vec::new(),
            features: Vec::new(),
            default_features: Vec::new(),
            fallback: Vec::new(),
            actions: Vec::new(),
            location: None,
            template: None,
        }
    }

    pub(crate) fn is_any(&self) -> bool {
        self.location.is_none() && self.name.selector() == Self::ANY
    }

    /// Reads a `profile:` or one item of `profiles:`.
    pub(crate) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Read> {
        const ACTIONS: &str = "actions: [{name: manifest-select, event: post-manifest-list-get}]";
        let errors = reader.errors();
        let fields = reader.fields(node, "a profile", PROFILE_KEYS)?;
        let name_node = fields.required(reader, "name", "library/zen3:latest");
        let name = name_node.and_then(|node| read_name(reader, node));
        let description = fields
            .get("description")
            .and_then(|node| reader.text(node, "description", "description: what it is for"));
        let parameters = fields
            .get("parameters")
            .map(|node| Parameter::read_all(reader, node))
            .unwrap_or_default();
        let extends = fields
            .get("extends")
            .map(|node| read_extends(reader, node))
            .unwrap_or_default();
        // All problems are reported, not only the first.
        let placeholder = || ProfileName::new(None, "unnamed", None).ok();
        let mut profile = Self {
            description: description.map(str::to_owned),
            location: Some(reader.location(fields.mark)),
            ..Self::named(name.clone().or_else(placeholder)?)
        };
        let declared = errors == reader.errors();
        profile.parameters = parameters;
        if fields.get("parameters").is_none() {
            profile.read_body(reader, node, None);
        } else if declared {
            let template = Template {
                node: node.clone(),
                source: reader.source(),
            };
            profile.fill(reader, &template.node, &[]);
            if errors == reader.errors() {
                profile.check_values(reader, &template.node);
            }
            profile.template = Some(Arc::new(template));
        }
        let says_nothing = profile.features.is_empty()
            && profile.default_features.is_empty()
            && profile.actions.is_empty()
            && extends.is_empty();
        if errors == reader.errors() && says_nothing {
            reader.warn(
                "empty-profile",
                fields.mark,
                "this profile provides nothing and does nothing",
                format!("give it `features: [arch:zen3]` or `{ACTIONS}`"),
            );
        }
        let (names, marks) = extends.into_iter().unzip();
        profile.extends = names;
        let complete = name.is_some() && errors == reader.errors();
        complete.then_some(Read {
            profile,
            name: name_node?.mark,
            extends: marks,
        })
    }

    /// Reads what it provides and does, `values` put into its texts.
    fn read_body(&mut self, reader: &mut Reader<'_>, node: &Node, values: Option<&Values<'_>>) {
        let find = |key: &str| body(node, key);
        let put = |reader: &mut Reader<'_>, node: &Node| {
            let errors = reader.errors();
            let node = match values {
                Some(values) => values.put(reader, node),
                None => node.clone(),
            };
            (errors == reader.errors()).then_some(node)
        };
        if let Some(node) = find("features")
            && let Some(read) = put(reader, node)
        {
            let found = features::read_provided(reader, &read, "features");
            // A feature is as it was written: the text says whether a default is in it.
            let by_default = |text: &str| values.is_some_and(|values| values.is_by_default(text));
            let written: Vec<Feature> = texts(node)
                .filter(|text| by_default(text))
                .filter_map(|text| values?.filled(text).parse().ok())
                .collect();
            let (defaults, own) = found
                .unwrap_or_default()
                .into_iter()
                .partition(|feature| written.contains(feature));
            (self.default_features, self.features) = (defaults, own);
        }
        if let Some(node) = find("fallback").and_then(|node| put(reader, node)) {
            self.fallback = features::fallback(reader, &node);
        }
        if let Some(node) = find("actions").and_then(|node| put(reader, node)) {
            const EXAMPLE: &str =
                "actions: [{name: manifest-select, event: post-manifest-list-get}]";
            let items = reader.list(&node, "actions", EXAMPLE).unwrap_or_default();
            self.actions = items
                .iter()
                .filter_map(|item| Action::read(reader, item))
                .collect();
        }
    }

    fn fill(&mut self, reader: &mut Reader<'_>, node: &Node, given: &[(&str, String)]) {
        let parameters = std::mem::take(&mut self.parameters);
        let values = Values::of(&parameters, given);
        self.read_body(reader, node, Some(&values));
        self.parameters = parameters;
    }

    /// Reads it once more under each value that a parameter may have.
    fn check_values(&self, reader: &mut Reader<'_>, node: &Node) {
        for parameter in &self.parameters {
            for value in &parameter.allowed {
                if *value == parameter.default {
                    continue;
                }
                let mut problems = Vec::new();
                let mut under = self.clone();
                let graph = reader.graph();
                let mut again = Reader::new(reader.source(), graph, &mut problems);
                under.fill(&mut again, node, &[(&parameter.name, value.clone())]);
                for problem in problems.into_iter().filter(crate::Problem::is_error) {
                    let name = &parameter.name;
                    reader.pass_on(problem, &format!("with `{name}` = '{value}': "));
                }
            }
        }
    }

    /// The same with other values of its parameters.
    pub(crate) fn with(&self, graph: &Microarchitectures, given: &[(&str, String)]) -> Self {
        let mut filled = self.clone();
        if let Some(template) = &self.template {
            // What is wrong under a value of an account's own is left out.
            let mut problems = Vec::new();
            let mut reader = Reader::new(Arc::clone(&template.source), graph, &mut problems);
            filled.fill(&mut reader, &template.node, given);
        }
        filled
    }
}

fn read_name(reader: &mut Reader<'_>, node: &Node) -> Option<ProfileName> {
    let name = reader.parsed(node, "name", "bad-name", "name: library/zen3:latest")?;
    if Some(&name) == ProfileName::new(None, Profile::ANY, None).ok().as_ref() {
        reader.error(
            "reserved-name",
            node.mark,
            "a profile cannot be called `any`: that login gets everything as it is".to_owned(),
            "give it another name, as in `name: library/zen3:latest`".to_owned(),
        );
    }
    Some(name)
}

fn read_extends(reader: &mut Reader<'_>, node: &Node) -> Vec<(ProfileName, Mark)> {
    const EXAMPLE: &str = "extends: [library/base]";
    let items = reader.list(node, "extends", EXAMPLE).unwrap_or_default();
    if items.len() > MOST_EXTENDED {
        let message = format!("a profile extends at most {MOST_EXTENDED} others");
        reader.error("too-many", node.mark, message, None);
    }
    let items = items.iter().take(MOST_EXTENDED);
    items
        .filter_map(|item| {
            let name = reader.parsed(item, "extends", "bad-name", EXAMPLE)?;
            Some((name, item.mark))
        })
        .collect()
}

/// The value of a key of a mapping.
fn body<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    let Value::Map(pairs) = &node.value else {
        return None;
    };
    let is_key = |(name, _): &&(Node, Node)| matches!(&name.value, Value::Text(t) if t == key);
    let found = pairs.iter().find(is_key).map(|(_, value)| value);
    found.filter(|node| !matches!(node.value, Value::Null))
}

/// The texts of a list.
fn texts(node: &Node) -> impl Iterator<Item = &str> {
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        _ => &[],
    };
    items.iter().filter_map(|item| match &item.value {
        Value::Text(text) => Some(text.as_str()),
        _ => None,
    })
}
