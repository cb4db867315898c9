//! What holds for all documents.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests assert by panicking"
)]

mod common;

use common::{config, digest, index, manifest, profile};
use metahub_catalog::Composed;
use metahub_oci::{Document, ImageConfig, JsonMap, Manifest, MediaType};
use metahub_resolve::{add_layers, narrow};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::{Arc, OnceLock};

/// Any JSON, as the fields that nobody here knows.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        "[ -~é]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec(("[a-zA-Z.]{1,8}", inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Fields that nobody here knows, by names that no specification has.
fn unknown() -> impl Strategy<Value = JsonMap> {
    proptest::collection::vec(("x-[a-z]{1,6}", any_json()), 0..4)
        .prop_map(|fields| fields.into_iter().collect())
}

/// `known` with unknown fields before and after.
fn around(known: &Value, before: &JsonMap, after: &JsonMap) -> Value {
    let known = known.as_object().unwrap();
    let fields = before.iter().chain(known).chain(after);
    Value::Object(fields.map(|(k, v)| (k.clone(), v.clone())).collect())
}

fn profiles() -> &'static [Arc<Composed>] {
    static PROFILES: OnceLock<Vec<Arc<Composed>>> = OnceLock::new();
    PROFILES.get_or_init(|| {
        let logins = [
            "",
            "zen3",
            "cascadeLake",
            "cuda=12.4",
            "zen2+cuda=12.4",
            "neoverse_v1",
            "failing",
        ];
        logins.map(profile).to_vec()
    })
}

prop_compose! {
    fn entries()(
        entries in proptest::collection::vec((
            proptest::sample::select(vec!["linux", "windows", ""]),
            proptest::sample::select(vec!["amd64", "arm64", "386", "s390x", "unknown"]),
            proptest::option::of(proptest::sample::select(vec!["v1", "v2", "v3", "v4", "v8", "v9", "?"])),
            proptest::collection::vec(proptest::sample::select(vec![
                "arch:zen3", "arch:cascadeLake", "cpu:zen2", "cuda:12.1", "sse4", "", "arch:none", "mpi:mpich",
            ]), 0..3),
            unknown(),
        ), 0..6),
    ) -> Vec<Value> {
        let mut documents = Vec::new();
        for (at, (os, architecture, variant, features, unknown)) in entries.into_iter().enumerate() {
            let mut platform = json!({"architecture": architecture, "os": os, "features": features});
            if let Some(variant) = variant {
                platform["variant"] = variant.into();
            }
            let known = json!({
                "mediaType": MediaType::OCI_MANIFEST, "size": at, "digest": digest(&at.to_string()),
                "platform": platform,
            });
            documents.push(around(&known, &unknown, &JsonMap::new()));
        }
        documents
    }
}

/// An image of `layers` layers with unknown fields everywhere.
fn image(layers: usize, fields: &[JsonMap; 4]) -> (Manifest, ImageConfig) {
    let diff_ids: Vec<_> = (0..layers).map(|n| digest(&format!("diff {n}"))).collect();
    let mut config_json = around(
        &json!({
            "architecture": "amd64", "os": "linux",
            "config": Value::Object(fields[2].clone()),
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": vec![json!({"created_by": "x"}); layers],
        }),
        &fields[0],
        &fields[1],
    );
    config_json["rootfs"] = around(&config_json["rootfs"], &fields[2], &fields[3]);
    let config = config(&config_json);
    let layer = |n: usize| {
        let known = json!({"mediaType": MediaType::OCI_LAYER_GZIP, "digest": digest(&format!("layer {n}")), "size": n});
        around(&known, &fields[3], &JsonMap::new())
    };
    let manifest_json = json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST,
        "config": {"mediaType": MediaType::OCI_CONFIG, "digest": config.digest(), "size": config.bytes().len()},
        "layers": (0..layers).map(layer).collect::<Vec<_>>(),
    });
    let manifest = manifest(&around(&manifest_json, &fields[1], &fields[0]));
    (manifest, config)
}

/// What is left of a document's JSON without the fields named.
fn without(map: &JsonMap, names: &[&str]) -> Vec<(String, Value)> {
    let fields = map.iter().filter(|(key, _)| !names.contains(&key.as_str()));
    fields.map(|(k, v)| (k.clone(), v.clone())).collect()
}

proptest! {
    #[test]
    fn a_narrowed_index_is_small_bare_and_the_same_again(
        entries in entries(),
        before in unknown(),
        after in unknown(),
        login in 0..7_usize,
    ) {
        let known = json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": entries,
        });
        let source = index(&around(&known, &before, &after));
        let profile = &profiles()[login];
        let (Ok(narrowed), Ok(again)) = (narrow(&source, profile), narrow(&source, profile)) else {
            prop_assert!(narrow(&source, profile).is_err());
            return Ok(());
        };
        prop_assert_eq!(narrowed.index.digest(), again.index.digest());
        prop_assert_eq!(narrowed.verdicts.len(), source.manifests().len());
        prop_assert_eq!(
            without(narrowed.index.as_json(), &["manifests"]),
            without(source.as_json(), &["manifests"])
        );
        let mut machines = Vec::new();
        for (served, chosen) in narrowed.index.manifests().iter().zip(&narrowed.chosen) {
            prop_assert_eq!(served.digest(), chosen.digest());
            prop_assert!(source.manifests().contains(chosen));
            prop_assert_eq!(without(served.as_json(), &["platform"]), without(chosen.as_json(), &["platform"]));
            let platform = served.platform().unwrap();
            prop_assert!(platform.variant.is_none() && platform.features.is_empty());
            let machine = (platform.os, platform.architecture);
            // Half a platform is for no machine, and stays only where no entry has a whole one.
            if machine.0.is_empty() {
                continue;
            }
            prop_assert!(!machines.contains(&machine));
            machines.push(machine);
        }
        let kept: Vec<usize> = narrowed.verdicts.iter().filter(|v| v.kept).map(|v| v.position).collect();
        let expected: Vec<usize> = narrowed.chosen.iter().map(|c| usize::try_from(c.size()).unwrap()).collect();
        prop_assert_eq!(kept, expected);
        // What a login got, it gets of the result again, if the result still says what is needed:
        // without filters it does.
        if !["cascadeLake", "failing"].contains(&profile.to_string().as_str()) {
            let twice = narrow(&narrowed.index, profile).unwrap();
            prop_assert_eq!(twice.index.digest(), narrowed.index.digest());
        }
    }

    #[test]
    fn a_derived_image_is_consistent_and_loses_nothing(
        base_layers in 0..5_usize,
        added_layers in 1..4_usize,
        fields in [unknown(), unknown(), unknown(), unknown()],
    ) {
        let base = image(base_layers, &fields);
        let added = image(added_layers, &std::array::from_fn(|_| JsonMap::new()));
        let derive = || add_layers(&base.0, &base.1, &added.0, &added.1, "by").unwrap();
        let (manifest, config) = derive();
        let again = derive();
        prop_assert_eq!(manifest.digest(), again.0.digest());
        prop_assert_eq!(config.digest(), again.1.digest());
        prop_assert_eq!(manifest.layers().len(), base_layers + added_layers);
        prop_assert_eq!(config.diff_ids().len(), manifest.layers().len());
        prop_assert_eq!(config.as_json()["history"].as_array().unwrap().len(), manifest.layers().len());
        prop_assert_eq!(&manifest.layers()[..base_layers], base.0.layers());
        prop_assert_eq!(
            without(manifest.as_json(), &["config", "layers", "annotations"]),
            without(base.0.as_json(), &["config", "layers", "annotations"])
        );
        prop_assert_eq!(
            without(config.as_json(), &["rootfs", "history"]),
            without(base.1.as_json(), &["rootfs", "history"])
        );
        let rootfs = |config: &ImageConfig| without(config.as_json()["rootfs"].as_object().unwrap(), &["diff_ids"]);
        prop_assert_eq!(rootfs(&config), rootfs(&base.1));
        let parsed = Document::parse(Document::from(manifest.clone()).bytes().clone(), None).unwrap();
        prop_assert_eq!(parsed.digest(), manifest.digest());
    }
}
