//! `manifest-filter`: of an index, keep the entries in which a jq program finds a value.

use metahub_hardware::Feature;
use metahub_jq::{JqError, Program};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::Event;
use crate::features;
use crate::reader::{Fields, Reader};
use crate::yaml::Node;

/// Keeps an entry of an index when an output of `select`, run on the index with that one
/// entry, is `value` or a list that contains it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestFilter {
    /// The jq program, for example `.manifests .[] .platform .features`.
    pub select: Program,
    /// What it must find, for example `arch:cascadeLake`.
    pub value: String,
}

impl ManifestFilter {
    /// Its name in documents.
    pub const NAME: &'static str = "manifest-filter";
    /// When it happens.
    pub const EVENT: Event = Event::PostManifestListGet;
    /// The keys of its `args`.
    pub const ARGS: &'static [&'static str] = &["select", "value"];

    /// The value as a feature, when it is one.
    #[must_use]
    pub fn feature(&self) -> Option<Feature> {
        self.value.parse().ok()
    }

    pub(super) fn schema() -> Value {
        json!({
            "select": {
                "description": "A jq program, run on an index that holds one entry",
                "type": "string",
            },
            "value": {
                "description": "The entry stays when an output is this, or a list that contains it",
                "type": ["string", "number", "boolean"],
            },
        })
    }

    pub(super) fn read(reader: &mut Reader<'_>, args: &Fields<'_>) -> Option<Self> {
        const SELECT: &str = ".manifests .[] .platform .features";
        const VALUE: &str = "arch:cascadeLake";
        let select = args
            .required(reader, "select", SELECT)
            .and_then(|node| program(reader, node, SELECT));
        let value = args
            .required(reader, "value", VALUE)
            .and_then(|node| Some((node, reader.text(node, "value", VALUE)?)));
        if let (Some(select), Some((node, value))) = (&select, value) {
            doubt(reader, select, node, value);
        }
        Some(Self {
            select: select?,
            value: value?.1.to_owned(),
        })
    }
}

fn program(reader: &mut Reader<'_>, node: &Node, example: &str) -> Option<Program> {
    let text = reader.text(node, "select", example)?;
    match Program::parse(text) {
        Ok(program) => Some(program),
        Err(error) => {
            let offset = match &error {
                JqError::Syntax { offset, .. } | JqError::Unbound { offset, .. } => Some(*offset),
                JqError::NotAllowed { offset, .. } => *offset,
                _ => None,
            };
            let mark = node.mark.within(text, offset.unwrap_or_default());
            reader.error(
                "bad-jq",
                mark,
                format!("`select`: {error}"),
                format!("write it as in `{example}`"),
            );
            None
        }
    }
}

/// What can be read, and probably never finds anything.
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

impl Serialize for ManifestFilter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Args<'a> {
            select: &'a str,
            value: &'a str,
        }
        Args {
            select: self.select.source(),
            value: &self.value,
        }
        .serialize(serializer)
    }
}
