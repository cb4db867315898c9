//! What is shipped and what the documentation shows loads without a problem.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;

use metahub_catalog::Catalog;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

#[test]
fn the_community_catalog_has_no_problem() {
    let loaded = Catalog::load(&[Path::new(ROOT).join("catalog")]);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    assert!(loaded.files >= 3);
}

#[test]
fn every_example_of_the_documentation_has_no_problem() {
    let text = std::fs::read_to_string(Path::new(ROOT).join("docs/documents.md")).unwrap();
    let examples: Vec<(String, &str)> = text
        .split("```yaml\n")
        .skip(1)
        .enumerate()
        .map(|(n, rest)| (format!("example {n}"), rest.split("```").next().unwrap()))
        .collect();
    assert!(examples.len() >= 6);
    let loaded = Catalog::from_documents(&examples);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
}
