//! What is shipped and what the documentation shows loads without a problem.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;

use metahub_catalog::Catalog;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

#[test]
fn the_community_catalog_has_no_problem() {
    let loaded = Catalog::load(&[Path::new(ROOT).join("catalog")]);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    assert!(loaded.files >= 2);
}

/// Whatever a node calls its hardware, it gets what it gets without any document.
#[test]
fn no_shipped_document_takes_anything_from_a_login_by_hardware() {
    let shipped = Catalog::load(&[Path::new(ROOT).join("catalog")]).catalog;
    let builtin = Catalog::builtin();
    let mut logins = 0;
    for known in builtin.graph().iter() {
        let name = known.target().as_str();
        for login in [
            name.to_owned(),
            name.to_uppercase(),
            name.replace('_', "-"),
            format!("library/{name}"),
            format!("cpu={name}"),
            format!("{name}+cuda=12.4"),
        ] {
            let digest = |catalog: &Catalog| {
                let login = catalog.interpret(&login, &|_| false).unwrap();
                (
                    login.profile.digest().clone(),
                    login.profile.remarks().len(),
                )
            };
            assert_eq!(digest(&shipped), digest(&builtin), "{login}");
            logins += 1;
        }
    }
    assert!(logins > 300, "{logins}");
}

/// A profile that a site writes as the mission's slide does loads, and does what it says.
#[test]
fn the_literal_profile_of_the_slide_filters_and_provides_nothing() {
    let path = Path::new(ROOT).join("docs/examples/cascadeLake.yaml");
    let loaded = Catalog::load(&[path]);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    let login = loaded.catalog.interpret("cascadeLake", &|_| false).unwrap();
    assert!(login.profile.provided().is_empty());
    let actions: Vec<&str> = login.profile.actions().iter().map(|a| a.name()).collect();
    assert_eq!(actions, ["manifest-filter"]);
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
