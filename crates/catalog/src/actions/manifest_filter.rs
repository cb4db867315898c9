//! `manifest-filter`: keeps or drops the entries of an index in which a jq program finds values.

use metahub_hardware::Feature;
use metahub_jq::Program;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::values::program;
use crate::Event;
use crate::features;
use crate::pattern::TextPattern;
use crate::reader::{Fields, Reader};
use crate::yaml::Node;

/// Most values that a filter lists.
const MOST_VALUES: usize = 256;

/// What a filter does with matching entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Entries {
    /// Keeps them, and no others.
    #[default]
    Keep,
    /// Drops them.
    Drop,
}

/// Evaluates each entry of an index alone: `select` runs on the index with that one entry. Its
/// outputs, and the items of lists among them, are what is found. The entry matches if all
/// conditions here hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestFilter {
    /// The jq program, for example `.manifests .[] .platform .features`.
    pub select: Program,
    /// What must be found, for example `arch:cascadeLake`.
    pub value: Option<String>,
    /// Of these at least one must be found.
    pub any: Vec<String>,
    /// All of these must be found.
    pub all: Vec<String>,
    /// None of these may be found.
    pub none: Vec<String>,
    /// Something that is found must match this as a whole.
    pub matches: Option<TextPattern>,
    /// What is done with matching entries.
    pub entries: Entries,
}

impl ManifestFilter {
    /// Its name in documents.
    pub const NAME: &'static str = "manifest-filter";
    /// When it happens.
    pub const EVENT: Event = Event::PostManifestListGet;
    /// The keys of its `args`.
    pub const ARGS: &'static [&'static str] = &[
        "select", "value", "any", "all", "none", "matches", "entries",
    ];
    /// Those that must be there.
    pub const REQUIRED: &'static [&'static str] = &["select"];

    /// The features that every kept entry has.
    pub fn features(&self) -> impl Iterator<Item = Feature> {
        let kept = (self.entries == Entries::Keep).then_some(());
        let values = kept
            .into_iter()
            .flat_map(|()| self.value.iter().chain(&self.all));
        values.filter_map(|value| value.parse().ok())
    }

    pub(super) fn schema() -> Value {
        let scalar = || json!({ "type": ["string", "number", "boolean"] });
        let list = |what: &str| {
            json!({
                "description": what,
                "type": "array",
                "minItems": 1,
                "maxItems": MOST_VALUES,
                "items": scalar(),
            })
        };
        json!({
            "select": {
                "description": "A jq program, run on an index that holds one entry",
                "type": "string",
            },
            "value": {
                "description": "An output is this, or a list that contains it",
                "type": ["string", "number", "boolean"],
            },
            "any": list("At least one of these is found"),
            "all": list("All of these are found"),
            "none": list("None of these is found"),
            "matches": {
                "description": "An anchored regular expression that something found matches",
                "type": "string",
            },
            "entries": {
                "description": "What becomes of entries of which all of this holds",
                "enum": ["keep", "drop"],
                "default": "keep",
            },
        })
    }

    pub(super) fn read(reader: &mut Reader<'_>, args: &Fields<'_>) -> Option<Self> {
        const SELECT: &str = ".manifests .[] .platform .features";
        const VALUE: &str = "arch:cascadeLake";
        let errors = reader.errors();
        let select = args
            .required(reader, "select", SELECT)
            .and_then(|node| program(reader, node, "select", SELECT));
        let value = args
            .get("value")
            .and_then(|node| Some((node, reader.text(node, "value", VALUE)?)));
        if let (Some(select), Some((node, value))) = (&select, value) {
            doubt(reader, select, node, value);
        }
        let mut lists = ["any", "all", "none"].map(|key| {
            args.get(key)
                .map(|node| values(reader, node, key, select.as_ref()))
                .unwrap_or_default()
        });
        let matches = args
            .get("matches")
            .and_then(|node| reader.parsed(node, "matches", "bad-pattern", "matches: v[0-9]+"));
        let entries = args.get("entries").and_then(|node| {
            match reader.text(node, "entries", "entries: drop")? {
                "keep" => Some(Entries::Keep),
                "drop" => Some(Entries::Drop),
                other => {
                    let message = format!("`entries` is keep or drop, not '{other}'");
                    let help = "write `entries: drop`".to_owned();
                    reader.error("wrong-type", node.mark, message, help);
                    None
                }
            }
        });
        let conditions = ["value", "any", "all", "none", "matches"];
        if conditions.iter().all(|key| args.key(key).is_none()) {
            let message = "`args` says nothing to look for";
            let help = format!("write `value: {VALUE}`, or one of `any`, `all`, `none`, `matches`");
            reader.error("missing-key", args.mark, message, help);
        }
        let mut take = |at: usize| lists.get_mut(at).map(std::mem::take).unwrap_or_default();
        (errors == reader.errors()).then_some(Self {
            select: select?,
            value: value.map(|(_, value)| value.to_owned()),
            any: take(0),
            all: take(1),
            none: take(2),
            matches,
            entries: entries.unwrap_or_default(),
        })
    }
}

/// The condition of a filter, for people.
impl std::fmt::Display for ManifestFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut texts: Vec<String> = self.value.iter().cloned().collect();
        for (words, values) in [
            ("any of", &self.any),
            ("all of", &self.all),
            ("none of", &self.none),
        ] {
            if !values.is_empty() {
                texts.push(format!("{words} {}", values.join(", ")));
            }
        }
        texts.extend(self.matches.iter().map(|p| format!("what matches {p}")));
        f.write_str(&texts.join(" and "))
    }
}

/// The values under one of the keys that take several.
fn values(
    reader: &mut Reader<'_>,
    node: &Node,
    key: &'static str,
    select: Option<&Program>,
) -> Vec<String> {
    let example = format!("{key}: [arch:zen3, arch:zen4]");
    let Some(items) = reader.list(node, key, &example) else {
        return Vec::new();
    };
    if items.is_empty() || items.len() > MOST_VALUES {
        let message = format!("`{key}` lists 1 to {MOST_VALUES} values");
        reader.error("too-many", node.mark, message, format!("write `{example}`"));
    }
    let mut found = Vec::new();
    for item in items.iter().take(MOST_VALUES) {
        let Some(text) = reader.text(item, key, &example) else {
            continue;
        };
        if let Some(select) = select {
            doubt(reader, select, item, text);
        }
        found.push(text.to_owned());
    }
    found
}

/// Warns about a valid filter that probably never matches.
fn doubt(reader: &mut Reader<'_>, select: &Program, node: &Node, value: &str) {
    match value.parse::<Feature>() {
        Ok(feature) => features::doubt(reader, node, &feature),
        Err(_) if select.source().trim_end().ends_with("features") => reader.warn(
            "bad-feature",
            node.mark,
            format!("`value` is '{value}', and features are written key:value"),
            "write it as in `arch:cascadeLake`".to_owned(),
        ),
        _ => {}
    }
}

/// As a document writes it, keys in alphabetical order, without empty values.
impl Serialize for ManifestFilter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut args = serializer.serialize_map(None)?;
        let list = |args: &mut S::SerializeMap, key: &str, values: &[String]| {
            if values.is_empty() {
                return Ok(());
            }
            args.serialize_entry(key, values)
        };
        list(&mut args, "all", &self.all)?;
        list(&mut args, "any", &self.any)?;
        if self.entries == Entries::Drop {
            args.serialize_entry("entries", "drop")?;
        }
        if let Some(pattern) = &self.matches {
            args.serialize_entry("matches", pattern)?;
        }
        list(&mut args, "none", &self.none)?;
        args.serialize_entry("select", self.select.source())?;
        if let Some(value) = &self.value {
            args.serialize_entry("value", value)?;
        }
        args.end()
    }
}
