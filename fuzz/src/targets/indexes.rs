//! Indexes, of which logins are given entries. What is given was there, and what it says that it
//! requires is provided.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use bytes::Bytes;
use metahub_catalog::Composed;
use metahub_hardware::{Feature, fit};
use metahub_oci::{Descriptor, Digest, Document, Index};
use metahub_resolve::{Policy, Unsure, narrow_candidates, to_read};
use serde_json::Value;

use super::{login, others, words};
use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "indexes",
    files: &["crates/resolve/tests/documents/index.json"],
    cases: 40_000,
    most_bytes: 32 * 1024,
    words: &[
        "\"schemaVersion\":2",
        "\"mediaType\":",
        "\"manifests\":[",
        "\"digest\":",
        "\"size\":",
        "\"platform\":{",
        "\"os\":\"linux\"",
        "\"architecture\":",
        "\"variant\":\"v3\"",
        "\"features\":[\"",
        "\"os.features\":[\"",
        "\"os.version\":",
        "\"annotations\":{",
        "\"vnd.docker.reference.type\":\"attestation-manifest\"",
        "arch:zen3",
        "arch:zen4",
        "cuda:12.4",
        "cc:9.0",
        "arch:x86_64",
        "org.example.kind",
        "\"artifactType\":",
        "sha256:",
        "\"io.archspec.cpu.target\":\"zen2\"",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "amd64",
        "arm64",
        "wasm",
        "unknown",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "null",
    ],
    read,
};

static PROFILES: LazyLock<Vec<Composed>> = LazyLock::new(|| {
    let logins = [
        "any",
        "zen3",
        "site/node",
        "site/filtered",
        "cpu=zen2+site/filtered",
    ];
    let logins = logins.iter().map(|text| login(text));
    logins.chain([Composed::none()]).collect()
});

fn read(input: &[u8]) -> String {
    let index = match Document::parse(Bytes::copy_from_slice(input), None) {
        Ok(Document::Index(index)) => index,
        Ok(Document::Manifest(_)) => return "manifest".to_owned(),
        Err(error) => return words(&error),
    };
    assert_eq!(index.digest(), &Digest::sha256(input));
    let mut outcome = String::new();
    for profile in PROFILES.iter() {
        outcome += &narrowed(&index, profile);
        outcome.push('|');
    }
    outcome
}

fn narrowed(index: &Index, profile: &Composed) -> String {
    let policy = Policy {
        unstated: Unsure::Refuse,
        unknown: Unsure::Refuse,
    };
    let count = index.manifests().len();
    assert!(to_read(index, profile, policy).iter().all(|at| *at < count));
    let found = match narrow_candidates(index, index, profile, policy) {
        Ok(found) => found,
        Err(error) => return words(&error),
    };
    let own: BTreeSet<&Digest> = index.manifests().iter().map(Descriptor::digest).collect();
    for chosen in &found.chosen {
        assert!(
            own.contains(chosen.digest()),
            "{} was not there",
            chosen.digest()
        );
        let list = chosen
            .as_json()
            .get("platform")
            .and_then(|p| p.get("features"));
        let texts = list.and_then(Value::as_array).into_iter().flatten();
        let required: Result<Vec<Feature>, _> =
            texts.filter_map(Value::as_str).map(str::parse).collect();
        if !profile.provided().is_empty() {
            let required = required.expect("an entry that cannot be read was chosen");
            assert!(fit(&required, profile.provided()).fits(), "{required:?}");
        }
    }
    let served = Document::Index(found.index.clone());
    let again = Document::parse(served.bytes().clone(), None);
    let Ok(Document::Index(again)) = again else {
        panic!("not an index any more: {again:?}");
    };
    assert_eq!(again.digest(), found.index.digest());
    assert_eq!(
        others(index.as_json(), &["manifests", "subject"]),
        others(again.as_json(), &["manifests", "subject"]),
    );
    format!("{} of {}", found.chosen.len().min(4), count.min(8))
}
