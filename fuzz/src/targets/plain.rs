//! Whether an image may be given to a login, by rules that are plain enough to be seen to be right
//! and share nothing with the code that chooses.

use std::sync::LazyLock;

use metahub_catalog::Composed;
use metahub_oci::{Descriptor, Digest, Index};
use metahub_resolve::{Policy, Unsure, narrow_candidates};
use serde_json::json;

use super::words;

/// A CPU, and those of [`ENTRIES`] whose code it runs. Of others nothing is said.
const RUNS: &[(&str, &[&str])] = &[
    ("x86_64", &["x86_64"]),
    ("x86_64_v2", &["x86_64", "x86_64_v2"]),
    ("x86_64_v3", &["x86_64", "x86_64_v2", "x86_64_v3"]),
    ("haswell", &["x86_64", "x86_64_v2", "x86_64_v3", "haswell"]),
    ("zen", &["x86_64", "x86_64_v2", "x86_64_v3"]),
    ("zen2", &["x86_64", "x86_64_v2", "x86_64_v3", "zen2"]),
    (
        "zen3",
        &["x86_64", "x86_64_v2", "x86_64_v3", "zen2", "zen3"],
    ),
    (
        "zen4",
        &[
            "x86_64",
            "x86_64_v2",
            "x86_64_v3",
            "x86_64_v4",
            "zen2",
            "zen3",
            "zen4",
        ],
    ),
    ("aarch64", &["aarch64"]),
    ("neoverse_v2", &["aarch64", "neoverse_v2"]),
    ("power9le", &[]),
];

/// What the images require.
const ENTRIES: &[(&str, &str)] = &[
    ("amd64", "arch:x86_64"),
    ("amd64", "arch:x86_64_v2"),
    ("amd64", "arch:x86_64_v3"),
    ("amd64", "arch:x86_64_v4"),
    ("amd64", "arch:haswell"),
    ("amd64", "arch:zen2"),
    ("amd64", "arch:zen3"),
    ("amd64", "arch:zen4"),
    ("amd64", "arch:zen2 cuda:11.8 cc:8.0"),
    ("amd64", "arch:zen3 cuda:12.4 cc:9.0"),
    ("amd64", "arch:x86_64 cuda:12.9"),
    ("amd64", "arch:zen3 site:a"),
    ("arm64", "arch:aarch64"),
    ("arm64", "arch:neoverse_v2"),
    ("arm64", "arch:aarch64 cuda:12.4"),
];

static ALL: LazyLock<Vec<Descriptor>> = LazyLock::new(|| {
    let entries = (0..).zip(ENTRIES);
    entries
        .map(|(number, (architecture, requires)): (usize, _)| {
            let descriptor = json!({
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": digest(number),
                "size": 500 + number,
                "platform": {
                    "os": "linux",
                    "architecture": architecture,
                    "features": requires.split(' ').collect::<Vec<_>>(),
                },
            });
            Descriptor::from_json(&descriptor).unwrap()
        })
        .collect()
});

fn digest(number: usize) -> Digest {
    Digest::sha256(number.to_string().as_bytes())
}

/// What the login gets of an index of all kinds of images, of one that has some of them, which
/// differ from login to login, and of one that has the others: each may be given to it.
pub(super) fn given(profile: &Composed) -> String {
    let hex = profile.digest().hex();
    let some = u32::from_str_radix(&hex[..8], 16).unwrap();
    let outcomes = [u32::MAX, some, !some].map(|mask| {
        let entries = (0..).zip(ALL.iter());
        let entries = entries.filter(|(number, _)| mask >> number & 1 == 1);
        let entries = entries.map(|(_, entry)| entry.clone()).collect();
        given_of(&Index::new(entries), profile)
    });
    // Which of them an index has depends on the login, and says nothing new.
    outcomes.into_iter().next().unwrap_or_default()
}

fn given_of(index: &Index, profile: &Composed) -> String {
    let policy = Policy {
        unstated: Unsure::Refuse,
        unknown: Unsure::Refuse,
    };
    let found = match narrow_candidates(index, index, profile, policy) {
        Ok(found) => found,
        Err(error) => return words(&error),
    };
    // A login that states no hardware asked for no choice, as the login `any` did; and `override`
    // is there to give what does not fit.
    let overrides = !profile.selection_where(&|_| true).overriding.is_empty();
    if !overrides && !profile.gets_everything() && !profile.provided().is_empty() {
        for chosen in &found.chosen {
            may_be_given(chosen, profile);
        }
    }
    format!("{} given", found.chosen.len())
}

fn may_be_given(chosen: &Descriptor, profile: &Composed) {
    let at = (0..ENTRIES.len()).find(|at| &digest(*at) == chosen.digest());
    let (_, requires) = ENTRIES[at.expect("an entry that was there")];
    let provided: Vec<(String, String)> = profile
        .provided()
        .features()
        .map(|feature| (feature.key().to_string(), feature.canonical().to_owned()))
        .collect();
    let provided = |key: &str| -> Vec<&str> {
        let values = provided.iter().filter(|(name, _)| name == key);
        values
            .map(|(_, text)| {
                text.split_once(':')
                    .map_or(text.as_str(), |(_, value)| value)
            })
            .collect()
    };
    // Fallbacks are CPUs whose code the machine runs, too.
    let fallback: Vec<String> = profile.fallback().iter().map(ToString::to_string).collect();
    for requirement in requires.split(' ') {
        let (key, value) = requirement.split_once(':').unwrap();
        let mut stated = provided(key);
        let met = match key {
            "arch" => {
                stated.extend(fallback.iter().map(String::as_str));
                stated.iter().any(|cpu| runs(cpu, value))
            }
            "cuda" => stated.iter().any(|text| number(text) >= number(value)),
            // Code for one major version runs on it only, from its minor version on.
            "cc" => stated.iter().any(|text| {
                number(text) >= number(value) && number(text).first() == number(value).first()
            }),
            _ => stated.contains(&value),
        };
        assert!(
            met,
            "what requires {requires} was given to {profile}, which does not meet {requirement}"
        );
    }
}

fn runs(cpu: &str, code: &str) -> bool {
    let known = RUNS.iter().find(|(name, _)| *name == cpu);
    known.is_none_or(|(_, runs)| runs.contains(&code))
}

fn number(text: &str) -> Vec<u64> {
    let parts = text.split('.');
    parts.map_while(|part| part.parse().ok()).collect()
}
