//! Parses lists of features, and warns about features that parse and mean nothing.

use std::collections::HashSet;

use metahub_hardware::{Feature, Key, Target, TargetError};

use crate::counting::{Counting, noun};
use crate::hint;
use crate::reader::Reader;
use crate::yaml::Node;

fn example(what: &str) -> String {
    format!("{what}: [arch:zen3]")
}

/// The features that an entry requires, in the order of the file.
pub(crate) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<Feature>> {
    read_list(reader, node, "features", false)
}

/// The features under the key `what` that a machine provides: of what it has once, the last counts.
pub(crate) fn read_provided(
    reader: &mut Reader<'_>,
    node: &Node,
    what: &'static str,
) -> Option<Vec<Feature>> {
    read_list(reader, node, what, true)
}

fn read_list(
    reader: &mut Reader<'_>,
    node: &Node,
    what: &'static str,
    provided: bool,
) -> Option<Vec<Feature>> {
    let items = reader.list(node, what, &example(what))?;
    let mut found: Vec<Feature> = Vec::with_capacity(items.len());
    let mut counting = Counting::default();
    let mut seen: HashSet<String> = HashSet::with_capacity(items.len());
    for item in items {
        let Some(feature) = feature(reader, item, what) else {
            continue;
        };
        doubt(reader, item, &feature);
        if !seen.insert(feature.canonical().to_owned()) {
            reader.warn(
                "repeated-feature",
                item.mark,
                format!("`{feature}` is listed twice"),
                "remove one of the two".to_owned(),
            );
            continue;
        }
        let replaced = counting.add(&feature);
        if provided && let Some(earlier) = replaced {
            let noun = noun(feature.key());
            reader.warn(
                "replaced-feature",
                item.mark,
                format!("`{feature}` replaces `{earlier}`: a machine has one {noun}"),
                "remove one of the two, or make two profiles of them".to_owned(),
            );
        }
        found.push(feature);
    }
    Some(found)
}

fn feature(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<Feature> {
    let text = reader.text(node, what, &example(what))?;
    match text.parse() {
        Ok(feature) => Some(feature),
        Err(error) => {
            let help = match reader.graph().find(text) {
                Ok(target) => format!("write `arch:{target}`"),
                Err(_) => format!("write it as in `{}`", example(what)),
            };
            let message = format!("`{what}`: {error}");
            reader.error("bad-feature", node.mark, message, help);
            None
        }
    }
}

/// Warns of a value that its key's rules cannot read: it equals itself and fits nothing else.
pub(crate) fn doubt(reader: &mut Reader<'_>, node: &Node, feature: &Feature) {
    if let Some(hint) = hint::of(reader.graph(), feature) {
        let key = feature.key();
        let message = if feature.is_understood() {
            format!("`{feature}` is compared as text, and `{key}` is no key that has a meaning")
        } else {
            format!("`{feature}` does not say what `{key}` means")
        };
        let help = format!("did you mean `{}`?", hint.written(':'));
        return reader.warn("near-miss", node.mark, message, help);
    }
    if feature.is_understood() {
        return;
    }
    if *feature.key() == Key::Arch {
        let Err(error) = reader.graph().find(feature.value()) else {
            return;
        };
        let (message, help) = match &error {
            TargetError::Misplaced { target, .. } => {
                (error.to_string(), format!("write `arch:{target}`"))
            }
            TargetError::Unknown { near, .. } => (
                format!("no CPU target is called '{}'", feature.value()),
                near_targets(near),
            ),
        };
        reader.warn("unknown-target", node.mark, message, help);
    } else {
        reader.warn(
            "odd-value",
            node.mark,
            format!("`{feature}` does not say what `{}` means", feature.key()),
            example_of(feature.key()).map(|example| format!("write it as in `{example}`")),
        );
    }
}

fn near_targets(near: &[Target]) -> String {
    if near.is_empty() {
        return "targets are called as archspec calls them, as in `zen3` or `x86_64_v3`; \
                a site may add its own"
            .to_owned();
    }
    let names: Vec<String> = near.iter().map(|target| format!("`{target}`")).collect();
    format!("did you mean {}?", names.join(" or "))
}

fn example_of(key: &Key) -> Option<&'static str> {
    metahub_hardware::KEYS
        .iter()
        .find(|row| row.name == key.as_str())
        .map(|row| row.example)
}

/// CPU targets under the key `fallback`.
pub(crate) fn fallback(reader: &mut Reader<'_>, node: &Node) -> Vec<Target> {
    const EXAMPLE: &str = "fallback: [neoverse_v1, neoverse_n1]";
    let graph = reader.graph();
    let mut found = Vec::new();
    for item in reader.list(node, "fallback", EXAMPLE).unwrap_or_default() {
        let Some(text) = reader.text(item, "fallback", EXAMPLE) else {
            continue;
        };
        match graph.find(text) {
            Ok(target) => found.push(target),
            Err(error) => reader.error(
                "unknown-target",
                item.mark,
                format!("`fallback`: {error}"),
                format!("write it as in `{EXAMPLE}`"),
            ),
        }
    }
    found
}
