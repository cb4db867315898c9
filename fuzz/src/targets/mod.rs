//! What is fuzzed, one file each, and what they have in common.

mod configs;
mod documents;
mod image;
mod indexes;
mod jq;
mod logins;
mod manifests;
mod nfd;
mod plain;

use std::sync::LazyLock;

use metahub_catalog::{Catalog, Composed};
use serde_json::{Map, Value};

use crate::Target;

/// All targets.
pub const TARGETS: &[Target] = &[
    documents::TARGET,
    logins::TARGET,
    jq::TARGET,
    manifests::TARGET,
    indexes::TARGET,
    configs::TARGET,
    nfd::TARGET,
];

/// The profiles that targets log in under.
pub(crate) static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    let loaded = Catalog::from_documents(&[("profiles.yaml", include_str!("profiles.yaml"))]);
    assert!(!loaded.has_errors(), "{:?}", loaded.problems);
    loaded.catalog
});

pub(crate) fn login(text: &str) -> Composed {
    let login = CATALOG.interpret(text, &|_| false).unwrap();
    Composed::clone(&login.profile)
}

/// The words of an error, without what it quotes of the input.
pub(crate) fn words(error: &dyn std::fmt::Display) -> String {
    let text = error.to_string();
    assert!(!text.is_empty());
    let kept = text.split(['\'', '"', '`']).step_by(2);
    let letters = kept.flat_map(str::chars);
    letters
        .filter(|c| c.is_ascii_alphabetic() || *c == ' ')
        .take(80)
        .collect()
}

/// All keys but those that a change is about.
pub(crate) fn others<'m>(
    map: &'m Map<String, Value>,
    but: &[&str],
) -> Vec<(&'m String, &'m Value)> {
    map.iter()
        .filter(|(key, _)| !but.contains(&key.as_str()))
        .collect()
}
