use std::collections::{BTreeMap, HashMap};

use metahub_catalog::actions::{Annotate, ConfigSet, ManifestAdd, Position};
use metahub_catalog::{Action, Args, When};
use metahub_oci::Digest;
use metahub_resolve::{
    ActionError, AddError, Changed, Image, ImageRun, image_actions, layer_images,
};
use rstest::rstest;
use serde_json::{Value, json};

use super::common::digest;
use super::config_set::{image, plain};
use super::{profile, when};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// A layer image of one layer that is called `name`.
fn layer(name: &str) -> Image {
    let mut config = plain(&json!({"Env": ["NOT=APPLIED"]}));
    config["rootfs"]["diff_ids"] = json!([digest(name)]);
    let mut layer = image(&config, OCI);
    // Both formats can express gzip.
    let mut manifest = Value::Object(layer.manifest.as_json().clone());
    manifest["layers"][0]["mediaType"] = "application/vnd.oci.image.layer.v1.tar+gzip".into();
    layer.manifest = super::common::manifest(&manifest);
    layer
}

fn add(layers: &[&str], position: Position) -> Args {
    Args::ManifestAdd(ManifestAdd {
        layers: layers.iter().map(|layer| layer.parse().unwrap()).collect(),
        position,
        repository: None,
    })
}

fn annotate(pairs: &[(&str, &str)]) -> Args {
    let pairs = pairs.iter();
    let annotations: BTreeMap<String, String> = pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Args::Annotate(Annotate { annotations })
}

/// Runs `actions` over `base`, layer images being called by their first layer.
fn run(base: Image, actions: Vec<Action>) -> Result<Changed, ActionError> {
    let profile = profile("zen3", actions);
    let actions = image_actions(&profile, &"lab/app".parse().unwrap());
    let known: HashMap<String, Image> = layer_images(&actions)
        .into_iter()
        .map(|reference| (reference.to_string(), layer(reference.name().as_str())))
        .collect();
    let mut run = ImageRun::new(base, &actions, profile.provided());
    while let Some(wanted) = run.advance()? {
        run.add(&known[&wanted.to_string()])?;
    }
    Ok(run.finish())
}

fn diff_ids(changed: &Changed) -> Vec<Digest> {
    changed.image.config.diff_ids().to_vec()
}

#[rstest]
#[case::oci(OCI)]
#[case::docker(DOCKER)]
fn layers_are_added_on_top_or_below_in_the_order_written(#[case] media_type: &str) {
    let base = || image(&plain(&json!({"User": "1"})), media_type);
    let actions = vec![
        add(&["a", "b"], Position::After).into(),
        add(&["c", "d"], Position::Before).into(),
    ];
    let changed = run(base(), actions).unwrap();
    let names = ["c", "d", "layer", "a", "b"];
    assert_eq!(diff_ids(&changed), names.map(digest));
    let layers = changed.image.manifest.layers();
    assert_eq!(layers.len(), 5);
    let by: Vec<&str> = changed.image.config.as_json()["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["created_by"].as_str().unwrap())
        .collect();
    assert_eq!(
        by,
        [
            "metahub manifest-add c",
            "metahub manifest-add d",
            "COPY",
            "metahub manifest-add a",
            "metahub manifest-add b"
        ]
    );
    // A layer image says nothing of how the image is run.
    assert_eq!(
        changed.image.config.as_json()["config"],
        json!({"User": "1"})
    );
    // The image minus what was added is the image.
    let own = changed.image.manifest.layers()[2].clone();
    assert_eq!(own.digest(), base().manifest.layers()[0].digest());
}

#[test]
fn layers_that_are_there_already_are_not_added_again() {
    let base = || image(&plain(&json!({})), OCI);
    let twice = vec![
        add(&["a"], Position::After).into(),
        add(&["b", "a"], Position::After).into(),
    ];
    let changed = run(base(), twice).unwrap();
    assert_eq!(diff_ids(&changed), ["layer", "a", "b"].map(digest));
    let only_its_own = run(base(), vec![add(&["layer"], Position::Before).into()]).unwrap();
    assert!(!only_its_own.changed && !only_its_own.steps[0].done);
    assert_eq!(
        only_its_own.image.manifest.digest(),
        base().manifest.digest()
    );
}

#[test]
fn actions_are_done_in_order_and_see_what_came_before() {
    let set = |name: &str, value: &str| {
        Args::ConfigSet(ConfigSet {
            labels: [(name.to_owned(), value.to_owned())].into(),
            ..ConfigSet::default()
        })
    };
    let on = |name: &str| When {
        label: [(name.to_owned(), ".*".parse().unwrap())].into(),
        ..When::default()
    };
    let base = || image(&plain(&json!({})), OCI);
    let first = vec![set("a", "1").into(), when(set("b", "2"), on("a"))];
    let changed = run(base(), first).unwrap();
    let labels = &changed.image.config.as_json()["config"]["Labels"];
    assert_eq!(*labels, json!({"a": "1", "b": "2"}));
    let reversed = vec![when(set("b", "2"), on("a")), set("a", "1").into()];
    let changed = run(base(), reversed).unwrap();
    let labels = &changed.image.config.as_json()["config"]["Labels"];
    assert_eq!(*labels, json!({"a": "1"}));
    assert_eq!(changed.steps[0].what, "its condition does not hold");
}

#[test]
fn annotations_are_set_where_the_format_has_them() {
    let pairs = [("org.example.site", "here"), ("org.example.b", "")];
    let changed = run(
        image(&plain(&json!({})), OCI),
        vec![annotate(&pairs).into()],
    )
    .unwrap();
    let annotations = &changed.image.manifest.as_json()["annotations"];
    assert_eq!(annotations["org.example.site"], "here");
    assert_eq!(annotations["org.example.b"], "");
    // A second time nothing changes.
    let again = run(changed.image.clone(), vec![annotate(&pairs).into()]).unwrap();
    assert!(!again.changed);
    let docker = image(&plain(&json!({})), DOCKER);
    let changed = run(docker.clone(), vec![annotate(&pairs).into()]).unwrap();
    assert!(!changed.changed);
    assert_eq!(changed.image.manifest.digest(), docker.manifest.digest());
    assert!(changed.steps[0].what.contains("no annotations"));
}

#[test]
fn an_image_for_another_machine_and_too_many_layers_are_refused() {
    let mut arm = plain(&json!({}));
    arm["architecture"] = "arm64".into();
    let actions = || vec![add(&["a"], Position::Before).into()];
    let error = run(image(&arm, OCI), actions()).unwrap_err();
    let ActionError::Add { layer, error } = error else {
        panic!("{error:?}");
    };
    assert_eq!(layer, "a");
    assert!(matches!(error, AddError::Platform { .. }));
    let mut tall = plain(&json!({}));
    let ids: Vec<Digest> = (0..125).map(|n| digest(&format!("own {n}"))).collect();
    tall["rootfs"]["diff_ids"] = json!(ids);
    let error = run(image(&tall, OCI), actions()).unwrap_err();
    assert!(error.to_string().contains("126 layers"), "{error}");
}
