//! Adding the layers of one image to another.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests assert by panicking"
)]

mod common;

use common::{config, digest, manifest};
use metahub_oci::{Descriptor, Document, ImageConfig, Manifest, MediaType};
use metahub_resolve::{AddError, BASE_DIGEST, BASE_NAME, Role, add_layers, name_base};
use rstest::rstest;
use serde_json::{Value, json};

const OCI_TAR: &str = "application/vnd.oci.image.layer.v1.tar";
const OCI_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// An image whose documents are these, with the configuration's digest written into the manifest.
fn image(manifest_json: &Value, config_json: &Value) -> (Manifest, ImageConfig) {
    let config = config(config_json);
    let mut manifest_json = manifest_json.clone();
    manifest_json["config"]["digest"] = config.digest().as_str().into();
    manifest_json["config"]["size"] = config.bytes().len().into();
    (manifest(&manifest_json), config)
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// As `docker build` and `docker push` left it before BuildKit, with all that Docker writes.
fn docker_base() -> (Manifest, ImageConfig) {
    image(
        &parse(include_str!("documents/docker_manifest.json")),
        &parse(include_str!("documents/docker_config.json")),
    )
}

/// As BuildKit writes it, with fields of Windows and of the future.
fn oci_base() -> (Manifest, ImageConfig) {
    image(
        &parse(include_str!("documents/oci_manifest.json")),
        &parse(include_str!("documents/oci_config.json")),
    )
}

fn layer(media_type: &str, name: &str) -> Value {
    json!({"mediaType": media_type, "digest": digest(name), "size": name.len()})
}

/// A layer image of `layers` for `platform`, whose configuration must not be applied.
fn layers_of(layers: &[Value], os: &str, architecture: &str) -> (Manifest, ImageConfig) {
    let diff_ids: Vec<_> = (0..layers.len())
        .map(|n| digest(&format!("diff {n}")))
        .collect();
    image(
        &json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OCI_MANIFEST,
            "config": {"mediaType": MediaType::OCI_CONFIG},
            "layers": layers,
        }),
        &json!({
            "os": os,
            "architecture": architecture,
            "config": {"Env": ["PATH=/opt/aws/bin"], "Entrypoint": ["/opt/aws/bin/aws"], "User": "root"},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [{"created_by": "COPY aws /opt/aws"}],
        }),
    )
}

fn awscli() -> (Manifest, ImageConfig) {
    let layers = [
        layer(MediaType::OCI_LAYER_GZIP, "aws 1"),
        layer(MediaType::OCI_LAYER_GZIP, "aws 2"),
    ];
    layers_of(&layers, "linux", "amd64")
}

fn add(
    base: &(Manifest, ImageConfig),
    added: &(Manifest, ImageConfig),
) -> Result<(Manifest, ImageConfig), AddError> {
    add_layers(
        &base.0,
        &base.1,
        &added.0,
        &added.1,
        "manifest-add qnib/layer-awscli",
    )
}

#[rstest]
#[case::docker("docker", docker_base())]
#[case::oci("oci", oci_base())]
fn a_derived_image_is_the_base_with_layers_on_top(
    #[case] name: &str,
    #[case] base: (Manifest, ImageConfig),
) {
    let (manifest, config) = add(&base, &awscli()).unwrap();
    insta::assert_json_snapshot!(format!("{name}_manifest"), manifest.as_json());
    insta::assert_json_snapshot!(format!("{name}_config"), config.as_json());
    assert_eq!(manifest.layers().len(), config.diff_ids().len());
    let descriptor = manifest.config().unwrap();
    assert_eq!(descriptor.digest(), config.digest());
    assert_eq!(descriptor.size(), config.bytes().len() as u64);
    // What was derived is parsed again by everyone who gets it.
    let again = Document::parse(Document::from(manifest.clone()).bytes().clone(), None).unwrap();
    assert_eq!(again.digest(), manifest.digest());
    // The layers of the base are its own, untouched.
    assert_eq!(&manifest.layers()[..base.0.layers().len()], base.0.layers());
    let types: Vec<&str> = manifest
        .layers()
        .iter()
        .map(|l| l.media_type().as_str())
        .collect();
    assert!(types.iter().all(|t| *t == types[0]), "{types:?}");
}

#[test]
fn history_speaks_of_as_many_layers_as_there_are() {
    for base in [docker_base(), oci_base()] {
        let (manifest, config) = add(&base, &awscli()).unwrap();
        let history = config.as_json()["history"].as_array().unwrap();
        let full = history.iter().filter(|entry| entry["empty_layer"] != true);
        assert_eq!(full.count(), manifest.layers().len());
        let last = history.last().unwrap();
        assert_eq!(last["created_by"], "manifest-add qnib/layer-awscli");
        assert_eq!(last["created"], base.1.as_json()["created"]);
    }
}

#[rstest]
#[case::none(None)]
#[case::empty(Some(json!([])))]
#[case::null(Some(json!(null)))]
fn an_image_without_history_gets_none(#[case] history: Option<Value>) {
    let (manifest_json, mut config_json) = (
        parse(include_str!("documents/oci_manifest.json")),
        parse(include_str!("documents/oci_config.json")),
    );
    let map = config_json.as_object_mut().unwrap();
    map.shift_remove("history");
    map.extend(history.clone().map(|h| ("history".to_owned(), h)));
    let (_, config) = add(&image(&manifest_json, &config_json), &awscli()).unwrap();
    assert_eq!(config.as_json().get("history"), history.as_ref());
}

#[test]
fn an_image_from_scratch_may_get_layers() {
    let empty = image(
        &json!({"schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST,
                "config": {"mediaType": MediaType::OCI_CONFIG}, "layers": []}),
        &json!({"os": "linux", "architecture": "amd64", "rootfs": null}),
    );
    let (manifest, config) = add(&empty, &awscli()).unwrap();
    assert_eq!(manifest.layers().len(), 2);
    assert_eq!(config.diff_ids().len(), 2);
    assert_eq!(config.as_json()["rootfs"]["type"], "layers");
}

#[test]
fn what_the_publisher_says_of_the_base_stays() {
    let (manifest_json, config_json) = (
        parse(include_str!("documents/oci_manifest.json")),
        parse(include_str!("documents/oci_config.json")),
    );
    for (annotations, expected) in [
        (json!({BASE_DIGEST: "sha256:debian"}), Some("sha256:debian")),
        (json!(null), None),
        (json!({}), None),
    ] {
        let mut manifest_json = manifest_json.clone();
        manifest_json["annotations"] = annotations;
        let base = image(&manifest_json, &config_json);
        let (manifest, _) = add(&base, &awscli()).unwrap();
        let found = &manifest.as_json()["annotations"][BASE_DIGEST];
        let expected = expected.unwrap_or(base.0.digest().as_str());
        assert_eq!(found, expected);
        assert!(manifest.subject().is_none());
    }
}

#[test]
fn the_same_layers_again_are_added_again() {
    let once = add(&oci_base(), &awscli()).unwrap();
    let twice = add(&once, &awscli()).unwrap();
    assert_eq!(twice.0.layers().len(), once.0.layers().len() + 2);
    assert_eq!(twice.1.diff_ids().len(), twice.0.layers().len());
}

#[rstest]
#[case::other_architecture(layers_of(&[layer(MediaType::OCI_LAYER_GZIP, "l")], "linux", "arm64"), "layer image is for linux/arm64, the pulled image for linux/amd64")]
#[case::other_system(layers_of(&[layer(MediaType::OCI_LAYER_GZIP, "l")], "windows", "amd64"), "publish the layer image for linux/amd64")]
#[case::no_layers(layers_of(&[], "linux", "amd64"), "no layers to add")]
#[case::foreign(layers_of(&[layer("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "l")], "linux", "amd64"), "fetched from elsewhere")]
#[case::nondistributable(layers_of(&[layer("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "l")], "linux", "amd64"), "fetched from elsewhere")]
#[case::urls(layers_of(&[json!({"mediaType": MediaType::OCI_LAYER_GZIP, "digest": digest("l"), "size": 1, "urls": ["https://evil.example/"]})], "linux", "amd64"), "fetched from elsewhere")]
#[case::encrypted(layers_of(&[layer("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", "l")], "linux", "amd64"), "has the type")]
#[case::no_layer_at_all(layers_of(&[layer("text/html", "l")], "linux", "amd64"), "only images have layers to add")]
fn what_must_not_be_added_is_refused(#[case] added: (Manifest, ImageConfig), #[case] says: &str) {
    let error = add(&oci_base(), &added).unwrap_err().to_string();
    assert!(error.contains(says), "{error}");
}

#[rstest]
#[case(MediaType::OCI_LAYER_GZIP, true, true)]
#[case(MediaType::DOCKER_LAYER_GZIP, true, true)]
#[case(OCI_TAR, true, false)]
#[case(OCI_ZSTD, true, false)]
fn a_layer_is_added_where_the_format_has_a_name_for_it(
    #[case] media_type: &str,
    #[case] in_oci: bool,
    #[case] in_docker: bool,
) {
    let added = layers_of(&[layer(media_type, "l")], "linux", "amd64");
    assert_eq!(add(&oci_base(), &added).is_ok(), in_oci);
    let docker = add(&docker_base(), &added);
    assert_eq!(docker.is_ok(), in_docker);
    if let Err(error) = docker {
        assert!(
            error
                .to_string()
                .contains("compress the layer image with gzip"),
            "{error}"
        );
    }
}

#[test]
fn embedded_content_does_not_come_along() {
    let mut embedded = layer(MediaType::OCI_LAYER_GZIP, "l");
    embedded["data"] = "aGk=".into();
    let added = layers_of(&[embedded], "linux", "amd64");
    let (manifest, _) = add(&oci_base(), &added).unwrap();
    assert!(
        !manifest
            .layers()
            .last()
            .unwrap()
            .as_json()
            .contains_key("data")
    );
}

#[test]
fn too_many_layers_are_refused() {
    let many: Vec<Value> = (0..125)
        .map(|n| layer(MediaType::OCI_LAYER_GZIP, &n.to_string()))
        .collect();
    let error = add(&oci_base(), &layers_of(&many, "linux", "amd64")).unwrap_err();
    assert!(matches!(error, AddError::TooManyLayers(_)), "{error}");
}

#[test]
fn documents_that_do_not_belong_together_are_refused() {
    let (base, added) = (oci_base(), awscli());
    let by = "x";
    let error = add_layers(&base.0, &added.1, &added.0, &added.1, by).unwrap_err();
    assert!(
        matches!(
            error,
            AddError::OtherConfig {
                role: Role::Base,
                ..
            }
        ),
        "{error}"
    );
    let error = add_layers(&base.0, &base.1, &added.0, &base.1, by).unwrap_err();
    assert!(
        matches!(
            error,
            AddError::OtherConfig {
                role: Role::Layer,
                ..
            }
        ),
        "{error}"
    );

    let (manifest_json, mut config_json) = (
        parse(include_str!("documents/oci_manifest.json")),
        parse(include_str!("documents/oci_config.json")),
    );
    config_json["rootfs"]["diff_ids"]
        .as_array_mut()
        .unwrap()
        .pop();
    let error = add(&image(&manifest_json, &config_json), &added).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("2 layers, its configuration 1 diff_ids"),
        "{error}"
    );

    let artifact = Manifest::new(
        Descriptor::new(MediaType::OCI_EMPTY.parse().unwrap(), digest("{}"), 2),
        Vec::new(),
    );
    let error = add_layers(&base.0, &base.1, &artifact, &added.1, by).unwrap_err();
    assert_eq!(error, AddError::NotAnImage(Role::Layer));
    let error = add_layers(&artifact, &base.1, &added.0, &added.1, by).unwrap_err();
    assert_eq!(error, AddError::NotAnImage(Role::Base));
}

#[test]
fn a_derived_manifest_names_its_source_unless_the_publisher_names_a_base() {
    let named = |base: &(Manifest, ImageConfig), times: usize| {
        let mut image = base.clone();
        for _ in 0..times {
            image = add(&image, &awscli()).unwrap();
        }
        let name = format!("lab/app@{}", base.0.digest());
        let derived = name_base(&image.0, &base.0, &name).unwrap();
        let annotations = derived.as_json().get("annotations").cloned();
        let said = |key: &str| {
            let value = annotations.as_ref()?.get(key)?.as_str()?;
            Some(value.to_owned())
        };
        (said(BASE_DIGEST), said(BASE_NAME))
    };
    let base = oci_base();
    let digest = base.0.digest().to_string();
    for times in 0..3 {
        let name = format!("lab/app@{digest}");
        assert_eq!(named(&base, times), (Some(digest.clone()), Some(name)));
    }
    let (manifest_json, config_json) = (
        parse(include_str!("documents/oci_manifest.json")),
        parse(include_str!("documents/oci_config.json")),
    );
    for (key, of_publisher) in [(BASE_DIGEST, "sha256:debian"), (BASE_NAME, "debian:12")] {
        let mut manifest_json = manifest_json.clone();
        manifest_json["annotations"] = json!({key: of_publisher});
        let base = image(&manifest_json, &config_json);
        let (digest, name) = named(&base, 1);
        let both = [(BASE_DIGEST, digest), (BASE_NAME, name)];
        for (said, value) in both {
            let expected = (said == key).then(|| of_publisher.to_owned());
            assert_eq!(value, expected, "{key} {said}");
        }
    }
    let in_docker = named(&docker_base(), 1);
    assert_eq!(in_docker, (None, None), "it has no annotations");
}
