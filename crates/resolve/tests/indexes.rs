//! What of an index is served to whom.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests assert by panicking"
)]

mod common;

use common::{attestation, digest, entry, index, profile, provided};
use metahub_catalog::Catalog;
use metahub_oci::{Descriptor, Document, Index, MediaType, RepositoryName};
use metahub_resolve::{
    NothingFits, Verdict, WEIGHT, applies, filter, image_actions, layer_images, narrow,
    one_per_machine, replace_children, served_descriptor,
};
use rstest::rstest;
use serde_json::{Value, json};

fn named(entries: &[Descriptor], names: &[&str]) -> Vec<String> {
    let name = |entry: &Descriptor| {
        let found = names.iter().find(|name| digest(name) == *entry.digest());
        found.map_or("?", |name| name).to_owned()
    };
    entries.iter().map(name).collect()
}

/// The index of the slides' featuretest.
fn featuretest() -> Index {
    let zen3 = entry("zen3", "linux/amd64", &["arch:zen3"]);
    Index::new(vec![
        entry("cascade", "linux/amd64", &["arch:cascadeLake"]),
        entry("generic", "linux/amd64", &[]),
        attestation(&zen3),
        zen3,
        entry("v4", "linux/amd64/v4", &[]),
        entry("arm", "linux/arm64/v8", &[]),
        entry("glow", "linux/amd64", &["glow:1.5.0"]),
    ])
}
const NAMES: [&str; 6] = ["cascade", "generic", "zen3", "v4", "arm", "glow"];

#[rstest]
#[case::slides_cascade_lake("cascadeLake", &["cascade"])]
#[case::slides_zen3("zen3", &["zen3"])]
#[case::a_later_cpu("zen4", &["zen3"])]
#[case::an_earlier_cpu("zen2", &["generic"])]
#[case::an_intel_cpu_without_its_own_image("skylake_avx512", &["v4"])]
#[case::arm("neoverse_v1", &["arm"])]
#[case::nobody("", &["generic", "arm"])]
fn a_login_gets_the_image_for_its_hardware(#[case] login: &str, #[case] expected: &[&str]) {
    let narrowed = narrow(&featuretest(), &profile(login)).unwrap();
    assert_eq!(named(&narrowed.chosen, &NAMES), expected);
    assert_eq!(named(narrowed.index.manifests(), &NAMES), expected);
    for entry in narrowed.index.manifests() {
        let platform = entry.as_json()["platform"].as_object().unwrap();
        let fields: Vec<&str> = platform.keys().map(String::as_str).collect();
        assert_eq!(fields, ["os", "architecture"]);
    }
}

#[test]
fn nothing_fits_says_what_was_wanted_and_what_there_is() {
    let index = Index::new(vec![
        entry("cascade", "linux/amd64", &["arch:cascadeLake"]),
        entry("cascade-2", "linux/amd64", &["arch:cascadeLake"]),
        entry("arm", "linux/arm64", &["arch:neoverse_v1", "mpi:mpich"]),
    ]);
    let error = narrow(&index, &profile("zen3")).unwrap_err();
    assert_eq!(
        error.existing,
        [
            "arch:cascadeLake (linux/amd64)",
            "arch:neoverse_v1 + mpi:mpich (linux/arm64)"
        ]
    );
    assert_eq!(error.verdicts.len(), 3);
    insta::assert_snapshot!(error.to_string(), @"no image fits arch:zen3 (login zen3); there are images for: arch:cascadeLake (linux/amd64), arch:neoverse_v1 + mpi:mpich (linux/arm64)");

    let only_zen3 = Index::new(vec![entry("zen3", "linux/amd64", &["arch:zen3"])]);
    let error = narrow(&only_zen3, &profile("cascadeLake")).unwrap_err();
    insta::assert_snapshot!(error.to_string(), @"no image fits arch:cascadeLake (login cascadeLake); there are images for: arch:zen3 (linux/amd64)");

    let error = narrow(&Index::new(Vec::new()), &profile("")).unwrap_err();
    insta::assert_snapshot!(error.to_string(), @"no image fits: the index lists no image that could be run");
}

#[rstest]
#[case("arch:cascadeLake", true)]
#[case("cpu:cascadelake", true)]
#[case("arch:Cascade-Lake", true)]
#[case("arch:cascade_lake", true)]
#[case("arch:zen3", false)]
#[case("cascadeLake", false)]
fn a_filter_compares_features_by_meaning(#[case] feature: &str, #[case] kept: bool) {
    let index = Index::new(vec![entry("x", "linux/amd64", &["mpi:mpich", feature])]);
    assert_eq!(filter(&index, &profile("cascadeLake")).is_ok(), kept);
}

#[test]
fn a_filter_compares_anything_else_as_text() {
    let with = |value: Value| {
        Descriptor::from_json(&json!({
            "mediaType": MediaType::OCI_MANIFEST, "digest": digest(&value.to_string()), "size": 1,
            "annotations": {"glow": value},
        }))
        .unwrap()
    };
    let values = [
        json!("1.5.0"),
        json!("1.5"),
        json!(1.5),
        json!(null),
        json!(["1.5.0"]),
    ];
    let index = Index::new(values.iter().cloned().map(with).collect());
    let kept = filter(&index, &profile("glow-extended=1.5.0"))
        .unwrap()
        .kept;
    let kept: Vec<&Value> = kept
        .iter()
        .map(|d| &d.as_json()["annotations"]["glow"])
        .collect();
    assert_eq!(kept, [&json!("1.5.0"), &json!(["1.5.0"])]);
}

/// Entries of the features that each names, and which of them a filter leaves.
#[rstest]
#[case("value: 'arch:zen3'", "b d")]
#[case("any: ['arch:zen2', 'cpu:ZEN3']", "a b d")]
#[case("all: ['arch:zen3', 'cuda:12']", "d")]
#[case("none: ['cuda:12']", "a b c")]
#[case("none: ['arch:zen2', 'arch:zen3']", "c")]
#[case("any: ['arch:zen2', 'arch:zen3'], none: ['cuda:12']", "a b")]
#[case("value: 'arch:zen3', all: ['cuda:12']", "d")]
#[case("matches: 'arch:zen.*'", "a b d")]
#[case("matches: 'arch:zen'", "")]
#[case("matches: 'cuda:1[0-9]', value: 'arch:zen3'", "d")]
#[case("value: 'arch:zen3', entries: keep", "b d")]
#[case("value: 'arch:zen3', entries: drop", "a c")]
#[case("any: ['arch:zen2', 'cuda:12'], entries: drop", "b c")]
#[case("none: ['cuda:12'], entries: drop", "d")]
fn a_filter_keeps_or_drops_what_matches(#[case] args: &str, #[case] left: &str) {
    let entries = [
        entry("a", "linux/amd64", &["arch:zen2"]),
        entry("b", "linux/amd64", &["arch:zen3"]),
        entry("c", "linux/amd64", &["mpi:mpich"]),
        entry("d", "linux/amd64", &["arch:zen3", "cuda:12"]),
        // The program fails at it: it is left out, even by a filter that drops.
        entry("e", "linux/amd64", &[]),
    ];
    let document = format!(
        "profile: {{name: p, actions: [{{name: manifest-filter, event: post-manifest-list-get, \
         args: {{select: '.manifests[].platform.features[]', {args}}}}}]}}"
    );
    let loaded = Catalog::from_documents(&[("p.yaml", &document)]);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    let login = loaded.catalog.interpret("p", &|_| false).unwrap();
    let filtered = filter(&Index::new(entries.to_vec()), &login.profile);
    let kept = filtered.map(|filtered| filtered.kept).unwrap_or_default();
    assert_eq!(named(&kept, &["a", "b", "c", "d", "e"]).join(" "), left);
}

#[test]
fn an_entry_at_which_the_program_fails_is_left_out_with_the_reason() {
    let index = Index::new(vec![
        entry("generic", "linux/amd64", &[]),
        entry("zen3", "linux/amd64", &["arch:zen3"]),
    ]);
    let filtered = filter(&index, &profile("failing")).unwrap();
    assert_eq!(named(&filtered.kept, &NAMES), ["zen3"]);
    let reason = filtered.verdicts.get(0).unwrap().reason;
    assert!(reason.contains("cannot iterate over null"), "{reason}");
}

#[test]
fn a_program_without_an_end_keeps_nothing_and_says_so() {
    let entries: Vec<Descriptor> = (0..500)
        .map(|n| entry(&n.to_string(), "linux/amd64", &[]))
        .collect();
    let NothingFits { verdicts, .. } =
        filter(&Index::new(entries), &profile("endless")).unwrap_err();
    assert_eq!(verdicts.len(), 500);
    assert!(verdicts.iter().all(|v| v.reason.contains("was stopped")));
}

#[test]
fn filters_join_and_the_choice_comes_after_them() {
    let glow = |name: &str, features: &[&str]| {
        let mut map = entry(name, "linux/amd64", features).as_json().clone();
        map.insert("annotations".into(), json!({"glow": "1.5.0"}));
        Descriptor::from_json(&Value::Object(map)).unwrap()
    };
    let index = Index::new(vec![
        entry("best", "linux/amd64", &["arch:zen3"]),
        glow("zen2", &["arch:zen2"]),
        glow("generic", &[]),
    ]);
    let names = ["best", "zen2", "generic"];
    let narrowed = narrow(&index, &profile("glow-extended=1.5.0+zen3")).unwrap();
    assert_eq!(named(&narrowed.chosen, &names), ["zen2"]);
    let ranks: Vec<Option<usize>> = narrowed.verdicts.iter().map(|v| v.rank).collect();
    assert_eq!(ranks, [None, Some(1), Some(2)]);
    let narrowed = narrow(&index, &profile("glow-extended=1.5.0")).unwrap();
    assert_eq!(named(&narrowed.chosen, &names), ["generic"]);
}

#[rstest]
#[case::first_of_equals("a linux/amd64; b linux/amd64", &[], &["a"])]
#[case::least_required("a linux/amd64 arch:zen3; b linux/amd64 cuda:12.4; c linux/amd64", &[], &["c"])]
#[case::lowest_target("a linux/amd64 arch:zen3; b linux/amd64 arch:x86_64_v2", &[], &["b"])]
#[case::variants_are_targets("a linux/amd64/v3; b linux/amd64", &[], &["b"])]
#[case::nearest_variant("a linux/amd64; b linux/amd64/v2; c linux/amd64/v3; d linux/amd64/v4", &["arch:zen2"], &["c"])]
#[case::a_target_over_its_variant("a linux/amd64/v3 arch:zen; b linux/amd64/v3", &["arch:zen2"], &["a"])]
#[case::more_requirements_met("a linux/amd64 arch:zen2; b linux/amd64 arch:zen2 glow:1.5.0", &["arch:zen2", "glow:1.5.0"], &["b"])]
#[case::v8_is_every_arm64("a linux/arm64/v8", &["arch:graviton2"], &["a"])]
#[case::v9_is_not("a linux/arm64/v9; b linux/arm64", &["arch:graviton2"], &["b"])]
#[case::oldest_32_bit_arm("a linux/arm/v7; b linux/arm/v6; c linux/arm/v5", &[], &["c"])]
#[case::other_architectures_go("a linux/s390x; b linux/amd64; c linux/386; d linux/ppc64le", &["arch:zen3"], &["b", "c"])]
#[case::without_a_target_all_stay("a linux/s390x; b linux/amd64", &["cuda:12.4"], &["a", "b"])]
#[case::systems_are_apart("a linux/amd64; b windows/amd64", &[], &["a", "b"])]
#[case::order_of_the_index("a linux/arm64 arch:armv9.0a; b linux/amd64; c linux/arm64", &[], &["b", "c"])]
#[case::dockers_old_features("a linux/amd64 sse4; b linux/amd64", &["arch:zen3"], &["b"])]
fn one_entry_for_each_machine(
    #[case] entries: &str,
    #[case] features: &[&str],
    #[case] expected: &[&str],
) {
    let entries: Vec<Descriptor> = entries
        .split("; ")
        .map(|text| {
            let words: Vec<&str> = text.split(' ').collect();
            entry(words[0], words[1], &words[2..])
        })
        .collect();
    let shaped = one_per_machine(&entries, &provided(features)).unwrap();
    assert_eq!(named(&shaped.chosen, &["a", "b", "c", "d"]), expected);
}

#[test]
fn weight_decides_between_equals_and_is_not_served() {
    let heavy = Descriptor::from_json(&json!({
        "mediaType": MediaType::OCI_MANIFEST, "digest": digest("heavy"), "size": 1,
        "platform": {"os": "linux", "architecture": "amd64", "features": ["arch:zen3"]},
        "annotations": {WEIGHT: "10"},
    }))
    .unwrap();
    let light = entry("light", "linux/amd64", &["arch:zen3"]);
    let narrowed = narrow(&Index::new(vec![light, heavy]), &profile("zen3")).unwrap();
    assert_eq!(named(&narrowed.chosen, &["heavy", "light"]), ["heavy"]);
    assert!(
        !narrowed.index.manifests()[0]
            .as_json()
            .contains_key("annotations")
    );
}

#[test]
fn windows_machines_pick_by_version_so_each_stays() {
    let windows = |version: &str| {
        Descriptor::from_json(&json!({
            "mediaType": MediaType::DOCKER_MANIFEST, "digest": digest(version), "size": 1,
            "platform": {"architecture": "amd64", "os": "windows", "os.version": version, "os.features": ["win32k"]},
        }))
        .unwrap()
    };
    let index = Index::new(vec![windows("10.0.17763.1"), windows("10.0.20348.1")]);
    let narrowed = narrow(&index, &profile("")).unwrap();
    let served: Vec<&Value> = narrowed
        .index
        .manifests()
        .iter()
        .map(|d| &d.as_json()["platform"])
        .collect();
    assert_eq!(
        served,
        [
            &json!({"os": "windows", "architecture": "amd64", "os.version": "10.0.17763.1"}),
            &json!({"os": "windows", "architecture": "amd64", "os.version": "10.0.20348.1"}),
        ]
    );
}

#[test]
fn entries_that_are_no_image_are_never_chosen() {
    let image = entry("image", "linux/amd64", &[]);
    let mut nested = entry("nested", "linux/amd64", &[]);
    nested = nested.with_content(MediaType::oci_index(), digest("nested"), 9);
    let bare = Descriptor::new(MediaType::oci_manifest(), digest("bare"), 9);
    let many: Vec<String> = (0..65).map(|n| format!("cuda:1.{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let entries = vec![
        attestation(&image),
        nested,
        bare.clone(),
        image,
        entry("many", "linux/amd64", &many),
    ];
    let narrowed = narrow(&Index::new(entries), &profile("cuda=12.4")).unwrap();
    assert_eq!(named(&narrowed.chosen, &["image"]), ["image"]);
    let reasons: Vec<&str> = narrowed.verdicts.iter().map(|v| v.reason).collect();
    for (reason, says) in reasons.iter().zip([
        "attestation",
        "index within",
        "no platform",
        "requires nothing",
        "65 requirements",
    ]) {
        assert!(reason.contains(says), "{reason}");
    }
    // An index of artifacts has no machines to choose for.
    let other = Descriptor::new(MediaType::oci_manifest(), digest("other"), 9);
    let artifacts = Index::new(vec![bare, other]);
    let narrowed = narrow(&artifacts, &profile("zen3")).unwrap();
    assert_eq!(narrowed.index.digest(), artifacts.digest());
}

#[test]
fn half_a_platform_that_requires_something_is_not_served_to_hardware() {
    let half = |key: &str| {
        let mut platform = json!({ "features": ["arch:zen4"] });
        platform[key] = "amd64".into();
        Descriptor::from_json(&json!({
            "mediaType": MediaType::OCI_MANIFEST, "digest": digest("half"), "size": 1,
            "platform": platform,
        }))
        .unwrap()
    };
    for key in ["os", "architecture", "x"] {
        let artifacts = Index::new(vec![half(key)]);
        assert!(narrow(&artifacts, &profile("zen3")).is_err(), "{key}");
        // Its image says what it is for, and is read first.
        let policy = metahub_resolve::Policy::default();
        assert_eq!(
            metahub_resolve::to_read(&artifacts, &profile("zen3"), policy),
            [0]
        );
    }
}

#[test]
fn every_entry_gets_a_verdict_that_explains_it() {
    let narrowed = narrow(&featuretest(), &profile("zen3")).unwrap();
    let positions: Vec<usize> = narrowed.verdicts.iter().map(|v| v.position).collect();
    assert_eq!(positions, (0..7).collect::<Vec<_>>());
    let rows: Vec<String> = narrowed
        .verdicts
        .iter()
        .map(|v| v.cells()[1..].join(" | "))
        .collect();
    insta::assert_snapshot!(rows.join("\n"));
    insta::assert_json_snapshot!(narrowed.verdicts.get(3));
    assert_eq!(
        Verdict::HEADINGS.len(),
        narrowed.verdicts.get(0).unwrap().cells().len()
    );
}

/// As Docker Hub serves it, with fields that nobody here knows.
const REALISTIC: &str = include_str!("documents/index.json");

#[test]
fn a_derived_index_keeps_everything_but_its_entries() {
    let source: Value = serde_json::from_str(REALISTIC).unwrap();
    let narrowed = narrow(&index(&source), &profile("zen3")).unwrap();
    assert_eq!(
        Document::from(narrowed.index.clone()).media_type().as_str(),
        MediaType::OCI_INDEX
    );
    assert!(narrowed.index.subject().is_none());
    insta::assert_json_snapshot!(narrowed.index.as_json());
}

#[test]
fn an_index_that_is_fine_keeps_its_bytes() {
    let text = r#"{ "manifests": [ {"size": 500, "digest": "DIGEST",
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "platform": {"os": "linux", "architecture": "amd64"}} ],
        "mediaType": "application/vnd.oci.image.index.v1+json", "schemaVersion": 2 }"#;
    let text = text.replace("DIGEST", digest("x").as_str());
    let Document::Index(source) = Document::parse(text.clone().into(), None).unwrap() else {
        panic!("an index");
    };
    let narrowed = narrow(&source, &profile("zen3")).unwrap();
    assert_eq!(
        Document::from(narrowed.index.clone()).bytes(),
        text.as_bytes()
    );
    assert_eq!(
        replace_children(&narrowed.index, &[]).digest(),
        source.digest()
    );
}

#[test]
fn derived_children_take_the_place_of_their_sources() {
    let narrowed = narrow(&featuretest(), &profile("")).unwrap();
    let derived = Descriptor::new(MediaType::oci_manifest(), digest("derived"), 777);
    let index = replace_children(&narrowed.index, &[(digest("generic"), derived)]);
    assert_eq!(
        named(index.manifests(), &["derived", "arm"]),
        ["derived", "arm"]
    );
    assert_eq!(index.manifests()[0].size(), 777);
    assert_eq!(
        index.manifests()[0].platform(),
        narrowed.index.manifests()[0].platform()
    );
}

#[test]
fn a_served_entry_keeps_what_clients_read_alike() {
    let descriptor = Descriptor::from_json(&json!({
        "mediaType": MediaType::OCI_MANIFEST, "size": 1, "digest": digest("x"), "x": 1,
        "annotations": {"a": "b", WEIGHT: "3"},
        "platform": {"features": ["arch:zen3"], "architecture": "amd64", "variant": "v3", "os": "linux", "os.features": ["f"], "os.version": "1"},
    }))
    .unwrap();
    insta::assert_json_snapshot!(served_descriptor(&descriptor).as_json());
}

#[rstest]
#[case("", "qnib/featuretest", &[], false)]
#[case("zen3", "qnib/featuretest", &[], true)]
#[case("cascadeLake", "library/alpine", &[], true)]
#[case("aws/cli", "qnib/featuretest", &["qnib/layer-awscli"], true)]
#[case("aws/cli", "qnib/featuretest2", &[], false)]
#[case("aws/cli", "library/alpine", &[], false)]
#[case("tools+aws/cli", "qnib/featuretest", &["qnib/layer-tools:2", "qnib/layer-awscli"], true)]
#[case("aws/cli+tools", "qnib/featuretest", &["qnib/layer-awscli", "qnib/layer-tools:2"], true)]
#[case("aws/cli+tools", "qnib/other", &["qnib/layer-tools:2"], true)]
fn layers_are_added_in_the_order_of_the_login(
    #[case] login: &str,
    #[case] repository: &str,
    #[case] expected: &[&str],
    #[case] changes: bool,
) {
    let repository: RepositoryName = repository.parse().unwrap();
    let profile = profile(login);
    let layers: Vec<String> = layer_images(&image_actions(&profile, &repository))
        .iter()
        .map(|image| image.to_string().replace(":latest", ""))
        .collect();
    assert_eq!(layers, expected);
    assert_eq!(applies(&profile, &repository), changes);
}
