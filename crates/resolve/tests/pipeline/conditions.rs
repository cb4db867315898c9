use metahub_catalog::actions::{ConfigSet, Entries, ManifestFilter, ManifestSelect, NoneFits};
use metahub_catalog::{Args, When};
use metahub_resolve::{ImageRun, Request, for_request, image_actions, narrow};
use rstest::rstest;
use serde_json::json;

use super::common::{entry, index};
use super::config_set::{image, plain};
use super::{pattern, profile, when};

fn user(name: &str) -> Args {
    Args::ConfigSet(ConfigSet {
        user: Some(name.to_owned()),
        ..ConfigSet::default()
    })
}

fn not(when: When) -> When {
    When {
        not: Some(Box::new(when)),
        ..When::default()
    }
}

fn label(value: &str) -> When {
    When {
        label: [("site".to_owned(), value.parse().unwrap())].into(),
        ..When::default()
    }
}

fn jq(program: &str) -> When {
    When {
        jq: Some(program.parse().unwrap()),
        ..When::default()
    }
}

fn platform(text: &str) -> When {
    When {
        platform: pattern(text),
        ..When::default()
    }
}

#[rstest]
#[case::nothing(When::default(), true)]
#[case::label(label("he.*"), true)]
#[case::label_of_another_value(label("he"), false)]
#[case::no_such_label(When { label: [("x".to_owned(), ".*".parse().unwrap())].into(), ..When::default() }, false)]
#[case::not_label(not(label("there")), true)]
#[case::not_not(not(not(label("here"))), true)]
#[case::platform(platform("linux/.*"), true)]
#[case::other_platform(platform("linux/arm64"), false)]
#[case::jq(jq(".config.mediaType"), true)]
#[case::jq_false(jq(".layers == []"), false)]
#[case::jq_null(jq(".subject"), false)]
#[case::jq_nothing(jq("empty"), false)]
#[case::not_jq(not(jq(".subject")), true)]
// A program that fails says neither yes nor no.
#[case::jq_fails(jq(".layers.x"), false)]
#[case::not_jq_fails(not(jq(".layers.x")), false)]
#[case::both(When { label: label("here").label, platform: pattern("linux/amd64"), ..jq(".layers") }, true)]
#[case::one_of_both(When { label: label("there").label, ..jq(".layers") }, false)]
#[case::features(When { features: vec!["arch:zen2".parse().unwrap()], ..label("here") }, true)]
#[case::no_features(When { features: vec!["arch:zen4".parse().unwrap()], ..label("here") }, false)]
#[case::repository(When { repository: Some("lab/.*".parse().unwrap()), ..label("here") }, true)]
#[case::other_repository(When { repository: Some("x".parse().unwrap()), ..label("here") }, false)]
#[case::not_repository_and_label(not(When { repository: Some("x".parse().unwrap()), ..label("here") }), true)]
#[case::not_repository_and_label_of_it(not(When { repository: Some("lab/.*".parse().unwrap()), ..label("here") }), false)]
#[case::tag(When { tag: pattern("v[0-9]"), ..When::default() }, true)]
fn an_action_is_done_where_its_condition_holds(#[case] condition: When, #[case] expected: bool) {
    let profile = profile("zen3", vec![when(user("1"), condition)]);
    let (name, tag) = ("lab/app".parse().unwrap(), "v1".parse().unwrap());
    let profile = for_request(&profile, &Request::of(&name, &tag, profile.provided()));
    let run = json!({"Labels": {"site": "here"}});
    let image = image(&plain(&run), "application/vnd.oci.image.manifest.v1+json");
    let actions = image_actions(&profile, &name);
    let mut run = ImageRun::new(image, &actions, profile.provided());
    run.advance().unwrap();
    assert_eq!(run.finish().changed, expected);
}

#[test]
fn requests_that_come_to_the_same_have_one_profile() {
    let actions = vec![
        when(
            user("1"),
            When {
                tag: pattern("v1"),
                ..When::default()
            },
        ),
        when(
            user("2"),
            When {
                repository: Some("lab/.*".parse().unwrap()),
                ..When::default()
            },
        ),
    ];
    let profile = profile("zen3", actions);
    let of = |name: &str, tag: &str| {
        let (name, tag) = (name.parse().unwrap(), tag.parse().unwrap());
        let made = for_request(&profile, &Request::of(&name, &tag, profile.provided()));
        made.digest().clone()
    };
    assert_eq!(of("lab/a", "v2"), of("lab/b", "v3"));
    assert_ne!(of("lab/a", "v1"), of("lab/a", "v2"));
    assert_ne!(of("other", "v2"), of("lab/a", "v2"));
}

#[test]
fn a_filter_and_a_choice_are_conditional_on_the_index() {
    let source = index(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "annotations": {"site": "here"},
        "manifests": [
            entry("zen4", "linux/amd64", &["arch:zen4"]).as_json(),
            entry("any", "linux/amd64", &[]).as_json(),
        ],
    }));
    let on = |value: &str| When {
        annotation: [("site".to_owned(), value.parse().unwrap())].into(),
        ..When::default()
    };
    let filter = || {
        Args::ManifestFilter(ManifestFilter {
            select: ".manifests[].platform.features".parse().unwrap(),
            value: Some("arch:zen4".to_owned()),
            any: Vec::new(),
            all: Vec::new(),
            none: Vec::new(),
            matches: None,
            entries: Entries::Drop,
        })
    };
    let chosen = |actions| {
        let profile = profile("zen4", actions);
        let narrowed = narrow(&source, &profile).unwrap();
        narrowed.chosen[0].platform().unwrap().features
    };
    assert_eq!(
        chosen(vec![when(filter(), on("here"))]),
        Vec::<String>::new()
    );
    assert_eq!(chosen(vec![when(filter(), on("there"))]), ["arch:zen4"]);
    // The same of what is done where nothing fits.
    let generic = |condition| {
        let select = ManifestSelect {
            none_fits: Some(NoneFits::Generic),
            minimum_weight: Some(0),
            ..ManifestSelect::default()
        };
        profile("zen2", vec![when(Args::ManifestSelect(select), condition)])
    };
    let only_zen4 = index(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "annotations": {"site": "here"},
        "manifests": [entry("zen4", "linux/amd64", &["arch:zen4"]).as_json()],
    }));
    assert!(narrow(&only_zen4, &generic(on("here"))).is_err());
    let zen4 = profile("zen4", Vec::new());
    let zen4 = zen4.provided().targets().next().unwrap().clone();
    let fallback = |condition| {
        let select = ManifestSelect {
            fallback: vec![zen4.clone()],
            ..ManifestSelect::default()
        };
        profile("zen2", vec![when(Args::ManifestSelect(select), condition)])
    };
    assert!(narrow(&only_zen4, &fallback(on("here"))).is_ok());
    assert!(narrow(&only_zen4, &fallback(on("there"))).is_err());
}
