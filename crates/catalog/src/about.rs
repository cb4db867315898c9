//! What documents tell people: what an application is, where a tag is documented and how certain
//! that is. Nothing that is served depends on it.

use std::str::FromStr;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::reader::Reader;
use crate::version_pattern::VersionPattern;
use crate::yaml::Node;

/// A document's description of its collections' application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct About {
    /// What it is, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its home page, a URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub homepage: Option<String>,
    /// Its licence, an SPDX expression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Words that people search for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<String>,
    /// Which tags of its collections are versions, of which `metahub catalog update` looks for
    /// newer ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub update: Vec<VersionPattern>,
}

/// A collection's statements about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AboutCollection {
    /// Why there is no image that runs on any machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_generic: Option<String>,
}

/// An entry's statements about its image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AboutEntry {
    /// Where the image is documented, a URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub documented: Option<String>,
    /// How certain it is that the image exists and is as the entry states.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certainty: Option<Certainty>,
    /// Whether its publisher is known to move the tag.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub moving: bool,
    /// Whether it holds code for several CPU targets and chooses when it runs.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fat: bool,
}

/// How certain a statement about an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Certainty {
    /// Its publisher documents this very tag.
    High,
    /// It follows from a pattern that its publisher documents, or others report it.
    Medium,
    /// No source for it was found.
    Low,
}

impl Certainty {
    const ALL: [(&str, Self); 3] = [
        ("high", Self::High),
        ("medium", Self::Medium),
        ("low", Self::Low),
    ];
}

impl FromStr for Certainty {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut known = Self::ALL.into_iter();
        let found = known.find(|(name, _)| *name == text);
        found
            .map(|(_, certainty)| certainty)
            .ok_or_else(|| format!("'{text}' is none of high, medium and low"))
    }
}

pub(crate) const ABOUT_KEYS: &[&str] =
    &["description", "homepage", "license", "keywords", "update"];
pub(crate) const ABOUT_COLLECTION_KEYS: &[&str] = &["no_generic"];
pub(crate) const ABOUT_ENTRY_KEYS: &[&str] = &["documented", "certainty", "moving", "fat"];

impl About {
    pub(crate) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Self> {
        let fields = reader.fields(node, "`about`", ABOUT_KEYS)?;
        let description = fields.get("description").and_then(|node| {
            let text = reader.text(node, "description", "description: Molecular dynamics");
            text.map(str::to_owned)
        });
        let homepage = fields
            .get("homepage")
            .and_then(|node| url(reader, node, "homepage"));
        let license = fields.get("license").and_then(|node| license(reader, node));
        let mut keywords = Vec::new();
        if let Some(list) = fields.get("keywords") {
            let example = "keywords: [chemistry, molecular dynamics]";
            for item in reader.list(list, "keywords", example).unwrap_or_default() {
                let word = reader.text(item, "keywords", example);
                keywords.extend(word.map(str::to_owned));
            }
        }
        let mut update = Vec::new();
        if let Some(list) = fields.get("update") {
            let example = "update: ['[0-9]{4}']";
            for item in reader.list(list, "update", example).unwrap_or_default() {
                update.extend(reader.parsed(item, "update", "bad-pattern", example));
            }
        }
        Some(Self {
            description,
            homepage,
            license,
            keywords,
            update,
        })
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn schema() -> Value {
        object(
            "What the application is, for people; nothing served depends on it",
            &json!({
                "description": { "type": "string", "description": "What it is, in one sentence" },
                "homepage": address("Its home page"),
                "license": { "type": "string", "description": "An SPDX expression" },
                "keywords": {
                    "description": "Words that people search for",
                    "type": "array",
                    "items": { "type": "string" },
                },
                "update": {
                    "description": "Which tags are versions: regular expressions that match whole \
                                    tags, with the version as their first group if there is one",
                    "type": "array",
                    "items": { "type": "string" },
                },
            }),
        )
    }
}

impl AboutCollection {
    pub(crate) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Self> {
        let fields = reader.fields(node, "`about` of a collection", ABOUT_COLLECTION_KEYS)?;
        let no_generic = fields.get("no_generic").and_then(|node| {
            let example = "no_generic: its publisher builds for GPUs only";
            reader.text(node, "no_generic", example).map(str::to_owned)
        });
        Some(Self { no_generic })
    }

    pub(crate) fn schema() -> Value {
        object(
            "What is to be known of the collection, for people",
            &json!({
                "no_generic": {
                    "description": "Why there is no image that runs on any machine",
                    "type": "string",
                },
            }),
        )
    }
}

impl AboutEntry {
    pub(crate) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Self> {
        let fields = reader.fields(node, "`about` of an entry", ABOUT_ENTRY_KEYS)?;
        let documented = fields
            .get("documented")
            .and_then(|node| url(reader, node, "documented"));
        let certainty = fields
            .get("certainty")
            .and_then(|node| reader.parsed(node, "certainty", "bad-certainty", "certainty: high"));
        let mut flag = |name| {
            let node = fields.get(name);
            node.is_some_and(|node| flag(reader, node, name))
        };
        Some(Self {
            documented,
            certainty,
            moving: flag("moving"),
            fat: flag("fat"),
        })
    }

    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn schema() -> Value {
        let names = Certainty::ALL.map(|(name, _)| name);
        object(
            "What is known of the image, for people",
            &json!({
                "documented": address("Where the image is documented"),
                "certainty": {
                    "description": "How certain it is that the image is what the entry says",
                    "enum": names,
                },
                "moving": {
                    "description": "Whether its publisher moves the tag",
                    "type": "boolean",
                },
                "fat": {
                    "description": "Whether it holds code for several CPU targets",
                    "type": "boolean",
                },
            }),
        )
    }
}

fn object(description: &str, properties: &Value) -> Value {
    json!({
        "description": description,
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    })
}

fn address(description: &str) -> Value {
    json!({ "type": "string", "description": description, "pattern": "^https?://[^ ]+$" })
}

fn url(reader: &mut Reader<'_>, node: &Node, what: &'static str) -> Option<String> {
    let example = format!("{what}: https://www.example.org/");
    let text = reader.text(node, what, &example)?;
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let plain = |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic());
    if rest.is_some_and(plain) {
        return Some(text.to_owned());
    }
    let message = format!("`{what}` is a URL, not '{text}'");
    let help = format!("write it as in `{example}`");
    reader.error("bad-url", node.mark, message, help);
    None
}

fn flag(reader: &mut Reader<'_>, node: &Node, what: &'static str) -> bool {
    let example = format!("{what}: true");
    match reader.text(node, what, &example) {
        None | Some("false") => false,
        Some("true") => true,
        Some(text) => {
            let message = format!("`{what}` is true or false, not '{text}'");
            let help = format!("write it as in `{example}`");
            reader.error("wrong-type", node.mark, message, help);
            false
        }
    }
}

fn license(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    const EXAMPLE: &str = "license: LGPL-2.1-or-later";
    let text = reader.text(node, "license", EXAMPLE)?;
    match spdx::Expression::parse(text) {
        Ok(_) => Some(text.to_owned()),
        Err(error) => {
            let message = format!("`license`: {}", error.reason);
            let help = format!("write an SPDX expression, as in `{EXAMPLE}`");
            reader.error("bad-license", node.mark, message, help);
            None
        }
    }
}

/// The fields of a description; empty if it has none.
pub(crate) fn fields(about: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(about) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}
