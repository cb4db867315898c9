//! Profiles and collections as YAML. What is read is written again and reads as the same, and no
//! image is given to a profile whose hardware cannot run it.

use std::collections::BTreeSet;

use metahub_catalog::{Catalog, Loaded};
use serde::Serialize;
use serde_json::Value;

use super::plain;
use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "documents",
    files: &[
        "crates/catalog/tests/bad",
        "catalog",
        "docs/actions.md",
        "docs/curating.md",
        "docs/documents.md",
    ],
    cases: 10_000,
    most_bytes: 16 * 1024,
    words: &[
        "profile",
        "profiles",
        "manifests",
        "name",
        "features",
        "fallback",
        "actions",
        "extends",
        "parameters",
        "default",
        "allowed",
        "type",
        "event",
        "when",
        "args",
        "tests",
        "pull",
        "expect",
        "given",
        "image",
        "tag",
        "tags",
        "platform",
        "weight",
        "annotations",
        "manifest-filter",
        "manifest-select",
        "manifest-add",
        "config-set",
        "annotate",
        "redirect",
        "deny",
        "tags-filter",
        "pre-manifest-get",
        "post-manifest-list-get",
        "post-manifest-get",
        "post-tags-list-get",
        "select",
        "value",
        "any",
        "all",
        "none",
        "matches",
        "entries",
        "layers",
        "position",
        "repository",
        "to",
        "to_tag",
        "message",
        "entrypoint",
        "cmd",
        "wrap",
        "env",
        "set",
        "append",
        "prepend",
        "unset",
        "working_dir",
        "user",
        "labels",
        "exposed_ports",
        "volumes",
        "stop_signal",
        "keep",
        "drop",
        "add",
        "jq",
        "not",
        "label",
        "annotation",
        "arch:zen3",
        "cuda:12.4",
        "${cpu}",
        ".*",
        "library/",
        ":latest",
        "\n  - ",
        "\n    ",
        ": ",
        "{",
        "}",
        "[",
        "]",
    ],
    read,
};

fn read(input: &[u8]) -> String {
    let text = String::from_utf8_lossy(input).into_owned();
    // YAML ends lines by carriage returns as well.
    let lines = text.matches(['\n', '\r']).count();
    let loaded = Catalog::from_documents(&[("first.yaml", text)]);
    for problem in &loaded.problems {
        assert!(!problem.message.is_empty());
        let at = &problem.location;
        assert!(
            (1..=lines + 1).contains(&at.line) && at.column >= 1,
            "{problem}"
        );
    }
    if let Some(problem) = loaded.problems.first() {
        assert!(!problem.render(false, 80).is_empty());
    }
    written_again(&loaded);
    for profile in own(&loaded) {
        let login = loaded
            .catalog
            .interpret(&profile.name.selector(), &|_| false);
        if let Ok(login) = login {
            let _ = plain::given(&login.profile);
        }
    }
    let codes: BTreeSet<&str> = loaded.problems.iter().map(|problem| problem.code).collect();
    let actions: BTreeSet<&str> = own(&loaded)
        .flat_map(|profile| profile.actions.iter().map(metahub_catalog::Action::name))
        .collect();
    let collections = loaded.catalog.collections().count().min(2);
    format!("{codes:?} {actions:?} {collections}")
}

fn own(loaded: &Loaded) -> impl Iterator<Item = &metahub_catalog::Profile> {
    let profiles = loaded.catalog.profiles();
    profiles.filter(|profile| profile.location.is_some())
}

fn written_again(loaded: &Loaded) {
    let catalog = &loaded.catalog;
    let collections = catalog
        .collections()
        .map(metahub_catalog::Collection::to_document);
    let profiles = own(loaded).map(metahub_catalog::Profile::to_document);
    let texts: Vec<(String, String)> = collections
        .chain(profiles)
        .enumerate()
        .map(|(n, text)| (format!("{n:05}.yaml"), text))
        .collect();
    if texts.is_empty() {
        return;
    }
    let again = Catalog::from_documents(&texts);
    assert!(!again.has_errors(), "{texts:#?} {:?}", again.problems);
    for collection in catalog.collections() {
        let found = again.catalog.collection(&collection.name, &collection.tag);
        assert_eq!(meaning(found), meaning(collection), "{texts:#?}");
    }
    for profile in own(loaded) {
        let found = again.catalog.profile(&profile.name);
        assert_eq!(meaning(found), meaning(profile), "{texts:#?}");
        let digest = |catalog: &Catalog| {
            let login = catalog.interpret(&profile.name.selector(), &|_| false);
            login.map(|login| login.profile.digest().clone())
        };
        assert_eq!(digest(&again.catalog), digest(catalog), "{}", profile.name);
    }
}

/// What a document says, wherever it stands.
fn meaning(document: impl Serialize) -> Value {
    let mut value = serde_json::to_value(document).unwrap();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("location");
    }
    value
}
