//! A cluster of a thousand nodes of eight kinds starts on one tag of a slow upstream: every node
//! gets the image for its kind, and the upstream is asked for every byte once.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test"
)]

use std::collections::BTreeMap;

use metahub_e2e::fleet;
use metahub_e2e::http::digest_of;
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::meter::Meter;
use metahub_e2e::pusher::{CONFIG, LAYER, MANIFEST, Pusher, descriptor};
use metahub_e2e::registry::{self, Registry};
use metahub_e2e::require;
use metahub_e2e::world::config;
use serde_json::json;

const NODES: usize = 1_000;
/// What the upstream's line takes, in bytes a second.
const RATE: f64 = 1_000_000.0;

/// Login of a node, and the build that it is to get.
const KINDS: &[(&str, &str)] = &[
    ("x86_64_v2", "x86_64_v2"),
    ("haswell", "x86_64_v3"),
    ("cascadelake", "skylake_avx512"),
    ("icelake", "skylake_avx512"),
    ("zen2", "x86_64_v3"),
    ("zen3", "zen3"),
    ("zen4", "zen3"),
    ("zen5", "zen5"),
];
const BUILDS: &[&str] = &["x86_64_v2", "x86_64_v3", "skylake_avx512", "zen3", "zen5"];

/// Bytes that no two builds have in common.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    });
    words.flat_map(u64::to_le_bytes).take(length).collect()
}

/// Pushes a build, and returns the digest of its manifest and its blobs by theirs.
fn push(pusher: &Pusher<'_>, tag: &str, base: &[u8], own: &[u8]) -> (String, Vec<Vec<u8>>) {
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": { "Cmd": [tag] },
        "rootfs": { "type": "layers", "diff_ids": [digest_of(base), digest_of(own)] },
    });
    let config = serde_json::to_vec(&config).unwrap();
    for blob in [base, own, &config] {
        pusher.blob(blob);
    }
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, &config),
        "layers": [descriptor(LAYER, base), descriptor(LAYER, own)],
    });
    let manifest = serde_json::to_vec(&manifest).unwrap();
    pusher.manifest(tag, MANIFEST, &manifest).expect(201);
    let blobs = vec![base.to_vec(), own.to_vec(), config];
    (digest_of(&manifest), blobs)
}

#[test]
fn a_thousand_nodes_of_eight_kinds_start_on_one_fetch_of_each_byte() {
    if !require::tools(registry::NEEDS) {
        return;
    }
    let content = tempfile::tempdir().unwrap();
    let registry = Registry::writable(content.path());
    let pusher = Pusher {
        host: registry.host(),
        repository: "site/solver",
        login: None,
    };
    let base = noise(1, 192 << 10);
    let mut builds = BTreeMap::new();
    let mut blobs = BTreeMap::new();
    for (seed, build) in (2..).zip(BUILDS) {
        let (manifest, of_it) = push(&pusher, build, &base, &noise(seed, 32 << 10));
        builds.insert(*build, manifest);
        blobs.extend(of_it.into_iter().map(|blob| (digest_of(&blob), blob.len())));
    }
    let entries: String = BUILDS
        .iter()
        .map(|build| {
            format!("      - {{image: 'site/solver:{build}', platform: {{features: ['arch:{build}']}}}}\n")
        })
        .collect();
    let document = format!("manifests:\n  - name: solver\n    manifests:\n{entries}");
    let meter = Meter::start(registry.host(), Some(RATE));
    let metahub = MetaHub::start(&config(meter.host(), "read"), &[("solver.yaml", &document)]);

    let logins: Vec<&str> = KINDS.iter().map(|(login, _)| *login).collect();
    let started = fleet::start(metahub.host(), "solver", "latest", &logins, NODES);

    assert!(
        started.failed.is_empty(),
        "{} of {NODES} nodes failed: {:?}",
        started.failed.len(),
        started.failed.iter().take(3).collect::<Vec<_>>()
    );
    for (login, manifest, _) in &started.nodes {
        let build = KINDS.iter().find(|(kind, _)| kind == login).unwrap().1;
        assert_eq!(*manifest, builds[build], "{login}");
    }
    let passed = meter.passed();
    for (digest, size) in &blobs {
        let found = passed[&format!("/v2/site/solver/blobs/{digest}")];
        assert_eq!(found.bytes, *size as u64, "{digest}: {found:?}");
    }
    let distinct: usize = blobs.values().sum();
    let fetched = meter.bytes(|path| path.contains("/blobs/"));
    assert_eq!(
        fetched, distinct as u64,
        "blobs that nobody needs: {passed:#?}"
    );
    // What names them is fetched once, too: by its tag or by its digest.
    for (build, digest) in &builds {
        let of = |reference: &str| {
            let path = format!("/v2/site/solver/manifests/{reference}");
            passed.get(&path).map_or(0, |passed| passed.gets)
        };
        assert_eq!(of(build) + of(digest), 1, "{build}: {passed:#?}");
    }
    println!(
        "{NODES} nodes: half had their image after {:?}, 99 of 100 after {:?}; {} bytes given, {} fetched",
        started.percentile(50),
        started.percentile(99),
        started.bytes,
        meter.bytes(|_| true),
    );
}
