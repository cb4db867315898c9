//! Collections for new versions: which tags make one, and that a document keeps all else.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use metahub_catalog::{Catalog, MAX_NEW_VERSIONS, RenewalError, templates};
use metahub_hardware::Microarchitectures;
use metahub_oci::{ImageReference, Tag};
use proptest::prelude::*;
use rstest::rstest;

const DOCUMENT: &str = "\
# The application, as its publisher builds it.
about:
  description: An application # one sentence
  update: ['[0-9]{4}']
manifests:
  - name: app
    tag: 2406
    manifests:
      - image: docker.io/lab/app:2406
        about: {documented: \"https://a.example/\", certainty: high}
  # The newest one.
  - name: app
    tag: 2412 # of December
    manifests:
      # Of two parts.
      - image: docker.io/lab/app:v2412-cpu
        platform: {os: linux, architecture: amd64}
        about: {documented: \"https://a.example/\", certainty: high}

      - {image: 'docker.io/lab/app:v2412-gpu', platform: {features: [cuda:12.4]}, about: {certainty: low}}
  - name: app
    tag: stable
    manifests: [{image: 'docker.io/lab/app:stable'}]
# What is expected of it.
tests:
  - {name: any node, login: zen3, pull: 'app:2412', expect: {image: 'docker.io/lab/app:v2412-cpu'}}
";

fn load(text: &str) -> Catalog {
    let loaded = Catalog::from_documents(&[("a.yaml", text)]);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    loaded.catalog
}

/// What becomes of a document where the one repository has these tags.
fn updated(text: &str, tags: &[&str]) -> Result<String, RenewalError> {
    let catalog = load(text);
    let tags: Vec<Tag> = tags.iter().filter_map(|tag| tag.parse().ok()).collect();
    let mut text = text.to_owned();
    let mut found = templates(&catalog, "a.yaml");
    found.sort_by(|a, b| b.collection.location.cmp(&a.collection.location));
    for template in found {
        let name = &template.collection.name;
        let taken = |tag: &Tag| catalog.collection(name, tag).is_some();
        let (whole, _) = template.versions(|_: &ImageReference| tags.clone(), taken)?;
        if !whole.is_empty() {
            text = template.add(&text, &whole, &Microarchitectures::builtin())?;
        }
    }
    Ok(text)
}

#[test]
fn a_new_version_is_added_behind_the_newest_and_all_else_stays() {
    let tags = [
        "v2412-cpu",
        "v2412-gpu",
        "v2506-cpu",
        "v2506-gpu",
        "v2512-cpu",
        "latest",
    ];
    let after = updated(DOCUMENT, &tags).unwrap();
    let added = "  - name: app
    tag: 2506 # of December
    manifests:
      - image: docker.io/lab/app:v2506-cpu
        platform: {os: linux, architecture: amd64}
        about: {documented: \"https://a.example/\", certainty: medium}
      - {image: 'docker.io/lab/app:v2506-gpu', platform: {features: [cuda:12.4]}, about: {certainty: low}}
";
    let stable = "  - name: app\n    tag: stable\n";
    let expected = DOCUMENT.replace(stable, &format!("{added}{stable}"));
    assert_eq!(after, expected);
    // Once more changes nothing, and the next version comes behind that one.
    assert_eq!(updated(&after, &tags).unwrap(), after);
    let tags = [&tags[..], &["v2512-gpu"]].concat();
    let next = updated(&after, &tags).unwrap();
    let new = added.replace("2506", "2512");
    assert_eq!(next, after.replace(stable, &format!("{new}{stable}")));
    // Both at once come in the same order.
    assert_eq!(updated(DOCUMENT, &tags).unwrap(), next);
}

#[test]
fn versions_of_which_a_part_is_missing_or_that_are_older_are_left_out() {
    let catalog = load(DOCUMENT);
    let found = templates(&catalog, "a.yaml");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].version(), "2412");
    let tags = [
        "v2506-cpu",
        "v2306-cpu",
        "v2306-gpu",
        "v2512-cpu-rc1",
        "v99-cpu",
        "v99-gpu",
    ];
    let tags: Vec<Tag> = tags.iter().map(|tag| tag.parse().unwrap()).collect();
    let (whole, partly) = found[0].versions(|_| tags.clone(), |_| false).unwrap();
    assert!(whole.is_empty(), "{whole:?}");
    assert_eq!(partly, ["2506"]);
}

#[rstest]
#[case::a_group_is_the_version(
    "2024.3-cuda",
    "v2024.3_c",
    "'([0-9.]+)-cuda'",
    "v2024.4_c",
    Some("2024.4-cuda")
)]
#[case::text_beside_the_number("1.9", "1.9", "'[0-9.]+'", "1.10", Some("1.10"))]
#[case::another_pattern("stable", "stable", "'[0-9]+'", "5", None)]
#[case::a_suffix_that_the_pattern_refuses("7", "7", "'[0-9]+'", "8-rc1", None)]
fn a_pattern_says_what_a_version_is(
    #[case] tag: &str,
    #[case] image: &str,
    #[case] pattern: &str,
    #[case] listed: &str,
    #[case] added: Option<&str>,
) {
    let text = format!(
        "about: {{update: [{pattern}]}}\nmanifests:\n  - name: app\n    tag: {tag}\n    manifests:\n      - image: lab/app:{image}\n"
    );
    let after = updated(&text, &[listed, image, "latest"]).unwrap();
    match added {
        None => assert_eq!(after, text),
        Some(added) => {
            let catalog = load(&after);
            let new = catalog.collection(&"app".parse().unwrap(), &added.parse().unwrap());
            assert_eq!(
                new.unwrap().entries[0].image.to_string(),
                format!("lab/app:{listed}")
            );
            assert_eq!(catalog.collections().count(), 2);
        }
    }
}

#[test]
fn a_document_of_another_form_is_left_alone_with_a_reason() {
    let flow = "about: {update: ['[0-9]']}\nmanifests: [{name: app, tag: 1, manifests: [{image: 'lab/app:1'}]}]\n";
    assert!(matches!(
        updated(flow, &["1", "2"]),
        Err(RenewalError::Form { line: 2 })
    ));
    let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    for image in [
        "lab/app:stable",
        "lab/app:1-of-1",
        &format!("lab/app:1@{digest}"),
    ] {
        let text = format!(
            "about: {{update: ['[0-9]']}}\nmanifests:\n  - name: app\n    tag: 1\n    manifests:\n      - image: {image}\n"
        );
        let error = updated(&text, &["1", "2"]).unwrap_err();
        assert!(error.to_string().contains("cannot be told"), "{error}");
    }
    // An alias says something that the text of the block does not.
    let alias = "about: {update: ['[0-9]']}\nmanifests:\n  - name: app\n    tag: 0\n    manifests: &m\n      - image: lab/app:1\n  - name: app\n    tag: 1\n    manifests: *m\n";
    let error = updated(alias, &["1", "2"]).unwrap_err();
    assert!(matches!(error, RenewalError::Differs { .. }), "{error}");
}

#[test]
fn a_pattern_that_is_none_is_an_error_at_its_place() {
    let text = "about: {update: ['[']}\nmanifests: [{name: app, tag: 1, manifests: [{image: 'lab/app:1'}]}]\n";
    let loaded = Catalog::from_documents(&[("a.yaml", text)]);
    assert_eq!(loaded.problems[0].code, "bad-pattern");
    let long = format!("about: {{update: ['{}']}}\n", "a".repeat(600));
    assert!(Catalog::from_documents(&[("a.yaml", &long)]).has_errors());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever a registry lists, a document stays one, says what it said, and grows by a bounded
    /// number of collections.
    #[test]
    fn hostile_lists_of_tags_do_no_harm(
        pattern in prop_oneof![Just("[0-9]{4}"), Just(".*"), Just("[-_.a-zA-Z0-9]+"), Just("([0-9]+)[a-z]*")],
        tags in prop::collection::vec(prop_oneof![
            "v[0-9]{1,6}-(cpu|gpu)",
            "v[-_.a-zA-Z0-9]{0,20}-(cpu|gpu)",
            "[a-zA-Z0-9_][-_.a-zA-Z0-9]{0,127}",
        ], 0..200),
        both in any::<bool>(),
    ) {
        let document = DOCUMENT.replace("[0-9]{4}", pattern);
        let mut all = tags.clone();
        if both {
            all.extend(tags.iter().map(|tag| tag.replace("-cpu", "-gpu")));
            all.extend(tags.iter().map(|tag| tag.replace("-gpu", "-cpu")));
        }
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let before = load(&document);
        // A pattern may take another collection for the newest one, whose images follow no version.
        let Ok(after) = updated(&document, &all) else { return Ok(()) };
        let loaded = load(&after);
        let count = loaded.collections().count();
        prop_assert!(count <= before.collections().count() + 3 * MAX_NEW_VERSIONS);
        for old in before.collections() {
            let new = loaded.collection(&old.name, &old.tag).unwrap();
            prop_assert_eq!(&new.entries.iter().map(|e| &e.image).collect::<Vec<_>>(),
                &old.entries.iter().map(|e| &e.image).collect::<Vec<_>>());
        }
        // Nothing but new lines: every line of the document is still there, in its order.
        let mut lines = after.lines();
        for line in document.lines() {
            prop_assert!(lines.any(|new| new == line), "{} is gone", line);
        }
    }
}
