//! `metahub check`: the slides' documents are right, and each mistake is shown with file, line,
//! column and what to do. What `check` refuses never reaches a server.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::time::Duration;

use metahub_e2e::metahub;
use metahub_e2e::process::Outcome;
use metahub_e2e::world::CATALOG;
use rstest::rstest;

fn check(text: &str) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("site.yaml");
    std::fs::write(&file, text).unwrap();
    metahub::command(&["check"])
        .arg(&file)
        .limit(Duration::from_secs(20))
        .run()
}

#[test]
fn the_documents_of_the_slides_have_no_problem() {
    for (name, text) in CATALOG {
        let checked = check(text);
        assert_eq!(checked.code, Some(0), "{name}: {checked}");
        checked.does_not_say("warning");
    }
}

#[rstest]
#[case::key_twice("profile:\n  name: x\n  name: y\n", "3:3", "name")]
#[case::unknown_key("profile:\n  name: x\n  acions: []\n", "3:3", "actions")]
#[case::wrong_type("profile:\n  name: x\n  actions: 5\n", "3:12", "list")]
#[case::unknown_action(
    "profile:\n  name: x\n  actions:\n    - name: manifest-filtr\n      event: post-manifest-list-get\n      args: {select: ., value: a}\n",
    "4:13",
    "manifest-filter"
)]
#[case::bad_regular_expression(
    "profile:\n  name: x\n  actions:\n    - name: manifest-add\n      event: post-manifest-get\n      args:\n        layerRepository: a/b\n        repository: qnib/(\n",
    "8:21",
    "regular expression"
)]
#[case::bad_image(
    "manifests:\n  - name: app\n    tag: 1\n    manifests:\n      - image: Not An Image\n",
    "5:16",
    "Not An Image"
)]
#[case::feature_without_key(
    "manifests:\n  - name: app\n    tag: 1\n    manifests:\n      - image: a/b:1\n        platform:\n          features: [zen3]\n",
    "7:22",
    "zen3"
)]
#[case::not_yaml("profile: [\n", "1:10", "bracket")]
fn a_mistake_is_shown_with_its_place_and_a_hint(
    #[case] text: &str,
    #[case] place: &str,
    #[case] hint: &str,
) {
    let checked = check(text);
    assert_eq!(checked.code, Some(1), "{checked}");
    checked
        .says(&format!("site.yaml:{place}: error: "))
        .says(hint);
}

#[rstest]
#[case::environment("env")]
#[case::environment_variable("$ENV.PATH")]
#[case::end_of_the_process("halt")]
#[case::input("input")]
#[case::recursion("def f: f; f")]
#[case::endless("last(range(1e18))")]
#[case::descent("..")]
#[case::unbalanced(".manifests [")]
#[case::too_long(&".a".repeat(5000))]
#[case::too_deep(&format!("{}.{}", "(".repeat(2000), ")".repeat(2000)))]
fn a_jq_program_that_could_do_harm_is_refused_before_it_runs(#[case] program: &str) {
    let text = format!(
        "profile:\n  name: x\n  actions:\n    - name: manifest-filter\n      event: \
         post-manifest-list-get\n      args:\n        select: '{program}'\n        value: arch:zen3\n"
    );
    let checked = check(&text);
    assert_eq!(checked.code, Some(1), "{checked}");
    checked.says("site.yaml:7:");
}
