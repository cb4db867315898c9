//! `annotate`: annotations on an image's manifest.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::values;
use crate::Event;
use crate::reader::{Fields, Reader};

/// Annotations by which MetaHub states what a derived image was made from.
/// <https://github.com/opencontainers/image-spec/blob/main/annotations.md>
const BASE: &str = "org.opencontainers.image.base.";

/// Sets annotations of an image's manifest. Docker's manifests have none and stay as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Annotate {
    /// Names and values.
    pub annotations: BTreeMap<String, String>,
}

impl Annotate {
    /// Its name in documents.
    pub const NAME: &'static str = "annotate";
    /// When it happens.
    pub const EVENT: Event = Event::PostManifestGet;
    /// The keys of its `args`.
    pub const ARGS: &'static [&'static str] = &["annotations"];
    /// Those that must be there.
    pub const REQUIRED: &'static [&'static str] = &["annotations"];

    pub(super) fn schema() -> Value {
        let mut annotations = values::texts_schema("Annotations that are set, by name");
        if let Some(schema) = annotations.as_object_mut() {
            schema.insert("minProperties".to_owned(), json!(1));
        }
        json!({ "annotations": annotations })
    }

    pub(super) fn read(reader: &mut Reader<'_>, args: &Fields<'_>) -> Option<Self> {
        const EXAMPLE: &str = "annotations: {org.example.site: here}";
        let errors = reader.errors();
        let node = args.required(reader, "annotations", "{org.example.site: here}")?;
        let annotations = values::texts(reader, node, "annotations", EXAMPLE, name);
        if errors == reader.errors() && annotations.is_empty() {
            let message = "`annotations` says nothing to set";
            let help = format!("write it as in `{EXAMPLE}`");
            reader.error("missing-key", node.mark, message, help);
        }
        (errors == reader.errors()).then_some(Self { annotations })
    }
}

fn name(text: &str) -> Result<String, String> {
    let name = values::key(text)?;
    if name.starts_with(BASE) {
        return Err(format!(
            "'{name}' cannot be set: MetaHub states the image that was changed by {BASE}*"
        ));
    }
    Ok(name)
}
