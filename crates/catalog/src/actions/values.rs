//! Parses the values of `args` and of `when`: texts, lists, mappings and jq programs, each bounded
//! and without bytes that a manifest or process cannot carry.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;

use metahub_jq::{JqError, Program};
use serde_json::{Value as Json, json};

use crate::reader::Reader;
use crate::yaml::{Node, Value};

/// Most items of one list or mapping.
pub(crate) const MOST_ITEMS: usize = 256;
/// Most bytes of one text.
pub(crate) const MOST_TEXT_BYTES: usize = 4096;
/// Most bytes of a name: of a variable, a label or an annotation.
pub(crate) const MOST_NAME_BYTES: usize = 256;

/// A text of at most [`MOST_TEXT_BYTES`] without NUL.
pub(crate) fn text(
    reader: &mut Reader<'_>,
    node: &Node,
    what: &str,
    example: &str,
) -> Option<String> {
    let text = reader.text(node, what, example)?;
    if text.len() > MOST_TEXT_BYTES {
        let message = format!(
            "`{what}` has {} bytes: at most {MOST_TEXT_BYTES}",
            text.len()
        );
        reader.error("too-long", node.mark, message, "shorten it".to_owned());
        return None;
    }
    if text.contains('\0') {
        let message = format!("`{what}` has a NUL character, which no program can be given");
        reader.error("bad-value", node.mark, message, "remove it".to_owned());
        return None;
    }
    Some(text.to_owned())
}

/// A text that `check` accepts; its error states what was expected.
pub(crate) fn checked(
    reader: &mut Reader<'_>,
    node: &Node,
    what: &str,
    example: &str,
    check: fn(&str) -> Result<String, String>,
) -> Option<String> {
    let text = text(reader, node, what, example)?;
    match check(&text) {
        Ok(text) => Some(text),
        Err(expected) => {
            let message = format!("`{what}`: {expected}");
            let help = format!("write it as in `{example}`");
            reader.error("bad-value", node.mark, message, help);
            None
        }
    }
}

/// The items of a list of at most [`MOST_ITEMS`], each with its node.
pub(crate) fn items<'n>(
    reader: &mut Reader<'_>,
    node: &'n Node,
    what: &str,
    example: &str,
) -> &'n [Node] {
    let items = reader.list(node, what, example).unwrap_or_default();
    if items.len() > MOST_ITEMS {
        let message = format!("`{what}` lists {} items: at most {MOST_ITEMS}", items.len());
        reader.error("too-many", node.mark, message, None);
        return &[];
    }
    items
}

/// The items of a list, each a text that `check` accepts, in the order of their texts.
pub(crate) fn set(
    reader: &mut Reader<'_>,
    node: &Node,
    what: &str,
    example: &str,
    check: fn(&str) -> Result<String, String>,
) -> BTreeSet<String> {
    items(reader, node, what, example)
        .iter()
        .filter_map(|item| checked(reader, item, what, example, check))
        .collect()
}

/// Texts by name, each name accepted by `check`.
pub(crate) fn texts(
    reader: &mut Reader<'_>,
    node: &Node,
    what: &str,
    example: &str,
    check: fn(&str) -> Result<String, String>,
) -> BTreeMap<String, String> {
    mapping(reader, node, what, example, check, |reader, node| {
        text(reader, node, what, example)
    })
}

/// Values that their type reads, by name, each name accepted by `check`.
pub(crate) fn parsed<T>(
    reader: &mut Reader<'_>,
    node: &Node,
    what: &str,
    code: &'static str,
    example: &str,
    check: fn(&str) -> Result<String, String>,
) -> BTreeMap<String, T>
where
    T: FromStr,
    T::Err: Display,
{
    mapping(reader, node, what, example, check, |reader, node| {
        reader.parsed(node, what, code, example)
    })
}

fn mapping<T>(
    reader: &mut Reader<'_>,
    node: &Node,
    what: &str,
    example: &str,
    check: fn(&str) -> Result<String, String>,
    mut read: impl FnMut(&mut Reader<'_>, &Node) -> Option<T>,
) -> BTreeMap<String, T> {
    let mut found = BTreeMap::new();
    let Value::Map(pairs) = &node.value else {
        let message = format!("`{what}` is a mapping, not {}", node.value.kind());
        let help = format!("write it as in `{example}`");
        reader.error("wrong-type", node.mark, message, help);
        return found;
    };
    if pairs.len() > MOST_ITEMS {
        let message = format!("`{what}` has {} keys: at most {MOST_ITEMS}", pairs.len());
        reader.error("too-many", node.mark, message, None);
        return found;
    }
    for (key, value) in pairs {
        let name = checked(reader, key, what, example, check);
        let value = read(reader, value);
        let (Some(name), Some(value)) = (name, value) else {
            continue;
        };
        if found.contains_key(&name) {
            let message = format!("`{what}` has the key `{name}` twice");
            let help = "remove one of the two".to_owned();
            reader.error("duplicate-key", key.mark, message, help);
        }
        found.insert(name, value);
    }
    found
}

/// The name of a label or an annotation.
pub(crate) fn key(name: &str) -> Result<String, String> {
    match name.len() {
        0 => Err("a name is empty".to_owned()),
        1..=MOST_NAME_BYTES => Ok(name.to_owned()),
        long => Err(format!(
            "a name of {long} bytes is too long: at most {MOST_NAME_BYTES}"
        )),
    }
}

/// A jq program; an error has its place within it.
pub(crate) fn program(
    reader: &mut Reader<'_>,
    node: &Node,
    what: &str,
    example: &str,
) -> Option<Program> {
    let text = reader.text(node, what, example)?;
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
                format!("`{what}`: {error}"),
                format!("write it as in `{example}`"),
            );
            None
        }
    }
}

/// The schema of a text that is taken as written.
pub(crate) fn scalar_schema(description: &str) -> Json {
    json!({ "description": description, "type": ["string", "number", "boolean"] })
}

/// The schema of an anchored regular expression.
pub(crate) fn pattern_schema(description: &str) -> Json {
    json!({
        "description": format!("An anchored regular expression: {description}"),
        "type": ["string", "number", "boolean"],
    })
}

/// The schema of a list of texts.
pub(crate) fn list_schema(description: &str) -> Json {
    json!({
        "description": description,
        "type": "array",
        "maxItems": MOST_ITEMS,
        "items": { "type": ["string", "number", "boolean"] },
    })
}

/// The schema of texts by name.
pub(crate) fn texts_schema(description: &str) -> Json {
    json!({
        "description": description,
        "type": "object",
        "maxProperties": MOST_ITEMS,
        "propertyNames": { "minLength": 1, "maxLength": MOST_NAME_BYTES },
        "additionalProperties": { "type": ["string", "number", "boolean"] },
    })
}
