//! Builds an image from a test's words: manifest and configuration. Its layers are digests without
//! content.

use bytes::Bytes;
use metahub_catalog::GivenImage;
use metahub_oci::{Digest, Document, ImageConfig, JsonMap, Manifest, MediaType, Platform};
use metahub_registry::RegistryError;
use serde_json::{Value, json};

use crate::error::OperationError;

/// Manifest and configuration of an image; two that are called differently differ.
pub(super) fn made(
    name: &str,
    image: &GivenImage,
    platform: &Platform,
) -> Result<(Manifest, ImageConfig), OperationError> {
    let layer = |number: usize| Digest::sha256(format!("{name} {platform} {number}").as_bytes());
    let layers: Vec<Digest> = (0..image.layers).map(layer).collect();
    let config = config(name, image, platform, &layers);
    let config = ImageConfig::parse(Bytes::from(config.to_string()))
        .map_err(|error| OperationError::Registry(RegistryError::Broken(error.to_string())))?;
    let (manifest_type, config_type, layer_type) = if image.docker {
        (
            MediaType::DOCKER_MANIFEST,
            MediaType::DOCKER_CONFIG,
            MediaType::DOCKER_LAYER_GZIP,
        )
    } else {
        (
            MediaType::OCI_MANIFEST,
            MediaType::OCI_CONFIG,
            MediaType::OCI_LAYER_GZIP,
        )
    };
    let layers: Vec<Value> = layers
        .iter()
        .map(|digest| json!({"mediaType": layer_type, "size": 1, "digest": digest.as_str()}))
        .collect();
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": manifest_type,
        "config": {
            "mediaType": config_type,
            "size": config.bytes().len(),
            "digest": config.digest().as_str(),
        },
        "layers": layers,
    });
    if let (false, Some(map)) = (image.annotations.is_empty(), manifest.as_object_mut()) {
        map.insert("annotations".to_owned(), named(&image.annotations));
    }
    let document = Document::parse(Bytes::from(manifest.to_string()), None);
    match document.map_err(RegistryError::from)? {
        Document::Manifest(manifest) => Ok((manifest, config)),
        Document::Index(_) => Err(RegistryError::Broken("an image is no index".to_owned()).into()),
    }
}

fn config(name: &str, image: &GivenImage, platform: &Platform, layers: &[Digest]) -> Value {
    let mut run = JsonMap::new();
    let mut put = |key: &str, value: Option<Value>| {
        run.extend(value.map(|value| (key.to_owned(), value)));
    };
    put("User", image.user.clone().map(Value::String));
    let env: Vec<String> = image.env.iter().map(|(k, v)| format!("{k}={v}")).collect();
    put("Env", (!env.is_empty()).then(|| json!(env)));
    put(
        "Entrypoint",
        image.entrypoint.as_ref().map(|list| json!(list)),
    );
    put("Cmd", image.cmd.as_ref().map(|list| json!(list)));
    put("WorkingDir", image.working_dir.clone().map(Value::String));
    let labels = (!image.labels.is_empty()).then(|| named(&image.labels));
    put("Labels", labels);
    let layers: Vec<&str> = layers.iter().map(Digest::as_str).collect();
    let mut config = json!({
        "architecture": platform.architecture,
        "os": platform.os,
        "comment": name,
        "config": run,
        "rootfs": {"type": "layers", "diff_ids": layers},
    });
    if let Some(map) = config.as_object_mut() {
        let more = [
            ("variant", &platform.variant),
            ("os.version", &platform.os_version),
        ];
        for (key, value) in more {
            map.extend(value.clone().map(|value| (key.to_owned(), value.into())));
        }
    }
    config
}

fn named(pairs: &[(String, String)]) -> Value {
    let pairs = pairs.iter();
    Value::Object(pairs.map(|(k, v)| (k.clone(), v.clone().into())).collect())
}
