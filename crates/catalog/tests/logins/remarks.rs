//! What is told of a login: replaced, unknown and misspelled features.

use super::*;

/// The remarks on a login.
fn remarks(user: &str) -> Vec<String> {
    interpret(user).unwrap().profile.remarks().to_vec()
}

#[rstest]
#[case(
    "cuda=new",
    "'cuda=new' does not say what cuda means: write it as in cuda=12.4"
)]
#[case(
    "zen3+kernel=mine",
    "'kernel=mine' does not say what kernel means: write it as in kernel=5.14"
)]
fn a_version_that_is_none_is_refused(#[case] user: &str, #[case] says: &str) {
    let error = interpret(user).unwrap_err();
    assert!(matches!(error, LoginError::Value { .. }), "{error:?}");
    assert_eq!(error.to_string(), says);
}

#[rstest]
#[case(
    "cpu=zen2+cpu=icelake",
    "arch:icelake replaces arch:zen2: a machine has one CPU target"
)]
#[case(
    "grace+zen3",
    "arch:zen3 replaces arch:neoverse_v2: a machine has one CPU target"
)]
#[case(
    "gpu+cuda=11.8",
    "cuda:11.8 replaces cuda:12.4: a machine has one CUDA version"
)]
#[case(
    "cascadeLake+zen3",
    "arch:zen3 replaces arch:cascadeLake: a machine has one CPU target"
)]
#[case(
    "cpu=zen9",
    "cpu=zen9 is not known to this registry, so only images that need no cpu are served"
)]
#[case(
    "zen3+mpi=newmpi",
    "mpi=newmpi is not known to this registry, so only images that need no mpi are served"
)]
#[case(
    "acrh=zen3",
    "acrh=zen3 is compared as text and says nothing of the hardware: did you mean arch=zen3?"
)]
#[case(
    "cudda=12.4",
    "cudda=12.4 is compared as text and says nothing of the hardware: did you mean cuda=12.4?"
)]
#[case(
    "target=zen4",
    "target=zen4 is compared as text and says nothing of the hardware: did you mean cpu=zen4?"
)]
#[case(
    "zen3+gpu=h100",
    "gpu=h100 is not known to this registry, so only images that need no gpu are served: did you mean cc=9.0?"
)]
#[case(
    "zen3+accelerator=h100",
    "accelerator=h100 is compared as text and says nothing of the hardware: did you mean cc=9.0?"
)]
fn a_login_that_means_less_than_it_seems_to_is_remarked_on(#[case] user: &str, #[case] says: &str) {
    let remarks = remarks(user);
    assert_eq!(remarks.len(), 1, "{remarks:?}");
    assert!(remarks[0].starts_with(says), "{remarks:?}");
}

#[rstest]
#[case("zen3")]
#[case("zen3+znver3")]
#[case("gpu+cc=8.0")]
#[case("gpu+cuda=12.4")]
#[case("cascadeLake")]
#[case("cascadeLake+cuda=12.4")]
#[case("icelake+cascadeLake")]
#[case("site=blue+site=green+room=b12")]
fn nothing_is_remarked_on_a_login_that_means_what_it_says(#[case] user: &str) {
    assert_eq!(remarks(user), Vec::<String>::new());
}

#[test]
fn what_was_vouched_for_beside_a_target_goes_with_it() {
    let fallback = |user: &str| -> Vec<String> {
        let profile = interpret(user).unwrap().profile;
        profile.fallback().iter().map(ToString::to_string).collect()
    };
    let none: [&str; 0] = [];
    assert_eq!(fallback("grace"), ["neoverse_v1", "neoverse_n1"]);
    assert_eq!(fallback("zen3+grace"), ["neoverse_v1", "neoverse_n1"]);
    assert_eq!(
        fallback("grace+neoverse_v2"),
        ["neoverse_v1", "neoverse_n1"]
    );
    assert_eq!(fallback("grace+zen3"), none);
    assert_eq!(fallback("grace+cpu=zen9"), none);
}

#[test]
fn a_profile_with_two_targets_has_the_last_and_check_says_so() {
    let text = "profile:\n  name: two\n  features: [arch:zen2, kernel:6.1, arch:icelake, cc:8.0, cc:9.0]\n  \
                actions:\n    - name: manifest-select\n      event: post-manifest-list-get\n      \
                args: {override: [arch:zen4, arch:sapphirerapids]}\n";
    let loaded = Catalog::from_documents(&[("two.yaml", text)]);
    let told: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "two.yaml:3:37: warning: `arch:icelake` replaces `arch:zen2`: a machine has one CPU target",
            "two.yaml:7:36: warning: `arch:sapphirerapids` replaces `arch:zen4`: a machine has one CPU target",
        ]
    );
    let login = loaded.catalog.interpret("two", &|_| false).unwrap();
    assert_eq!(
        self::told(&login),
        "- | two | arch:icelake cc:8.0 cc:9.0 kernel:6.1 | manifest-select"
    );
    let overriding = &login.profile.selection().overriding;
    assert_eq!(overriding, &["arch:sapphirerapids".parse().unwrap()]);
}

#[test]
fn a_hint_names_no_target_that_the_written_one_does_not_resemble() {
    // It has what cascadelake has and bfloat16; alderlake has other things.
    for user in ["cooperlake-x", "cpu=cooperlake-x"] {
        let said = match interpret(user) {
            Err(error) => error.to_string(),
            Ok(login) => login.profile.remarks().join(" "),
        };
        assert!(!said.contains("alderlake"), "{said}");
    }
}
