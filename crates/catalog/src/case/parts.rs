//! Parts that given images and expectations share: lists of texts, and texts by name.

use crate::reader::Reader;
use crate::yaml::{Node, Value};

/// Most items of one list or mapping.
const MOST_ITEMS: usize = 256;

/// A list of texts.
pub(super) fn texts(
    reader: &mut Reader<'_>,
    node: &Node,
    what: &str,
    example: &str,
) -> Option<Vec<String>> {
    let items = reader.list(node, what, example)?;
    bound(reader, node, what, items.len());
    let texts = items.iter().take(MOST_ITEMS);
    let texts: Vec<Option<String>> = texts
        .map(|item| reader.text(item, what, example).map(str::to_owned))
        .collect();
    texts.into_iter().collect()
}

/// The pairs of a mapping from names to anything, each name once.
pub(super) fn pairs<'n>(
    reader: &mut Reader<'_>,
    node: &'n Node,
    what: &str,
    example: &str,
) -> Option<Vec<(&'n str, &'n Node)>> {
    let Value::Map(pairs) = &node.value else {
        let message = format!("`{what}` is a mapping, not {}", node.value.kind());
        reader.error(
            "wrong-type",
            node.mark,
            message,
            format!("write it as in `{example}`"),
        );
        return None;
    };
    bound(reader, node, what, pairs.len());
    let mut found: Vec<(&str, &Node)> = Vec::with_capacity(pairs.len().min(MOST_ITEMS));
    for (key, value) in pairs.iter().take(MOST_ITEMS) {
        let Some(name) = reader.text(key, what, example) else {
            continue;
        };
        if found.iter().any(|(known, _)| *known == name) {
            let message = format!("`{what}` has `{name}` twice");
            reader.error(
                "duplicate-key",
                key.mark,
                message,
                "remove one of the two".to_owned(),
            );
            continue;
        }
        found.push((name, value));
    }
    Some(found)
}

/// Texts by name.
pub(super) fn named_texts(
    reader: &mut Reader<'_>,
    node: &Node,
    what: &str,
    example: &str,
) -> Vec<(String, String)> {
    let pairs = pairs(reader, node, what, example).unwrap_or_default();
    pairs
        .into_iter()
        .filter_map(|(name, value)| {
            let text = reader.text(value, what, example)?;
            Some((name.to_owned(), text.to_owned()))
        })
        .collect()
}

fn bound(reader: &mut Reader<'_>, node: &Node, what: &str, length: usize) {
    if length > MOST_ITEMS {
        let message = format!("`{what}` has at most {MOST_ITEMS} items");
        reader.error(
            "too-many",
            node.mark,
            message,
            "remove some of them".to_owned(),
        );
    }
}
