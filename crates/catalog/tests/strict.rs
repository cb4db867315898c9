//! What a catalog that others follow is held to.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use metahub_catalog::{Catalog, strict};
use rstest::rstest;

const ABOUT: &str =
    "about: {description: An application, homepage: 'https://www.example.org/', license: MIT}\n";
const SOURCE: &str = "about: {documented: 'https://www.example.org/tags', certainty: high}";

fn codes(text: &str) -> Vec<&'static str> {
    let loaded = Catalog::from_documents(&[("one.yaml", text)]);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    let problems = strict(&loaded.catalog);
    assert!(problems.iter().all(|problem| problem.help.is_some()));
    problems.iter().map(|problem| problem.code).collect()
}

fn with(about: &str, collection: &str, entries: &[&str]) -> String {
    let entries: String = entries
        .iter()
        .map(|entry| format!("      - {{{entry}}}\n"))
        .collect();
    format!(
        "{about}manifests:\n  - name: lab/app\n    tag: 1\n{collection}    manifests:\n{entries}"
    )
}

#[rstest]
#[case::whole("image: 'lab/app:1.0', ", &[])]
#[case::by_digest("image: 'lab/app@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', ", &[])]
#[case::digits_are_a_release("image: 'lab/app:12', ", &[])]
#[case::a_word_that_begins_like_one("image: 'lab/app:mainframe', ", &[])]
#[case::a_dated_build("image: 'lab/app:nightly-20261129', ", &[])]
#[case::no_tag("image: lab/app, ", &["moving-tag"])]
#[case::moving("image: 'lab/app:Latest', ", &["moving-tag"])]
#[case::moving_build("image: 'lab/app:stable-gpu', ", &["moving-tag"])]
#[case::a_variant_is_not_for_any_machine("image: 'lab/app:1', platform: {architecture: amd64, variant: v3}, ", &["no-generic"])]
#[case::not_for_any_machine("image: 'lab/app:1', platform: {features: [arch:zen3]}, ", &["no-generic"])]
#[case::nobody_provides_it("image: 'lab/app:1', platform: {features: [tape:lto]}, ", &["no-generic", "unknown-feature"])]
#[case::no_machine_is_both("image: 'lab/app:1', platform: {features: [arch:zen3, arch:icelake]}, ", &["no-generic", "contradiction"])]
#[case::one_line_of_targets("image: 'lab/app:1', platform: {features: [arch:x86_64_v3, arch:zen3]}, ", &["no-generic"])]
#[case::what_some_machines_have("image: 'lab/app:1', platform: {features: [arch:x86_64_v4, arch:zen3]}, ", &["no-generic"])]
fn an_entry_is_held_to(#[case] entry: &str, #[case] expected: &[&str]) {
    let entry = format!("{entry}{SOURCE}");
    assert_eq!(codes(&with(ABOUT, "", &[&entry])), expected);
}

#[rstest]
#[case::twice("1", "arch:zen3", "", "1", "arch:zen3", "", true)]
#[case::another_image("1", "arch:zen3", "", "2", "arch:zen3", "", true)]
#[case::in_another_order(
    "1",
    "arch:zen3, 'cuda:12.4'",
    "",
    "2",
    "'cuda:12.4', arch:zen3",
    "",
    true
)]
#[case::another_machine("1", "arch:zen3", "", "2", "arch:zen4", "", false)]
#[case::weighed("1", "arch:zen3", "weight: 2, ", "2", "arch:zen3", "", false)]
fn entries_for_the_same_machines_are_told(
    #[case] first: &str,
    #[case] first_requires: &str,
    #[case] first_weight: &str,
    #[case] second: &str,
    #[case] second_requires: &str,
    #[case] second_weight: &str,
    #[case] told: bool,
) {
    let entry = |tag: &str, requires: &str, weight: &str| {
        format!("image: 'lab/app:{tag}', {weight}platform: {{features: [{requires}]}}, {SOURCE}")
    };
    let entries = [
        entry(first, first_requires, first_weight),
        entry(second, second_requires, second_weight),
    ];
    let said = "    about: {no_generic: its publisher builds for one machine}\n";
    let codes = codes(&with(ABOUT, said, &[&entries[0], &entries[1]]));
    assert_eq!(codes.contains(&"equal-entries"), told, "{codes:?}");
}

#[test]
fn what_images_say_themselves_is_not_taken_for_equal() {
    let open = ["1", "2"].map(|tag| format!("image: 'lab/app:{tag}', {SOURCE}"));
    assert!(codes(&with(ABOUT, "", &[&open[0], &open[1]])).is_empty());
    assert_eq!(
        codes(&with(ABOUT, "", &[&open[0], &open[0]])),
        ["equal-entries"]
    );
}

#[test]
fn names_of_systems_and_architectures_are_those_of_oci() {
    for (platform, expected) in [
        ("os: Linux", &["odd-os"][..]),
        ("os: macOS", &["odd-os"]),
        ("os: linux, architecture: AMD64", &["odd-architecture"]),
        ("os: linux, architecture: amd64", &[]),
    ] {
        let text = with(
            "",
            "",
            &[&format!("image: 'lab/app:1', platform: {{{platform}}}")],
        );
        let loaded = Catalog::from_documents(&[("one.yaml", text.as_str())]);
        let codes: Vec<&str> = loaded.problems.iter().map(|problem| problem.code).collect();
        assert_eq!(codes, expected, "{platform}");
    }
}

#[test]
fn what_is_said_or_provided_elsewhere_counts() {
    let zen3 = format!("image: 'lab/app:1', platform: {{features: [arch:zen3]}}, {SOURCE}");
    let said = "    about: {no_generic: its publisher builds for one machine}\n";
    assert!(codes(&with(ABOUT, said, &[&zen3])).is_empty());
    let generic = format!("image: 'lab/app:1', {SOURCE}");
    let untrue = with(ABOUT, said, &[&zen3, &generic]);
    assert_eq!(codes(&untrue), ["generic-after-all"]);
    let moving = "image: 'lab/app:edge', about: {documented: 'https://a.example/', certainty: low, moving: true}";
    assert!(codes(&with(ABOUT, "", &[moving])).is_empty());
    let tape = format!("image: 'lab/app:2', platform: {{features: [tape:lto]}}, {SOURCE}");
    let profile = "---\nprofile: {name: site/tape, features: [tape:lto]}\n";
    let provided = with(ABOUT, "", &[&generic, &tape]) + profile;
    assert!(codes(&provided).is_empty());
}

#[test]
fn what_a_document_lacks_is_told_once_for_all_its_collections() {
    let two = "manifests:
  - name: lab/app
    tag: 1
    manifests: [{image: 'lab/app:1'}]
  - name: lab/app
    tag: 2
    manifests: [{image: 'lab/app:2'}]
---
about: {description: Another, homepage: 'https://www.example.org/'}
manifests:
  - name: lab/other
    manifests: [{image: 'lab/other:1'}]
";
    let loaded = Catalog::from_documents(&[("two.yaml", two)]);
    let problems = strict(&loaded.catalog);
    let told = |code: &str| -> Vec<String> {
        let of_code = problems.iter().filter(|problem| problem.code == code);
        of_code.map(|problem| problem.message.clone()).collect()
    };
    assert_eq!(told("no-source").len(), 3);
    assert_eq!(
        told("no-about"),
        [
            "the document of lab/app does not say: description, homepage, license",
            "the document of lab/other does not say: license",
        ]
    );
}

/// What is told to people never changes what is served.
#[test]
fn nothing_that_is_served_depends_on_what_people_are_told() {
    let entry = "image: 'lab/app:1'";
    let told = format!("{entry}, {SOURCE}");
    let said = "    about: {no_generic: none}\n";
    let documents = [with("", "", &[entry]), with(ABOUT, said, &[&told])];
    let [plain, told] = documents.map(|text| {
        let loaded = Catalog::from_documents(&[("one.yaml", &text)]);
        let mut collection = loaded.catalog.collections().next().unwrap().clone();
        collection.location.line = 1;
        serde_json::to_string(&collection).unwrap()
    });
    assert_eq!(plain, told);
}
