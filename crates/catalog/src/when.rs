//! `when`: the requests and images for which an action is done.

use std::collections::BTreeMap;

use metahub_hardware::Feature;
use metahub_jq::Program;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::actions::values;
use crate::reader::{Reader, one_of};
use crate::yaml::Node;
use crate::{Event, RepositoryPattern, TextPattern, features};

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

/// Most conditions within one another: `not` within `not`.
const MOST_DEPTH: usize = 4;

impl When {
    /// All keys.
    pub(crate) const KEYS: &'static [&'static str] = &[
        "repository",
        "tag",
        "platform",
        "features",
        "annotation",
        "label",
        "jq",
        "not",
    ];

    /// The keys of which something is known when an event happens.
    pub(crate) fn known(event: Event) -> &'static [&'static str] {
        match event {
            Event::PreManifestGet => &["repository", "tag", "features", "not"],
            Event::PostManifestListGet => {
                &["repository", "tag", "features", "annotation", "jq", "not"]
            }
            Event::PostManifestGet => Self::KEYS,
            Event::PostTagsListGet => &["repository", "features", "not"],
        }
    }

    /// The schema of an event's conditions.
    pub(crate) fn schema(event: Event, own: &str) -> Value {
        let patterns = |what: &str| {
            let mut schema = values::texts_schema(what);
            if let Some(value) = schema.pointer_mut("/additionalProperties") {
                *value = values::pattern_schema("what the whole value matches");
            }
            schema
        };
        let properties = Self::known(event).iter().map(|key| {
            let schema = match *key {
                "repository" => values::pattern_schema("the repository that was asked for"),
                "tag" => values::pattern_schema("the tag that was asked for"),
                "platform" => values::pattern_schema("the image's OS/ARCHITECTURE[/VARIANT]"),
                "features" => json!({ "$ref": "#/$defs/features" }),
                "annotation" => patterns("Annotations of the index or manifest, by name"),
                "label" => patterns("Labels of the image, by name"),
                "jq" => json!({
                    "description": "A jq program over the index or manifest; it holds when it \
                                    puts out a value, and none is false or null",
                    "type": "string",
                }),
                _ => json!({ "$ref": own }),
            };
            ((*key).to_owned(), schema)
        });
        json!({
            "description": format!("What must hold on {event}; all of it"),
            "type": "object",
            "minProperties": 1,
            "additionalProperties": false,
            "properties": properties.collect::<serde_json::Map<_, _>>(),
        })
    }

    /// Reads the condition of an action that happens on `event`.
    pub(crate) fn read(reader: &mut Reader<'_>, node: &Node, event: Event) -> Option<Self> {
        Self::read_within(reader, node, event, 0)
    }

    fn read_within(
        reader: &mut Reader<'_>,
        node: &Node,
        event: Event,
        depth: usize,
    ) -> Option<Self> {
        let errors = reader.errors();
        let what = if depth == 0 { "`when`" } else { "`not`" };
        if depth > MOST_DEPTH {
            let message = format!("`not` stands in `not` more than {MOST_DEPTH} times");
            let help = "two of them cancel out: remove both".to_owned();
            reader.error("too-deep", node.mark, message, help);
            return None;
        }
        let fields = reader.fields(node, what, Self::KEYS)?;
        let known = Self::known(event);
        for key in Self::KEYS.iter().filter(|key| !known.contains(key)) {
            if let Some(mark) = fields.key(key) {
                let message = format!("`{key}` is not known on {event}");
                let help = one_of(&format!("keys known on {event}"), known);
                reader.error("not-known", mark, message, help);
            }
        }
        let mut pattern = |key, example| {
            fields
                .get(key)
                .and_then(|node| reader.parsed(node, key, "bad-pattern", example))
        };
        let tag = pattern("tag", "tag: v.*");
        let platform = pattern("platform", "platform: linux/arm64.*");
        let repository = fields.get("repository").and_then(|node| {
            reader.parsed(node, "repository", "bad-pattern", "repository: lab/.*")
        });
        let mut patterns = |key, example| {
            fields
                .get(key)
                .map(|node| values::parsed(reader, node, key, "bad-pattern", example, values::key))
                .unwrap_or_default()
        };
        let annotation = patterns("annotation", "annotation: {org.example.kind: release}");
        let label = patterns("label", "label: {site: here}");
        let features = fields.get("features").and_then(|node| {
            let features = features::read(reader, node)?;
            if features.len() > values::MOST_ITEMS {
                let most = values::MOST_ITEMS;
                let message = format!("`features` lists more than {most} features");
                reader.error("too-many", node.mark, message, None);
            }
            Some(features)
        });
        let jq = fields
            .get("jq")
            .and_then(|node| values::program(reader, node, "jq", ".config.size > 0"));
        let not = fields
            .get("not")
            .and_then(|node| Self::read_within(reader, node, event, depth + 1));
        let when = Self {
            annotation,
            features: features.unwrap_or_default(),
            jq,
            label,
            not: not.map(Box::new),
            platform,
            repository,
            tag,
        };
        if errors == reader.errors() && when == Self::default() {
            let message = format!("{what} says nothing");
            let help = one_of(&format!("keys known on {event}"), known);
            reader.error("missing-key", node.mark, message, help);
        }
        (errors == reader.errors()).then_some(when)
    }
}
