use metahub_catalog::actions::TagsFilter;
use metahub_catalog::{Action, Args, When};
use metahub_resolve::TagFilters;

use super::{pattern, profile, when};

fn filter(keep: Option<&str>, drop: Option<&str>, add: &[&str]) -> TagsFilter {
    TagsFilter {
        add: add.iter().map(|tag| tag.parse().unwrap()).collect(),
        drop: drop.and_then(pattern),
        keep: keep.and_then(pattern),
        repository: Some("lab/.*".parse().unwrap()),
    }
}

/// What of `there` is shown, with what is added, in order.
fn shown(filters: Vec<Action>, there: &[&str]) -> Vec<String> {
    let profile = profile("zen3", filters);
    let Some(filters) = TagFilters::of(&profile, &"lab/app".parse().unwrap()) else {
        return there.iter().map(ToString::to_string).collect();
    };
    let there = there.iter().filter(|tag| filters.shows(tag));
    let mut shown: Vec<String> = there.map(ToString::to_string).collect();
    shown.extend(filters.added().into_iter().map(ToString::to_string));
    shown.sort();
    shown.dedup();
    shown
}

#[test]
fn tags_are_shown_hidden_and_added_in_order() {
    let there = ["v1", "v1-debug", "v2", "v2-debug", "x"];
    let one = |keep, drop, add: &[&str]| vec![Args::TagsFilter(filter(keep, drop, add)).into()];
    assert_eq!(shown(one(Some("v.*"), None, &[]), &there), there[..4]);
    assert_eq!(
        shown(one(None, Some(".*-debug"), &[]), &there),
        ["v1", "v2", "x"]
    );
    assert_eq!(
        shown(one(Some("v1.*"), Some(".*-debug"), &["stable"]), &there),
        ["stable", "v1"]
    );
    // What an earlier filter added, a later one hides, and the reverse.
    let two = vec![
        Args::TagsFilter(filter(None, None, &["stable", "edge"])).into(),
        Args::TagsFilter(filter(None, Some("edge|x"), &[])).into(),
    ];
    assert_eq!(
        shown(two, &there),
        ["stable", "v1", "v1-debug", "v2", "v2-debug"]
    );
    let two = vec![
        Args::TagsFilter(filter(None, Some("v.*"), &[])).into(),
        Args::TagsFilter(filter(None, None, &["v1"])).into(),
    ];
    assert_eq!(shown(two, &there), ["v1", "x"]);
}

#[test]
fn lists_of_other_repositories_and_under_other_conditions_are_as_they_are() {
    let profile = profile(
        "zen3",
        vec![Args::TagsFilter(filter(None, Some(".*"), &[])).into()],
    );
    assert!(TagFilters::of(&profile, &"other/app".parse().unwrap()).is_none());
    let condition = |feature: &str| When {
        features: vec![feature.parse().unwrap()],
        ..When::default()
    };
    let hidden = |feature| {
        when(
            Args::TagsFilter(filter(None, Some(".*"), &[])),
            condition(feature),
        )
    };
    assert_eq!(shown(vec![hidden("arch:zen4")], &["v1"]), ["v1"]);
    assert!(shown(vec![hidden("arch:zen2")], &["v1"]).is_empty());
}
