//! Writes documents in MetaHub's own form, to take them to another site. The text parses to the
//! same document; comments and the original form are lost.

use metahub_hardware::Feature;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::about;
use crate::collection::Entry;
use crate::yaml::{self, Node};
use crate::{Collection, Profile};

impl Collection {
    /// A document that holds this collection.
    #[must_use]
    pub fn to_document(&self) -> String {
        let entries: Vec<Value> = self.entries.iter().map(entry).collect();
        let mut collection = json!({ "name": self.name, "tag": self.tag, "manifests": entries });
        if let (false, Some(fields)) = (self.annotations.is_empty(), collection.as_object_mut()) {
            fields.insert("annotations".to_owned(), json!(self.annotations));
        }
        tell(&mut collection, &self.about);
        let mut document = json!({ "manifests": [collection] });
        tell(&mut document, self.application.as_ref());
        text(&document)
    }
}

impl Profile {
    /// A document that holds this profile.
    #[must_use]
    pub fn to_document(&self) -> String {
        if let Some(template) = &self.template {
            return text(&json!({ "profile": as_json(&template.node) }));
        }
        let mut profile = Map::new();
        profile.insert("name".to_owned(), json!(self.name.to_string()));
        if let Some(description) = &self.description {
            profile.insert("description".to_owned(), json!(description));
        }
        if !self.extends.is_empty() {
            profile.insert("extends".to_owned(), json!(self.extends));
        }
        if !self.features.is_empty() {
            profile.insert("features".to_owned(), features(&self.features));
        }
        if !self.fallback.is_empty() {
            profile.insert("fallback".to_owned(), json!(self.fallback));
        }
        if !self.actions.is_empty() {
            profile.insert("actions".to_owned(), json!(self.actions));
        }
        text(&json!({ "profile": profile }))
    }
}

/// A node as it was written: every scalar a text.
fn as_json(node: &Node) -> Value {
    match &node.value {
        yaml::Value::Null => Value::Null,
        yaml::Value::Text(text) => json!(text),
        yaml::Value::List(items) => items.iter().map(as_json).collect(),
        yaml::Value::Map(pairs) => {
            let pairs = pairs.iter().filter_map(|(key, value)| match &key.value {
                yaml::Value::Text(key) => Some((key.clone(), as_json(value))),
                _ => None,
            });
            Value::Object(pairs.collect())
        }
    }
}

fn entry(entry: &Entry) -> Value {
    let mut platform = Map::new();
    if let Some(spec) = &entry.platform {
        for (key, value) in [
            ("os", &spec.os),
            ("architecture", &spec.architecture),
            ("variant", &spec.variant),
            ("os.version", &spec.os_version),
        ] {
            if let Some(value) = value {
                platform.insert(key.to_owned(), json!(value));
            }
        }
        if !spec.os_features.is_empty() {
            platform.insert("os.features".to_owned(), json!(spec.os_features));
        }
    }
    if entry.requires_nothing || !entry.requires.is_empty() {
        platform.insert("features".to_owned(), features(&entry.requires));
    }
    let mut written = json!({ "image": entry.image });
    if let Some(fields) = written.as_object_mut() {
        if !platform.is_empty() {
            fields.insert("platform".to_owned(), Value::Object(platform));
        }
        if entry.weight != 0 {
            fields.insert("weight".to_owned(), json!(entry.weight));
        }
    }
    tell(&mut written, &entry.about);
    written
}

/// Adds the texts for people.
fn tell(written: &mut Value, about: &impl Serialize) {
    let about = about::fields(about);
    if let (Some(fields), false) = (written.as_object_mut(), about.is_empty()) {
        fields.insert("about".to_owned(), Value::Object(about));
    }
}

fn features(features: &[Feature]) -> Value {
    features.iter().map(ToString::to_string).collect()
}

/// YAML, or JSON, which is YAML as well, should the writer ever refuse.
fn text(document: &Value) -> String {
    serde_saphyr::to_string(document).unwrap_or_else(|_| format!("{document:#}\n"))
}
