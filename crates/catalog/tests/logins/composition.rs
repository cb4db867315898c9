//! What logins come to: digests, built-in profiles, sites of their own, options of the choice.

use super::*;

#[test]
fn a_digest_does_not_depend_on_how_documents_are_laid_out() {
    let digest = |texts: &[(&str, &str)]| {
        let catalog = Catalog::from_documents(texts).catalog;
        let login = catalog.interpret("nodes+layers", &|_| false).unwrap();
        login.profile.digest().to_string()
    };
    let together = "profiles:\n  - name: nodes\n    features: [arch:zen3, cuda:12.4]\n  - name: layers\n    \
                    actions: [{event: post-manifest-get, name: manifest-add, args: {repository: .*, layerRepository: a/b}}]\n";
    let nodes = "# ours\nprofile:\n  features:\n    - cuda:12.4\n    - cpu:Zen-3\n  name: Library/Nodes:latest\n";
    let layers = "profile:\n  name: layers\n  actions:\n    - name: manifest-add\n      event: post-manifest-get\n      \
                  args:\n        layerRepository: 'a/b'\n        repository: \".*\"\n";
    let expected = digest(&[("x.yaml", together)]);
    assert_eq!(digest(&[("b.yaml", layers), ("a.yaml", nodes)]), expected);
    // Derived content is found by it again: a new value means that all is computed anew.
    insta::assert_snapshot!(expected, @"sha256:658d6203319d79a8efcf87a6460bbdd05c6190e41593ba2d53ad12f28bc9e485");
}

#[test]
fn nothing_comes_to_nothing() {
    let none = interpret("bob").unwrap().profile;
    assert!(none.is_empty());
    assert_eq!(none.to_string(), "");
    assert_eq!(none.digest(), metahub_catalog::Composed::none().digest());
    assert!(!interpret("zen3").unwrap().profile.is_empty());
}

#[test]
fn without_documents_every_target_is_a_profile() {
    let catalog = Catalog::builtin();
    assert!(catalog.collections().next().is_none());
    let mut count = 0;
    for profile in catalog.profiles() {
        let login = catalog
            .interpret(&profile.name.selector(), &|_| false)
            .unwrap();
        if profile.name.selector() == "any" {
            assert!(login.profile.is_empty(), "it says nothing of the hardware");
            continue;
        }
        let target = profile.features[0].target().unwrap();
        assert_eq!(login.profile.provided().targets().next(), Some(target));
        count += 1;
    }
    assert_eq!(count, catalog.graph().iter().len());
}

#[test]
fn many_documents_are_found_at_once() {
    let mut text = String::new();
    for n in 0..10_000 {
        text.push_str(&format!(
            "---\nprofile: {{name: site/node{n}, features: [arch:zen3, site:n{n}]}}\n"
        ));
    }
    let catalog = Catalog::from_documents(&[("many.yaml", text)]).catalog;
    let started = std::time::Instant::now();
    for n in 0..1_000 {
        let login = catalog
            .interpret(&format!("site/node{n}"), &|_| false)
            .unwrap();
        assert_eq!(login.profile.provided().features().count(), 2);
    }
    assert!(
        started.elapsed() < std::time::Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    let started = std::time::Instant::now();
    let longest = "a".repeat(512);
    for user in ["sit/node5x", longest.as_str(), &longest[..64]] {
        assert!(catalog.interpret(user, &|_| false).is_err());
    }
    assert!(
        started.elapsed() < std::time::Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}

proptest! {
    #[test]
    fn no_login_makes_it_panic(user in "\\PC{0,40}", grammar in "[a-z0-9._/+=#-]{0,40}") {
        let catalog = Catalog::builtin();
        for user in [user, grammar] {
            match catalog.interpret(&user, &|name| name.len() % 2 == 0) {
                Ok(login) => prop_assert_eq!(login.profile.is_empty(), login.profile.to_string().is_empty()),
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
    }

    #[test]
    fn what_a_login_is_shown_as_means_the_same(
        selectors in prop::collection::vec(
            prop::sample::select(vec![
                "zen3", "aws/cli", "cpu#zen2", "cuda=12.4", "glow-extended#1.5.0", "cascadelake",
                "site=x", "gpu", "grace", "cpu=special", "cpu=zen9", "cpu=icelake", "cuda=11.8",
                "mpi=newmpi", "acrh=zen3", "zen2",
            ]),
            1..6,
        )
    ) {
        let catalog = catalog();
        let first = catalog.interpret(&selectors.join("+"), &|_| false).unwrap().profile;
        let again = catalog.interpret(&first.to_string(), &|_| false).unwrap().profile;
        prop_assert_eq!(first.digest(), again.digest());
        prop_assert_eq!(first.to_string(), again.to_string());
    }

    /// Against a naive model: of single keys the last selector counts, of others all do.
    #[test]
    fn single_keys_replace_and_others_join(
        selectors in prop::collection::vec(
            prop::sample::select(vec![
                ("cpu", "zen2"), ("cpu", "zen4"), ("cpu", "icelake"), ("cpu", "neoverse_v1"),
                ("cpu", "power9le"), ("cuda", "11.8"), ("cuda", "12.4"), ("driver", "535.0"),
                ("driver", "550.1"), ("kernel", "5.14"), ("kernel", "6.1"), ("glibc", "2.34"),
                ("glibc", "2.36"), ("rocm", "6.0"), ("rocm", "6.2"), ("libfabric", "1.18"),
                ("libfabric", "1.20"), ("cc", "8.0"), ("cc", "9.0"), ("gfx", "gfx90a"),
                ("gfx", "gfx942"), ("mpi", "mpich"), ("mpi", "openmpi"), ("site", "blue"),
                ("site", "green"),
            ]),
            1..20,
        )
    ) {
        const JOINED: [&str; 4] = ["cc", "gfx", "mpi", "site"];
        let mut expected: Vec<String> = Vec::new();
        for (at, (key, value)) in selectors.iter().enumerate() {
            let later = selectors[at + 1..].iter().any(|(other, _)| other == key);
            if JOINED.contains(key) || !later {
                expected.push(format!("{}:{value}", if *key == "cpu" { "arch" } else { key }));
            }
        }
        expected.sort();
        expected.dedup();
        let user: Vec<String> = selectors.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let login = Catalog::builtin().interpret(&user.join("+"), &|_| false).unwrap();
        let mut found: Vec<String> =
            login.profile.provided().features().map(ToString::to_string).collect();
        found.sort();
        prop_assert_eq!(found, expected);
        prop_assert!(login.profile.provided().targets().count() <= 1);
    }
}

#[test]
fn a_site_may_have_targets_of_its_own() {
    let extension: Extension = serde_json::from_str(
        r#"{"targets": {"ourchip": {"from": ["neoverse_v2"]}}, "aliases": {"big": "ourchip"}}"#,
    )
    .unwrap();
    let graph = Microarchitectures::builtin().extend(&extension).unwrap();
    let mut loader = Loader::new(Catalog::in_graph(Arc::new(graph)));
    loader.add_text(
        "site.yaml",
        "profile: {name: nodes, features: [arch:ourchip], fallback: [big]}\n",
    );
    let loaded = loader.finish();
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    for user in ["ourchip", "big", "cpu=big", "nodes"] {
        let login = loaded.catalog.interpret(user, &|_| false).unwrap();
        let target = login.profile.provided().targets().next().unwrap();
        assert_eq!(target.as_str(), "ourchip", "{user}");
    }
}

/// What the `manifest-select` actions of a login come to.
fn selected(login: &str) -> (Selection, Vec<String>) {
    const OPTIONS: &str = "\
profiles:
  - name: careful
    features: [arch:zen4]
    fallback: [x86_64_v3]
    actions:
      - name: manifest-select
        event: post-manifest-list-get
        args: {fallback: [x86_64_v2], minimum_weight: 10}
  - name: lenient
    actions:
      - name: manifest-select
        event: post-manifest-list-get
        args: {none_fits: generic, minimum_weight: -1, fallback: [x86_64_v2, haswell]}
  - name: daring
    actions:
      - {name: manifest-select, event: post-manifest-list-get, args: {override: [arch:zen5]}}
";
    let loaded = Catalog::from_documents(&[("options.yaml", OPTIONS)]);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    let login = loaded.catalog.interpret(login, &is_account).unwrap();
    let fallback = login.profile.fallback().iter().map(ToString::to_string);
    (login.profile.selection().clone(), fallback.collect())
}

#[test]
fn options_of_the_choice_join_and_the_last_that_states_one_counts() {
    let (options, fallback) = selected("careful");
    assert_eq!(options.minimum_weight, Some(10));
    assert_eq!(options.none_fits, NoneFits::Fail);
    assert_eq!(fallback, ["x86_64_v3", "x86_64_v2"]);

    let (options, fallback) = selected("careful+lenient");
    assert_eq!(options.minimum_weight, Some(-1));
    assert_eq!(options.none_fits, NoneFits::Generic);
    assert_eq!(fallback, ["x86_64_v3", "x86_64_v2", "haswell"]);

    let (options, _) = selected("lenient+careful+daring");
    assert_eq!(options.minimum_weight, Some(10));
    assert_eq!(options.none_fits, NoneFits::Generic);
    assert_eq!(options.overriding, ["arch:zen5".parse().unwrap()]);

    assert_eq!(selected("zen3").0, Selection::default());
}

#[test]
fn other_cpu_targets_make_another_digest() {
    let digest = |extension: &Extension, login: &str| {
        let graph = Microarchitectures::builtin().extend(extension).unwrap();
        let catalog = Catalog::in_graph(Arc::new(graph));
        let login = catalog.interpret(login, &is_account).unwrap();
        login.profile.digest().clone()
    };
    let none = Extension::default();
    let mut fallback = Extension::default();
    fallback
        .fallbacks
        .insert("grace".to_owned(), vec!["neoverse_v1".to_owned()]);
    let builtin = Catalog::builtin().interpret("zen3", &is_account).unwrap();
    assert_eq!(&digest(&none, "zen3"), builtin.profile.digest());
    assert_ne!(digest(&none, "zen3"), digest(&fallback, "zen3"));
}
