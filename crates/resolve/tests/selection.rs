//! The options of `manifest-select`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests assert by panicking"
)]

mod common;

use common::{digest, entry, index};
use metahub_catalog::Catalog;
use metahub_oci::{Descriptor, MediaType};
use metahub_resolve::{Narrowed, NothingFits, WEIGHT, narrow};
use rstest::rstest;
use serde_json::{Value, json};

/// `name[*weight]@platform[ features]`, one a line.
fn entries(text: &str) -> Vec<Descriptor> {
    let read = |line: &str| {
        let (name, rest) = line.trim().split_once('@').unwrap();
        let (name, weight) = name.split_once('*').unwrap_or((name, "0"));
        let mut words = rest.split(' ');
        let platform = words.next().unwrap();
        let features: Vec<&str> = words.collect();
        let mut json = entry(name, platform, &features).as_json().clone();
        json.insert("annotations".into(), json!({WEIGHT: weight}));
        Descriptor::from_json(&Value::Object(json)).unwrap()
    };
    text.split(',').map(read).collect()
}

/// What a login gets whose profile chooses with `args`.
fn chosen(args: &str, login: &str, images: &str) -> Result<Narrowed, NothingFits> {
    let document = format!(
        "profiles:\n  - name: it\n    actions:\n      - name: manifest-select\n        \
         event: post-manifest-list-get\n        args: {args}\n"
    );
    let loaded = Catalog::from_documents(&[("it.yaml", document)]);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    let login = if login.is_empty() {
        "it".to_owned()
    } else {
        format!("it+{login}")
    };
    let profile = loaded
        .catalog
        .interpret(&login, &|_| false)
        .unwrap()
        .profile;
    let manifests: Vec<Value> = entries(images)
        .iter()
        .map(|entry| Value::Object(entry.as_json().clone()))
        .collect();
    let index = index(&json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_INDEX,
        "manifests": manifests,
    }));
    narrow(&index, &profile)
}

const IMAGES: &str = "v4@linux/amd64 arch:x86_64_v4,zen3*20@linux/amd64 arch:zen3,\
                      any*-5@linux/amd64,root@linux/amd64 arch:x86_64,\
                      v1@linux/arm64 arch:neoverse_v1,arm@linux/arm64";

#[rstest]
#[case::no_option("{}", "zen4", "zen3")]
#[case::light_ones_are_left_out("{minimum_weight: 10}", "zen4", "zen3")]
#[case::even_all_that_fit("{minimum_weight: 10}", "zen2", "-")]
#[case::nor_is_a_light_generic_taken("{minimum_weight: 10, none_fits: generic}", "zen2", "-")]
#[case::a_generic_that_weighs_enough("{minimum_weight: 0, none_fits: generic}", "zen2", "root")]
#[case::generic_only_of_its_architecture("{none_fits: generic}", "power9le", "-")]
#[case::fits_before_generic("{none_fits: generic}", "zen4", "zen3")]
#[case::no_fallback("{}", "neoverse_v2", "arm")]
#[case::fallback("{fallback: [neoverse_v1]}", "neoverse_v2", "v1")]
#[case::fallback_after_the_own_line("{fallback: [x86_64_v4]}", "zen3", "zen3")]
#[case::first_fallback("{fallback: [x86_64_v4, zen3]}", "haswell", "root")]
#[case::override_up("{override: [arch:x86_64_v4]}", "zen3", "v4")]
#[case::override_down("{override: [arch:x86_64_v2]}", "zen3", "root")]
#[case::override_other_architecture("{override: [arch:neoverse_v1]}", "zen3", "v1")]
#[case::override_of_nothing("{override: [arch:zen3]}", "", "zen3")]
#[case::nothing_known("{minimum_weight: -1}", "", "root arm")]
fn options_change_the_choice(#[case] args: &str, #[case] login: &str, #[case] expected: &str) {
    let found = match chosen(args, login, IMAGES) {
        Ok(narrowed) => narrowed.chosen,
        Err(_) => Vec::new(),
    };
    let found: Vec<_> = found.iter().map(|d| d.digest().clone()).collect();
    let expected: Vec<_> = match expected {
        "-" => Vec::new(),
        names => names.split(' ').map(digest).collect(),
    };
    assert_eq!(found, expected);
}

#[test]
fn an_override_that_the_machine_cannot_run_warns() {
    let narrowed = chosen("{override: [arch:x86_64_v4]}", "zen3", IMAGES).unwrap();
    assert_eq!(narrowed.warnings.len(), 1);
    let warning = &narrowed.warnings[0];
    assert!(
        warning.contains("overrides with arch:x86_64_v4"),
        "{warning}"
    );
    assert!(
        warning.contains("does not fit: arch:x86_64_v4 is not met by arch:zen3"),
        "{warning}"
    );
    let verdict = narrowed
        .verdicts
        .iter()
        .find(|verdict| verdict.kept)
        .unwrap();
    assert!(
        verdict.reason.contains("overrides with"),
        "{}",
        verdict.reason
    );
    // One that it runs needs no warning.
    let narrowed = chosen("{override: [arch:x86_64_v2]}", "zen3", IMAGES).unwrap();
    assert!(narrowed.warnings.is_empty(), "{:?}", narrowed.warnings);
}

#[test]
fn what_is_too_light_is_told() {
    let nothing = chosen("{minimum_weight: 10}", "zen2", IMAGES).unwrap_err();
    let text = nothing.to_string();
    assert!(
        text.contains("arch:zen2 with a weight of 10 or more"),
        "{text}"
    );
    let reason = nothing.verdicts.get(2).unwrap().reason;
    assert!(
        reason.starts_with("weighs -5, less than 10; fits"),
        "{reason}"
    );
}
