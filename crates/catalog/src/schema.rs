//! The JSON Schema of the documents, for editors and for programs that write them.
//! It says what keys there are and of what type; what needs more than that (a jq program, a
//! regular expression, an image's name) only [`check`](crate::check) can tell.

use metahub_hardware::KEYS;
use serde_json::{Value, json};

use crate::about::{About, AboutCollection, AboutEntry};
use crate::actions::{KINDS, Kind};
use crate::case::{GivenImage, TestCase};
use crate::parameters::Parameter;
use crate::{Event, When};

/// The schema of one document, as JSON Schema 2020-12.
#[must_use]
pub fn schema() -> Value {
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "MetaHub document",
        "description": "Collections and profiles of MetaHub",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "manifests": {
                "description": "Collections; beside `image`, the images of that one",
                "type": "array",
                "items": { "anyOf": [reference("collection"), reference("entry")] },
            },
            "profile": reference("profile"),
            "profiles": { "type": "array", "items": reference("profile") },
            "image": {
                "description": "As manifest-tool writes it: NAME:TAG of the one collection",
                "type": "string",
            },
            "tags": {
                "description": "As manifest-tool writes it: further tags of that collection",
                "type": "array",
                "items": scalar(),
            },
            "tests": {
                "description": "Cases for `metahub profile test`",
                "type": "array",
                "items": reference("test"),
            },
            "about": About::schema(),
        },
        "dependentRequired": { "tags": ["image"], "image": ["manifests"] },
        "$defs": {
            "collection": collection(),
            "entry": entry(),
            "platform": platform(),
            "features": features(),
            "profile": profile(),
            "action": { "oneOf": actions() },
            "test": TestCase::schema(),
            "given_image": GivenImage::schema(),
        },
    });
    if let Some(definitions) = schema.pointer_mut("/$defs").and_then(Value::as_object_mut) {
        definitions.extend(Event::ALL.map(|event| {
            let name = when(event);
            let condition = When::schema(event, &format!("#/$defs/{name}"));
            (name, condition)
        }));
    }
    schema
}

/// What the condition of an action on an event is called: on each something else is known.
fn when(event: Event) -> String {
    format!("when-{event}")
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

/// Texts are taken as written, so `tag: 2021.5` is as good as `tag: "2021.5"`.
fn scalar() -> Value {
    json!({ "type": ["string", "number", "boolean"] })
}

fn collection() -> Value {
    json!({
        "description": "A named, tagged list of images",
        "type": "object",
        "additionalProperties": false,
        "required": ["name", "manifests"],
        "properties": {
            "name": { "type": "string", "description": "The repository it is pulled as" },
            "tag": {
                "description": "The tag it is pulled as; `latest` where none is written",
                "type": ["string", "number", "boolean"],
            },
            "manifests": { "type": "array", "minItems": 1, "items": reference("entry") },
            "annotations": {
                "description": "Annotations of the served index",
                "type": "object",
                "additionalProperties": scalar(),
            },
            "about": AboutCollection::schema(),
        },
    })
}

fn entry() -> Value {
    json!({
        "description": "One image of a collection",
        "type": "object",
        "additionalProperties": false,
        "required": ["image"],
        "properties": {
            "image": { "type": "string", "description": "[HOST/]NAME[:TAG][@DIGEST]" },
            "platform": reference("platform"),
            "weight": {
                "description": "Of images that fit equally well, the one that weighs more is chosen",
                "type": "integer",
                "default": 0,
            },
            "about": AboutEntry::schema(),
        },
    })
}

fn platform() -> Value {
    let word = || json!({ "type": "string", "pattern": "^[A-Za-z0-9._-]+$" });
    json!({
        "description": "What the image says itself need not be written",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "os": word(),
            "architecture": word(),
            "variant": word(),
            "features": reference("features"),
            "os.version": scalar(),
            "os.features": { "type": "array", "items": { "type": "string" } },
        },
    })
}

fn features() -> Value {
    let examples: Vec<&str> = KEYS.iter().map(|key| key.example).collect();
    json!({
        "description": "Features, each KEY:VALUE",
        "type": "array",
        "items": {
            "type": "string",
            "pattern": "^[A-Za-z][A-Za-z0-9._/-]* *:.+$",
            "examples": examples,
        },
    })
}

fn profile() -> Value {
    json!({
        "description": "What a login that names it provides, and what is done for it",
        "type": "object",
        "additionalProperties": false,
        "required": ["name"],
        "properties": {
            "name": { "type": "string", "description": "[NAMESPACE/]NAME[:VERSION]" },
            "description": { "type": "string", "description": "What it is for" },
            "parameters": Parameter::schema(),
            "extends": {
                "description": "Profiles that it begins with",
                "type": "array",
                "items": { "type": "string" },
            },
            "features": reference("features"),
            "fallback": {
                "description": "CPU targets whose images run as well, best first",
                "type": "array",
                "items": { "type": "string" },
            },
            "actions": { "type": "array", "items": reference("action") },
        },
    })
}

fn actions() -> Vec<Value> {
    KINDS.iter().map(action).collect()
}

fn action(kind: &Kind) -> Value {
    let mut required = vec!["name", "event"];
    if !kind.required.is_empty() {
        required.push("args");
    }
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": required,
        "properties": {
            "name": { "const": kind.name },
            "event": { "const": kind.event },
            "when": reference(&when(kind.event)),
            "args": {
                "type": "object",
                "additionalProperties": false,
                "required": kind.required,
                "properties": (kind.schema)(),
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Action;
    use crate::about::{ABOUT_COLLECTION_KEYS, ABOUT_ENTRY_KEYS, ABOUT_KEYS};
    use crate::case::{CASE_KEYS, EXPECT_KEYS, GIVEN_KEYS, IMAGE_KEYS};
    use crate::collection::{COLLECTION_KEYS, ENTRY_KEYS, PLATFORM_KEYS};
    use crate::document::DOCUMENT_KEYS;
    use crate::profile::PROFILE_KEYS;

    fn keys(value: &Value) -> Vec<&str> {
        let properties = value["properties"].as_object().unwrap();
        properties.keys().map(String::as_str).collect()
    }

    #[test]
    fn the_schema_has_the_keys_that_are_read() {
        let schema = schema();
        let definitions = &schema["$defs"];
        assert_eq!(keys(&schema), DOCUMENT_KEYS);
        assert_eq!(keys(&definitions["collection"]), COLLECTION_KEYS);
        assert_eq!(keys(&definitions["entry"]), ENTRY_KEYS);
        assert_eq!(keys(&definitions["platform"]), PLATFORM_KEYS);
        let about = |value: &Value| value["properties"]["about"].clone();
        assert_eq!(keys(&about(&schema)), ABOUT_KEYS);
        let collection = about(&definitions["collection"]);
        assert_eq!(keys(&collection), ABOUT_COLLECTION_KEYS);
        assert_eq!(keys(&about(&definitions["entry"])), ABOUT_ENTRY_KEYS);
        assert_eq!(keys(&definitions["profile"]), PROFILE_KEYS);
        let test = &definitions["test"];
        assert_eq!(keys(test), CASE_KEYS);
        assert_eq!(keys(&test["properties"]["given"]), GIVEN_KEYS);
        assert_eq!(keys(&test["properties"]["expect"]), EXPECT_KEYS);
        assert_eq!(keys(&definitions["given_image"]), IMAGE_KEYS);
        let actions = definitions["action"]["oneOf"].as_array().unwrap();
        assert_eq!(actions.len(), KINDS.len());
        for (action, kind) in actions.iter().zip(KINDS) {
            assert_eq!(keys(action), Action::KEYS);
            assert_eq!(keys(&action["properties"]["args"]), kind.args);
            assert_eq!(action["properties"]["name"]["const"], kind.name);
            let when = format!("#/$defs/when-{}", kind.event);
            assert_eq!(action["properties"]["when"]["$ref"], when);
        }
        for event in Event::ALL {
            let when = &definitions[format!("when-{event}")];
            assert_eq!(keys(when), When::known(event));
        }
    }

    #[test]
    fn every_reference_in_the_schema_leads_somewhere() {
        fn references<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
            match value {
                Value::Object(map) => {
                    found.extend(map.get("$ref").and_then(Value::as_str));
                    map.values().for_each(|value| references(value, found));
                }
                Value::Array(items) => items.iter().for_each(|item| references(item, found)),
                _ => {}
            }
        }
        let schema = schema();
        let mut found = Vec::new();
        references(&schema, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            let pointer = reference.trim_start_matches('#');
            assert!(schema.pointer(pointer).is_some(), "{reference}");
        }
    }
}
