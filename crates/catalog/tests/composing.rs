//! What holds for every composition of profiles, whatever they provide and do.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use metahub_catalog::{Catalog, Composed};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::json;

const FEATURES: &[&str] = &[
    "arch:zen2",
    "arch:zen4",
    "arch:icelake",
    "arch:x86_64_v3",
    "cuda:11.8",
    "cuda:12.4",
    "cc:8.0",
    "cc:9.0",
    "mpi:mpich",
    "glibc:2.34",
    "site:a",
    "site:b",
];
const FALLBACK: &[&str] = &["haswell", "zen", "x86_64_v2"];
const ACTIONS: &[&str] = &[
    "{name: deny, event: pre-manifest-get, args: {message: no, repository: closed}}",
    "{name: redirect, event: pre-manifest-get, args: {repository: old, to: new}}",
    "{name: manifest-filter, event: post-manifest-list-get, args: {select: .a, value: \"arch:zen3\"}}",
    "{name: manifest-filter, event: post-manifest-list-get, when: {tag: v1}, args: {select: .a, value: \"arch:zen3\"}}",
    "{name: manifest-filter, event: post-manifest-list-get, args: {select: .a, value: \"site:c\"}}",
    "{name: manifest-select, event: post-manifest-list-get, args: {minimum_weight: 2, fallback: [zen]}}",
    "{name: manifest-select, event: post-manifest-list-get, when: {tag: v1}, args: {override: [\"arch:zen3\"]}}",
    "{name: manifest-select, event: post-manifest-list-get, args: {none_fits: generic, override: [\"cuda:12.0\"]}}",
    "{name: manifest-add, event: post-manifest-get, args: {layers: [a/b, c/d]}}",
    "{name: config-set, event: post-manifest-get, args: {env: {append: {PATH: \":/a\"}}}}",
    "{name: config-set, event: post-manifest-get, args: {env: {append: {PATH: \":/b\"}}}}",
    "{name: annotate, event: post-manifest-get, args: {annotations: {a: b}}}",
    "{name: tags-filter, event: post-tags-list-get, args: {drop: a}}",
];
/// What a profile with a parameter says with it.
const OF_PARAMETER: &[&str] = &[
    "{name: annotate, event: post-manifest-get, args: {annotations: {cpu: \"${cpu}\"}}}",
    "{name: manifest-filter, event: post-manifest-list-get, args: {select: .a, value: \"arch:${cpu}\"}}",
];

#[derive(Clone, Debug)]
struct Said {
    features: Vec<&'static str>,
    fallback: Vec<&'static str>,
    actions: Vec<&'static str>,
    /// The default of its parameter `cpu`, and whether it provides it.
    parameter: Option<(&'static str, bool)>,
}

impl Said {
    fn document(&self, name: &str) -> String {
        let mut features = self.features.clone();
        let mut text = format!("  - name: {name}\n");
        if let Some((default, provides)) = self.parameter {
            text += &format!(
                "    parameters: {{cpu: {{default: {default}, allowed: [zen2, zen3, zen4, icelake]}}}}\n"
            );
            if provides {
                features.push("arch:${cpu}");
            }
        }
        text += &format!("    features: {}\n", json!(features));
        text += &format!("    fallback: {}\n", json!(self.fallback));
        text + &format!("    actions: [{}]\n", self.actions.join(", "))
    }
}

fn said() -> impl Strategy<Value = Said> {
    let parameter = (select(vec!["zen2", "zen3"]), any::<bool>());
    let parts = (
        subsequence(FEATURES, 0..=3),
        subsequence(FALLBACK, 0..=2),
        vec(select(ACTIONS), 0..=3),
        vec(select(OF_PARAMETER), 0..=1),
        proptest::option::weighted(0.3, parameter),
    );
    parts.prop_map(|(features, fallback, mut actions, with, parameter)| {
        if parameter.is_some() {
            actions.extend(with);
        }
        Said {
            features,
            fallback,
            actions,
            parameter,
        }
    })
}

fn load(profiles: &str) -> Catalog {
    let loaded = Catalog::from_documents(&[("profiles.yaml", format!("profiles:\n{profiles}"))]);
    assert!(!loaded.has_errors(), "{profiles}{:?}", loaded.problems);
    loaded.catalog
}

fn all(said: &[Said]) -> String {
    let documents = said.iter().enumerate();
    documents
        .map(|(n, said)| said.document(&format!("p{n}")))
        .collect()
}

fn composed(catalog: &Catalog, login: &str) -> Composed {
    let login = catalog.interpret(login, &|_| false);
    Composed::clone(&login.unwrap().profile)
}

/// All that a login comes to, but for the words in which it is told.
fn outcome(composed: &Composed) -> String {
    let features: Vec<String> = composed
        .provided()
        .features()
        .map(ToString::to_string)
        .collect();
    format!(
        "{}\n{features:?}\n{:?}\n{:?}\n{}",
        composed.digest(),
        composed.fallback(),
        composed.selection(),
        serde_json::to_string_pretty(composed.actions()).unwrap(),
    )
}

/// Brackets around a run of profiles: how many stand left of the split, again and again.
fn bracketed(
    range: std::ops::Range<usize>,
    splits: &mut dyn Iterator<Item = usize>,
    out: &mut String,
) -> String {
    if range.len() == 1 {
        return format!("p{}", range.start);
    }
    let left = 1 + splits.next().unwrap_or(0) % (range.len() - 1);
    let middle = range.start + left;
    let first = bracketed(range.start..middle, splits, out);
    let second = bracketed(middle..range.end, splits, out);
    let name = format!("g{}to{}", range.start, range.end);
    out.push_str(&format!(
        "  - {{name: {name}, extends: [{first}, {second}]}}\n"
    ));
    name
}

fn flat(count: usize) -> String {
    let names: Vec<String> = (0..count).map(|n| format!("p{n}")).collect();
    names.join("+")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// However profiles are put together, by the login or by profiles that extend them, and with
    /// whatever brackets, it comes to the same.
    #[test]
    fn composition_is_associative(said in vec(said(), 2..6), splits in vec(0_usize..8, 8)) {
        let mut groups = String::new();
        let whole = bracketed(0..said.len(), &mut splits.iter().copied(), &mut groups);
        let half = bracketed(0..said.len() - 1, &mut splits.iter().copied(), &mut groups);
        let repeated: std::collections::BTreeSet<&str> = groups.lines().collect();
        let groups: String = repeated.iter().map(|line| format!("{line}\n")).collect();
        // Two ways to bracket the same run would be one name.
        let names: std::collections::BTreeSet<&str> =
            repeated.iter().map(|line| line.split(',').next().unwrap()).collect();
        prop_assume!(names.len() == repeated.len());
        let catalog = load(&(all(&said) + &groups));
        let expected = outcome(&composed(&catalog, &flat(said.len())));
        prop_assert_eq!(&outcome(&composed(&catalog, &whole)), &expected);
        let last = format!("{half}+p{}", said.len() - 1);
        prop_assert_eq!(outcome(&composed(&catalog, &last)), expected);
    }

    /// `any`, and a profile that says nothing, change nothing wherever they stand.
    #[test]
    fn any_is_the_neutral_element(said in vec(said(), 1..4), at in 0_usize..5) {
        let catalog = load(&(all(&said) + "  - name: nothing\n"));
        let expected = outcome(&composed(&catalog, &flat(said.len())));
        let empty = composed(&catalog, &flat(said.len())).is_empty();
        for neutral in ["any", "nothing"] {
            // Alone, `any` gets whole collections, which is what it is for.
            if empty && neutral == "any" {
                continue;
            }
            let mut names: Vec<String> = (0..said.len()).map(|n| format!("p{n}")).collect();
            names.insert(at.min(names.len()), neutral.to_owned());
            prop_assert_eq!(outcome(&composed(&catalog, &names.join("+"))), expected.clone());
        }
    }

    /// Where documents stand, and in which order files are read, is not part of what they say.
    #[test]
    fn the_order_of_files_does_not_matter(
        said in vec(said(), 2..6),
        order in Just((0_usize..6).collect::<Vec<_>>()).prop_shuffle(),
        together in vec(any::<bool>(), 6),
    ) {
        let catalog = load(&all(&said));
        let mut files: Vec<(String, String)> = Vec::new();
        for n in order.into_iter().filter(|n| *n < said.len()) {
            let document = format!("profiles:\n{}", said[n].document(&format!("p{n}")));
            match files.last_mut() {
                Some((_, text)) if together[n] => *text += &format!("---\n{document}"),
                _ => files.push((format!("{}.yaml", files.len()), document)),
            }
        }
        let other = Catalog::from_documents(&files).catalog;
        for login in (0..said.len()).map(|n| format!("p{n}")).chain([flat(said.len())]) {
            prop_assert_eq!(
                outcome(&composed(&catalog, &login)),
                outcome(&composed(&other, &login))
            );
        }
    }

    /// What is extended comes before what extends it, in the order in which it is named, and once.
    #[test]
    fn extending_is_a_walk_in_order(bases in vec(vec(any::<u8>(), 0..4), 1..8)) {
        let mut text = String::new();
        let mut extends: Vec<Vec<usize>> = Vec::new();
        for (n, named) in bases.iter().enumerate() {
            let named = named.iter().filter(|_| n > 0);
            let below: Vec<usize> = named.map(|byte| usize::from(*byte) % n).collect();
            let names: Vec<String> = below.iter().map(|base| format!("p{base}")).collect();
            text += &format!("  - name: p{n}\n    extends: {}\n    actions: [{{name: annotate, \
                event: post-manifest-get, args: {{annotations: {{by: \"{n}\"}}}}}}]\n", json!(names));
            extends.push(below);
        }
        fn walk(n: usize, extends: &[Vec<usize>], seen: &mut Vec<usize>, out: &mut Vec<usize>) {
            for base in &extends[n] {
                if !seen.contains(base) {
                    seen.push(*base);
                    walk(*base, extends, seen, out);
                }
            }
            out.push(n);
        }
        let catalog = load(&text);
        for n in 0..extends.len() {
            let (mut seen, mut expected) = (Vec::new(), Vec::new());
            walk(n, &extends, &mut seen, &mut expected);
            let found = serde_json::to_value(composed(&catalog, &format!("p{n}")).actions()).unwrap();
            let found: Vec<usize> = found.as_array().unwrap().iter()
                .map(|action| action["args"]["annotations"]["by"].as_str().unwrap().parse().unwrap())
                .collect();
            prop_assert_eq!(found, expected);
        }
    }

    /// A default is never what the login's hardware is, where the login states it in any way.
    #[test]
    fn a_default_never_replaces_hardware_that_the_login_states(
        others in vec(said(), 0..3),
        at in 0_usize..4,
        stated in select(vec!["zen2", "zen4", "icelake", "cpu=zen4", "node", "above"]),
    ) {
        let plain = others.into_iter().map(|mut said| {
            said.features.retain(|feature| !feature.starts_with("arch:"));
            said.actions.retain(|action| !action.contains("arch:"));
            Said { parameter: Some(("zen3", true)), ..said }
        });
        let plain: Vec<Said> = plain.collect();
        let node = "  - {name: node, features: [\"arch:zen4\"]}\n  - {name: above, extends: [node]}\n  \
                    - name: filtered\n    parameters: {cpu: {default: zen3, allowed: [zen2, zen3, zen4, icelake]}}\n    \
                    actions: [{name: annotate, event: post-manifest-get, args: {annotations: {cpu: \"${cpu}\"}}}]\n";
        let catalog = load(&(all(&plain) + node));
        let mut names: Vec<String> = (0..plain.len()).map(|n| format!("p{n}")).collect();
        names.push("filtered".to_owned());
        names.insert(at.min(names.len()), stated.to_owned());
        let login = composed(&catalog, &names.join("+"));
        let expected = match stated {
            "zen2" | "icelake" => stated,
            _ => "zen4",
        };
        let target = login.provided().targets().next().map(ToString::to_string);
        prop_assert_eq!(target.as_deref(), Some(expected));
        let actions = serde_json::to_string(login.actions()).unwrap();
        let annotated = format!("\"cpu\":\"{expected}\"");
        prop_assert!(actions.contains(&annotated), "{}: {}", names.join("+"), actions);
        prop_assert!(!actions.contains("\"cpu\":\"zen3\""));
    }
}
