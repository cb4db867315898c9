//! Every file of `bad/` as `metahub check` shows it: one line for each problem, then its help;
//! and the other forms in which problems are shown.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::path::Path;

use metahub_catalog::{Action, Catalog, Problem, Severity, check};

const BAD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bad");

fn lines(problems: &[Problem]) -> String {
    let mut text = String::new();
    for problem in problems {
        text.push_str(&format!("{problem}\n"));
        if let Some(help) = &problem.help {
            text.push_str(&format!("    help: {}\n", shortened(help)));
        }
    }
    text
}

/// The help without the names of all actions, so that a new action changes no snapshot.
fn shortened(help: &str) -> &str {
    let Some(names) = help.strip_prefix("the actions are ") else {
        return help;
    };
    for name in Action::names() {
        assert!(names.contains(&format!("`{name}`")), "{name} in {help}");
    }
    "the actions are [all]"
}

fn of_file(name: &str) -> Vec<Problem> {
    let text = std::fs::read_to_string(Path::new(BAD).join(name)).unwrap();
    Catalog::from_documents(&[(name, text)]).problems
}

#[test]
fn each_mistake_is_told_with_its_place_and_what_to_do() {
    let mut names: Vec<String> = std::fs::read_dir(BAD)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for name in names {
        insta::with_settings!({ snapshot_suffix => name.replace('.', "_") }, {
            insta::assert_snapshot!("problems", lines(&of_file(&name)));
        });
    }
}

#[test]
fn a_report_shows_the_place_in_the_source() {
    let reports: Vec<String> = ["slide_without_dash.yaml", "brackets.yaml"]
        .into_iter()
        .flat_map(of_file)
        .map(|problem| problem.render(false, 100))
        .collect();
    insta::assert_snapshot!("report", reports.join("\n"));
    let coloured = of_file("brackets.yaml").remove(0).render(true, 100);
    assert!(coloured.contains("\u{1b}["));
}

#[test]
fn programs_read_problems_as_json() {
    insta::assert_json_snapshot!("json", of_file("slide_without_dash.yaml"));
}

#[test]
fn what_is_wrong_is_left_out_and_the_rest_is_there() {
    let loaded = Catalog::from_documents(&[(
        "x.yaml",
        "profiles:\n  - name: good\n    features: [arch:zen3]\n  - name: bad\n    featurs: []\n\
         manifests:\n  - name: good\n    manifests: [{image: a}]\n  \
         - name: bad\n    manifests: [{image: a}, {image: b, wieght: 1}]\n",
    )]);
    assert!(loaded.has_errors());
    let catalog = loaded.catalog;
    let latest = "latest".parse().unwrap();
    assert!(catalog.profile(&"good".parse().unwrap()).is_some());
    assert!(catalog.profile(&"bad".parse().unwrap()).is_none());
    assert!(
        catalog
            .collection(&"good".parse().unwrap(), &latest)
            .is_some()
    );
    assert!(
        catalog
            .collection(&"bad".parse().unwrap(), &latest)
            .is_none()
    );
}

#[test]
fn what_is_defined_twice_is_told_with_both_places_and_the_first_is_used() {
    let profile = |arch: &str| format!("profile:\n  name: zen-3\n  features: [arch:{arch}]\n");
    let again = "# site\nprofile:\n  name: library/Zen3:latest\n  features: [arch:zen2]\n\
                 ---\nmanifests:\n  - {name: app, manifests: [{image: b}]}\n";
    let first = format!(
        "{}---\nmanifests:\n  - {{name: app, tag: latest, manifests: [{{image: a}}]}}\n",
        profile("zen3")
    );
    let loaded = Catalog::from_documents(&[("b.yaml", first.as_str()), ("a.yaml", again)]);
    insta::assert_snapshot!("defined_twice", lines(&loaded.problems));
    let kept = loaded.catalog.profile(&"zen3".parse().unwrap()).unwrap();
    assert_eq!(kept.features[0].to_string(), "arch:zen3");
}

#[test]
fn problems_are_sorted_by_file_line_and_column() {
    let loaded = Catalog::from_documents(&[("b.yaml", "x: 1\n"), ("a.yaml", "y: 1\nx: 2\n")]);
    let places: Vec<String> = loaded
        .problems
        .iter()
        .map(|p| p.location.to_string())
        .collect();
    assert_eq!(places, ["a.yaml:1:1", "a.yaml:2:1", "b.yaml:1:1"]);
}

#[test]
fn folders_are_read_with_all_below_them() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let put = |path: &str, text: &[u8]| {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let named = |name: &str| format!("profile: {{name: {name}, features: [arch:zen3]}}\n");
    put("one.yaml", named("one").as_bytes());
    put("deep/er/two.YML", named("two").as_bytes());
    put("deep/notes.md", b"profile: [");
    put(".hidden/three.yaml", named("three").as_bytes());
    put("deep/.four.yaml", named("four").as_bytes());
    put("latin1.yaml", b"profile: {name: \xe9}\n");
    put("empty/readme", b"");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(root, root.join("deep/loop")).unwrap();
        std::os::unix::fs::symlink(root.join("one.yaml"), root.join("same.yaml")).unwrap();
        std::os::unix::fs::symlink(root.join("nowhere"), root.join("deep/gone.yaml")).unwrap();
    }
    let paths = [
        root.to_owned(),
        root.join("empty"),
        root.join("none.yaml"),
        root.join("deep"),
    ];
    let loaded = Catalog::load(&paths);
    let documents = |name: &str| {
        let profile = loaded.catalog.profile(&name.parse().unwrap());
        profile.is_some_and(|profile| profile.location.is_some())
    };
    assert_eq!(
        ["one", "two", "three", "four"].map(documents),
        [true, true, false, false]
    );
    let told = lines(&loaded.problems).replace(&root.display().to_string(), "ROOT");
    insta::assert_snapshot!("folders", told);
}

#[test]
fn check_tells_what_loading_would() {
    let problems = check(&[Path::new(BAD).join("slide_without_dash.yaml")]);
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].severity, Severity::Error);
    assert_eq!(problems[0].code, "duplicate-key");
    assert!(
        problems[0]
            .location
            .file
            .ends_with("slide_without_dash.yaml")
    );
}

#[test]
fn a_near_miss_of_a_built_in_key_is_warned_of_wherever_features_stand() {
    let text = "\
manifests:
  - name: app
    manifests:
      - image: a/b:1
        platform: {features: [acrh:zen3, site:blue]}
profile:
  name: site/node
  features: [target:zen4, gpu:h100, room:b12]
  actions:
    - name: manifest-select
      event: post-manifest-list-get
      args: {override: [cudda:12.4]}
    - name: manifest-filter
      event: post-manifest-list-get
      args: {select: '.manifests[].platform.features', value: kernle:5.14}
";
    let loaded = Catalog::from_documents(&[("near.yaml", text)]);
    let told: Vec<String> = loaded
        .problems
        .iter()
        .map(|problem| {
            assert_eq!(problem.code, "near-miss", "{problem}");
            let (at, help) = (&problem.location, problem.help.as_deref().unwrap());
            format!("{}:{} {help}", at.line, at.column)
        })
        .collect();
    assert_eq!(
        told,
        [
            "5:31 did you mean `arch:zen3`?",
            "8:14 did you mean `cpu:zen4`?",
            "8:27 did you mean `cc:9.0`?",
            "12:25 did you mean `cuda:12.4`?",
            "15:63 did you mean `kernel:5.14`?",
        ]
    );
    assert!(loaded.catalog.profiles().any(|p| p.name.name() == "node"));
}
