use metahub_catalog::actions::{Deny, Redirect};
use metahub_catalog::{Action, Args, When};
use metahub_resolve::{Before, acts_before, before};
use rstest::rstest;

use super::{pattern, profile, when};

fn deny(repository: &str, message: &str) -> Args {
    Args::Deny(Deny {
        message: message.to_owned(),
        repository: Some(repository.parse().unwrap()),
        tag: None,
    })
}

fn redirect(repository: &str, tag: Option<&str>, to: Option<&str>, to_tag: Option<&str>) -> Args {
    Args::Redirect(Redirect {
        repository: Some(repository.parse().unwrap()),
        tag: tag.map(|tag| tag.parse().unwrap()),
        to: to.map(|to| to.parse().unwrap()),
        to_tag: to_tag.map(|tag| tag.parse().unwrap()),
    })
}

fn to(name: &str, tag: &str) -> Before {
    Before::Redirected(name.parse().unwrap(), tag.parse().unwrap())
}

/// The login's actions, in order.
fn actions() -> Vec<Action> {
    vec![
        redirect("lab/old", None, Some("lab/new"), None).into(),
        redirect("lab/.*", Some("latest"), None, Some("stable")).into(),
        // A circle, if an action were done twice.
        redirect("lab/a", None, Some("lab/b"), None).into(),
        redirect("lab/b", None, Some("lab/a"), None).into(),
        deny("lab/new-closed", "closed").into(),
        redirect("to/closed", None, Some("closed/app"), None).into(),
        deny("closed/.*", "not on this cluster").into(),
        when(
            deny("zen/.*", "not for Zen 2"),
            When {
                features: vec!["arch:zen2".parse().unwrap()],
                not: Some(Box::new(When {
                    tag: pattern("zen2-.*"),
                    ..When::default()
                })),
                ..When::default()
            },
        ),
    ]
}

#[rstest]
#[case("lab/other", "v1", Before::Unchanged)]
#[case("lab/old", "v1", to("lab/new", "v1"))]
// What comes after a redirection sees where it leads.
#[case("lab/old", "latest", to("lab/new", "stable"))]
#[case("lab/a", "v1", Before::Unchanged)]
#[case("lab/b", "v1", to("lab/a", "v1"))]
#[case("closed/app", "v1", Before::Denied("not on this cluster".into()))]
#[case("to/closed", "v1", Before::Denied("not on this cluster".into()))]
// Patterns are of the whole name.
#[case("xclosed/app", "v1", Before::Unchanged)]
#[case("zen/app", "v1", Before::Denied("not for Zen 2".into()))]
#[case("zen/app", "zen2-v1", Before::Unchanged)]
fn a_tag_is_refused_or_redirected(#[case] name: &str, #[case] tag: &str, #[case] expected: Before) {
    let profile = profile("zen3", actions());
    assert!(acts_before(&profile));
    let (found, steps) = before(&profile, &name.parse().unwrap(), &tag.parse().unwrap());
    assert_eq!(found, expected);
    assert_eq!(
        steps.is_empty(),
        name != "lab/a" && found == Before::Unchanged
    );
}

#[test]
fn a_condition_on_hardware_is_of_what_the_login_provides() {
    let (name, tag) = ("zen/app".parse().unwrap(), "v1".parse().unwrap());
    let answer = |login: &str| before(&profile(login, actions()), &name, &tag).0;
    // What descends from Zen 2 runs what Zen 2 does.
    assert!(matches!(answer("zen4"), Before::Denied(_)));
    assert_eq!(answer("skylake"), Before::Unchanged);
    assert_eq!(answer("cuda=12.4"), Before::Unchanged);
}

#[test]
fn what_depends_on_the_image_denies_nothing_before_it_is_read() {
    for not in [false, true] {
        let mut condition = When {
            label: [("site".to_owned(), "here".parse().unwrap())].into(),
            ..When::default()
        };
        if not {
            condition = When {
                not: Some(Box::new(condition)),
                ..When::default()
            };
        }
        let profile = profile("zen3", vec![when(deny("lab/.*", "no"), condition)]);
        let (found, _) = before(&profile, &"lab/a".parse().unwrap(), &"v1".parse().unwrap());
        assert_eq!(found, Before::Unchanged);
    }
}
