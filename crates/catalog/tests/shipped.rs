//! What is shipped and what the documentation shows loads without a problem.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::path::Path;

use metahub_catalog::{Args, Catalog, Login, LoginError};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

#[test]
fn the_community_catalog_has_no_problem() {
    let loaded = Catalog::load(&[Path::new(ROOT).join("catalog")]);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    let doubts = metahub_catalog::strict(&loaded.catalog);
    assert!(doubts.is_empty(), "{doubts:#?}");
    assert!(loaded.files >= 20, "{}", loaded.files);
    assert!(loaded.cases.len() >= 30, "{}", loaded.cases.len());
}

/// Each application has a folder with its documents, which have tests, and a page.
#[test]
fn each_application_has_documents_with_tests_and_a_page() {
    let folder = Path::new(ROOT).join("catalog/collections");
    let list = std::fs::read_to_string(Path::new(ROOT).join("catalog/README.md")).unwrap();
    let mut applications = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let page = std::fs::read_to_string(folder.join("README.md")).unwrap();
        assert!(page.starts_with("# "), "{name}");
        assert!(
            list.contains(&format!("(collections/{name}/README.md)")),
            "{name}"
        );
        let loaded = Catalog::load(&[folder.join(format!("{name}.yaml"))]);
        assert!(!loaded.cases.is_empty(), "{name} has no tests");
        for collection in loaded.catalog.collections() {
            assert_eq!(collection.name.as_str(), name);
        }
        applications += 1;
    }
    assert!(applications >= 10, "{applications}");
}

/// Every profile of hardware can be logged in with, and provides what it says.
#[test]
fn every_shipped_profile_of_hardware_can_be_logged_in_with() {
    let shipped = Catalog::load(&[Path::new(ROOT).join("catalog")]).catalog;
    let builtin = Catalog::builtin();
    let mut logins = 0;
    for profile in shipped.profiles() {
        if builtin.profile(&profile.name).is_some() || profile.features.is_empty() {
            continue;
        }
        let selector = profile.name.selector();
        let login = shipped.interpret(&selector, &|_| false).unwrap();
        assert_eq!(
            login.profile.remarks().len(),
            0,
            "{selector}: {:?}",
            login.profile.remarks()
        );
        for feature in &profile.features {
            let provided = login.profile.provided().features().any(|f| f == feature);
            assert!(provided, "{selector} does not provide {feature}");
        }
        assert!(profile.description.is_some(), "{selector}");
        logins += 1;
    }
    assert!(logins > 60, "{logins}");
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

fn documented(login: &str, accounts: &[&str]) -> Result<Login, LoginError> {
    let shipped = Catalog::load(&[Path::new(ROOT).join("catalog")]).catalog;
    shipped.interpret(login, &|name| accounts.contains(&name))
}

/// `meta/cpu#zen2` of the live service: the account `meta`, and images for Zen 2.
#[test]
fn the_documented_login_by_cpu_provides_it_under_the_account() {
    for login in ["meta/cpu#zen2", "meta/cpu=zen2"] {
        for accounts in [["meta"].as_slice(), &[]] {
            let login = documented(login, accounts).unwrap();
            assert_eq!(login.account.as_deref(), Some("meta"));
            let features = login.profile.provided().features();
            let features: Vec<String> = features.map(ToString::to_string).collect();
            assert_eq!(features, ["arch:zen2"]);
            let plain = documented("zen2", &[]).unwrap();
            assert_eq!(login.profile.digest(), plain.profile.digest());
        }
    }
    assert!(documented("meta/cpu#", &["meta"]).is_err());
    let none = documented("meta", &["meta"]).unwrap();
    assert_eq!(none.account.as_deref(), Some("meta"));
    assert!(none.profile.is_empty());
}

/// `meta/glow-extended#1.5.0` of the live service: variables, an entrypoint before the image's
/// own, and a layer.
#[test]
fn the_documented_login_of_glow_extended_changes_how_its_image_is_run() {
    let simd = |login: &str| {
        let login = documented(login, &["meta"]).unwrap();
        assert!(login.profile.provided().is_empty());
        let [add, set] = login.profile.actions() else {
            panic!("{:?}", login.profile.actions());
        };
        let (Args::ManifestAdd(add), Args::ConfigSet(set)) = (&add.args, &set.args) else {
            panic!("{:?}", login.profile.actions());
        };
        let layers: Vec<String> = add.layers.iter().map(ToString::to_string).collect();
        assert_eq!(layers, ["qnib/layer-glow-help:1.5.0"]);
        assert_eq!(set.env.set["HPC3_HELP"], "/usr/share/hpc3/help.md");
        assert_eq!(set.wrap[..2], ["/bin/sh", "-c"]);
        let simd = set.env.set["GLOW_SIMD"].clone();
        (login.account, simd, login.profile.digest().clone())
    };
    let (account, amd64, digest) = simd("meta/glow-extended#1.5.0");
    assert_eq!(
        (account.as_deref(), amd64.as_str()),
        (Some("meta"), "AMD64")
    );
    for same in [
        "glow-extended=1.5.0",
        "meta/glow-extended=1.5.0",
        "glow-extended",
    ] {
        assert_eq!(simd(same).2, digest, "{same}");
    }
    let (_, avx2, other) = simd("meta/glow-extended#avx2");
    assert_eq!(avx2, "AVX2");
    assert_ne!(other, digest);
    let wrong = documented("meta/glow-extended#1.6.0", &["meta"]).unwrap_err();
    assert!(wrong.to_string().contains("AMD64"), "{wrong}");
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

/// The examples of a text, in the order in which they stand.
fn examples(text: &str) -> Vec<&str> {
    let blocks = text.split("```yaml\n").skip(1);
    blocks
        .map(|rest| rest.split("```").next().unwrap())
        .collect()
}

fn page(name: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join("docs").join(name)).unwrap()
}

#[test]
fn every_example_of_the_documentation_has_no_problem() {
    for (name, least) in [("documents.md", 6), ("actions.md", 10)] {
        let text = page(name);
        let examples = examples(&text);
        assert!(examples.len() >= least, "{name}");
        let named: Vec<(String, &str)> = examples
            .into_iter()
            .enumerate()
            .map(|(n, text)| (format!("{name}, example {n}"), text))
            .collect();
        let loaded = Catalog::from_documents(&named);
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    }
}

/// Each action has its section, with an example that does it and a row for each of its keys.
#[test]
fn every_action_event_and_condition_is_described_with_an_example() {
    let text = page("actions.md");
    let sections: Vec<&str> = text.split("\n## ").collect();
    let section = |heading: &str| {
        let found = sections.iter().find(|section| section.starts_with(heading));
        *found.unwrap_or_else(|| panic!("no section {heading}"))
    };
    let schema = metahub_catalog::schema();
    let keys = |pointer: &str| -> Vec<String> {
        let object = schema.pointer(pointer).unwrap().as_object().unwrap();
        object.keys().cloned().collect()
    };
    let actions = schema["$defs"]["action"]["oneOf"].as_array().unwrap();
    assert_eq!(actions.len(), 8);
    for (n, action) in actions.iter().enumerate() {
        let constant = |key: &str| action["properties"][key]["const"].as_str().unwrap();
        let (name, event) = (constant("name"), constant("event"));
        let section = section(&format!("`{name}` on `{event}`\n"));
        let does = format!("name: {name}\n      event: {event}\n");
        let examples = examples(section);
        assert!(examples.iter().any(|text| text.contains(&does)), "{name}");
        for key in keys(&format!(
            "/$defs/action/oneOf/{n}/properties/args/properties"
        )) {
            assert!(section.contains(&format!("\n| `{key}` |")), "{name}: {key}");
        }
    }
    let (events, when) = (section("Events\n"), section("`when`\n"));
    for event in metahub_catalog::Event::ALL {
        assert!(events.contains(&format!("\n| `{event}` |")), "{event}");
        let column = when
            .lines()
            .find(|line| line.starts_with("| key | `"))
            .unwrap()
            .split('|')
            .position(|cell| cell.trim() == format!("`{event}`"))
            .unwrap();
        let rows = when.lines().filter(|line| line.starts_with("| `"));
        let mut known: Vec<String> = rows
            .filter(|row| row.split('|').count() == 7)
            .filter(|row| !row.split('|').nth(column).unwrap().trim().is_empty())
            .map(|row| row.split('`').nth(1).unwrap().to_owned())
            .collect();
        let mut expected = keys(&format!("/$defs/when-{event}/properties"));
        known.sort();
        expected.sort();
        assert_eq!(known, expected, "{event}");
    }
}
