//! The JSON Schema of the configuration file, for editors: `metahub schema config`.

use serde_json::Value;

use super::declare::{Declared, Keys as _};
use super::keys::Layer;
use super::yaml::parse;

/// The schema (JSON Schema 2020-12), with the declared defaults.
pub(crate) fn schema() -> Value {
    let mut schema = schemars::schema_for!(Layer).to_value();
    if let Some(object) = schema.as_object_mut() {
        object.insert("title".into(), "Configuration of metahub serve".into());
    }
    let definitions = schema.get("$defs").cloned().unwrap_or_default();
    default(&mut schema, &definitions, &Layer::declared());
    schema
}

/// Writes the default of each key beside it. Keys within others stand in `$defs`.
fn default(schema: &mut Value, definitions: &Value, keys: &[Declared]) {
    for key in keys {
        let within = (key.within)();
        let Some(property) = schema.pointer_mut(&format!("/properties/{}", key.key)) else {
            continue;
        };
        if within.is_empty() {
            let value = parse::<Value>(key.default).ok().filter(|v| !v.is_null());
            if let (Some(value), Some(property)) = (value, property.as_object_mut()) {
                property.insert("default".into(), value);
            }
        } else {
            let reference = property.get("$ref").and_then(Value::as_str);
            let name = reference.and_then(|name| name.strip_prefix("#/$defs/"));
            let Some(name) = name.map(str::to_owned) else {
                continue;
            };
            let Some(mut definition) = definitions.get(&name).cloned() else {
                continue;
            };
            default(&mut definition, definitions, &within);
            if let Some(place) = schema.pointer_mut(&format!("/$defs/{name}")) {
                *place = definition;
            }
        }
    }
}
