//! Logins that name hardware which this registry does not know, or two targets, against a naive
//! model: what is served needs nothing that the machine was not said to have.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests assert by panicking"
)]

mod common;

use common::{digest, entry, index};
use metahub_catalog::Catalog;
use metahub_oci::MediaType;
use metahub_resolve::narrow;
use rstest::rstest;
use serde_json::{Value, json};

/// Entries that an index may have: what each requires.
const ENTRIES: [&[&str]; 8] = [
    &[],
    &["arch:x86_64"],
    &["arch:x86_64_v2"],
    &["arch:zen2"],
    &["arch:icelake"],
    &["arch:zen9"],
    &["cuda:12.0"],
    &["arch:x86_64", "mpi:newmpi"],
];

/// The requirements of what a login gets of an index of `entries`, nothing if nothing fits.
fn chosen(login: &str, entries: &[&'static [&'static str]]) -> Option<&'static [&'static str]> {
    let manifests: Vec<Value> = entries
        .iter()
        .map(|features| {
            let entry = entry(&features.join("+"), "linux/amd64", features);
            Value::Object(entry.as_json().clone())
        })
        .collect();
    let index = index(&json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": manifests,
    }));
    let profile = Catalog::builtin()
        .interpret(login, &|_| false)
        .unwrap()
        .profile;
    let narrowed = narrow(&index, &profile).ok()?;
    let [only] = narrowed.chosen.as_slice() else {
        panic!("{login}: {} entries were chosen", narrowed.chosen.len());
    };
    let found = entries
        .iter()
        .find(|e| digest(&e.join("+")) == *only.digest());
    Some(found.unwrap())
}

/// Every index that can be made of the entries, in this order and the other.
fn indexes() -> impl Iterator<Item = Vec<&'static [&'static str]>> {
    (1_u32..1 << ENTRIES.len()).flat_map(|set| {
        let is_in = |n: &usize| set & (1 << n) != 0;
        let forward: Vec<_> = (0..ENTRIES.len())
            .filter(is_in)
            .map(|n| ENTRIES[n])
            .collect();
        let backward = forward.iter().rev().copied().collect();
        [forward, backward]
    })
}

#[rstest]
#[case("cpu=zen9", &["arch:x86_64"])]
#[case("cpu=zen9+cuda=12.4", &["arch:x86_64", "cuda:12.0"])]
#[case("zen2+cpu=zen9", &["arch:x86_64"])]
#[case("cpu=zen9+zen2", &["arch:x86_64", "arch:x86_64_v2", "arch:zen2"])]
#[case("zen2+mpi=newmpi", &["arch:x86_64", "arch:x86_64_v2", "arch:zen2"])]
#[case("cpu=zen2+cpu=icelake", &["arch:x86_64", "arch:x86_64_v2", "arch:icelake"])]
#[case("cpu=icelake+cpu=zen2", &["arch:x86_64", "arch:x86_64_v2", "arch:zen2"])]
fn what_is_served_needs_only_what_the_machine_has(#[case] login: &str, #[case] has: &[&str]) {
    let unknown = login.ends_with("zen9") || login == "cpu=zen9+cuda=12.4";
    let fits = |features: &&[&str]| features.iter().all(|feature| has.contains(feature));
    // What the login says nothing of may be there; a single image is then served with a warning.
    let unstated = |feature: &str| {
        let key = feature.split(':').next().unwrap();
        key != "arch" && !login.contains(&format!("{key}="))
    };
    let may_run = |features: &[&str]| {
        let mut all = features.iter();
        all.all(|feature| has.contains(feature) || unstated(feature))
    };
    let mut cases = 0;
    for entries in indexes() {
        let found = chosen(login, &entries);
        let possible: Vec<_> = entries.iter().copied().filter(|e| fits(e)).collect();
        match found {
            Some(found) => assert!(may_run(found), "{login}: {found:?} of {entries:?}"),
            None => assert_eq!(possible, Vec::<&[&str]>::new(), "{login}: {entries:?}"),
        }
        // A plain image is always to be had, whatever the machine is.
        if unknown && entries.contains(&ENTRIES[0]) {
            assert!(found.is_some(), "{login}: {entries:?}");
        }
        cases += 1;
    }
    assert_eq!(cases, 510);
}
