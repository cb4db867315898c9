//! What must hold of every image that actions change.

use std::sync::LazyLock;

use bytes::Bytes;
use metahub_catalog::Composed;
use metahub_oci::{Descriptor, Digest, Document, ImageConfig, Manifest, MediaType};
use metahub_resolve::{Image, ImageRun, MAX_LAYERS, image_actions};
use serde_json::{Value, json};

use super::{login, others, words};

static PROFILES: LazyLock<[Composed; 2]> =
    LazyLock::new(|| [login("site/changed"), login("site/entry+site/changed")]);

/// What the image's manifest and configuration come to when profiles change them. The manifest is
/// made to name the configuration.
pub(super) fn changed(manifest: &Manifest, config: &ImageConfig) -> String {
    let Some(descriptor) = manifest.config() else {
        return "no configuration".to_owned();
    };
    let size = config.bytes().len() as u64;
    let media_type = descriptor.media_type().clone();
    let descriptor = descriptor.with_content(media_type, config.digest().clone(), size);
    let manifest = manifest.with_image(descriptor, manifest.layers().to_vec());
    let base = Image {
        manifest,
        config: config.clone(),
    };
    let mut outcome = String::new();
    for profile in PROFILES.iter() {
        outcome += &by(profile, &base);
        outcome.push('|');
    }
    outcome
}

fn by(profile: &Composed, base: &Image) -> String {
    let actions = image_actions(profile, &"lab/app".parse().unwrap());
    let mut run = ImageRun::new(base.clone(), &actions, profile.provided());
    loop {
        match run.advance() {
            Ok(None) => break,
            Ok(Some(wanted)) => {
                let layer = layer(wanted.name().as_str(), &base.config);
                if let Err(error) = run.add(&layer) {
                    return words(&error);
                }
            }
            Err(error) => return words(&error),
        }
    }
    let found = run.finish();
    let steps: Vec<String> = found
        .steps
        .iter()
        .map(|step| format!("{step:?}").chars().take(24).collect())
        .collect();
    let (manifest, config) = (&found.image.manifest, &found.image.config);
    // Bytes hash to their digests, and read as what they are taken for.
    assert_eq!(&Digest::sha256(config.bytes()), config.digest());
    let document = Document::parse(reading(manifest), Some(manifest.media_type()));
    let Ok(Document::Manifest(again)) = document else {
        panic!("not a manifest any more: {document:?}");
    };
    assert_eq!(again.digest(), manifest.digest());
    let read = ImageConfig::parse(config.bytes().clone()).unwrap();
    assert_eq!(manifest.config().unwrap().digest(), read.digest());
    assert_eq!(
        manifest.config().unwrap().size(),
        config.bytes().len() as u64
    );
    // Without what was added, the image is its source.
    if found.changed && base.manifest.layers().len() == base.config.diff_ids().len() {
        assert_eq!(manifest.layers().len(), read.diff_ids().len());
    }
    assert!(manifest.layers().len() <= MAX_LAYERS.max(base.manifest.layers().len()));
    let own: Vec<&Digest> = base
        .manifest
        .layers()
        .iter()
        .map(Descriptor::digest)
        .collect();
    let all: Vec<&Digest> = manifest.layers().iter().map(Descriptor::digest).collect();
    assert!(
        own.is_empty() || all.windows(own.len()).any(|run| run == own),
        "{all:?}"
    );
    assert_eq!(
        others(
            manifest.as_json(),
            &["config", "layers", "annotations", "subject"]
        ),
        others(
            base.manifest.as_json(),
            &["config", "layers", "annotations", "subject"]
        ),
    );
    assert_eq!(
        others(config.as_json(), &["config", "rootfs", "history"]),
        others(base.config.as_json(), &["config", "rootfs", "history"]),
    );
    format!("{steps:?}")
}

fn reading(manifest: &Manifest) -> Bytes {
    Document::Manifest(manifest.clone()).bytes().clone()
}

/// A layer image of that name for the machine of `like`.
fn layer(name: &str, like: &ImageConfig) -> Image {
    let id = Digest::sha256(name.as_bytes());
    let map = like.as_json();
    let field = |key: &str, otherwise: &str| {
        let value = map.get(key).cloned();
        value.unwrap_or_else(|| Value::from(otherwise))
    };
    let config = json!({
        "os": field("os", "linux"),
        "architecture": field("architecture", "amd64"),
        "rootfs": {"type": "layers", "diff_ids": [id]},
    });
    let config = ImageConfig::parse(Bytes::from(config.to_string())).unwrap();
    let gzip: MediaType = MediaType::OCI_LAYER_GZIP.parse().unwrap();
    let size = config.bytes().len() as u64;
    let kind: MediaType = "application/vnd.oci.image.config.v1+json".parse().unwrap();
    let descriptor = Descriptor::new(kind, config.digest().clone(), size);
    let manifest = Manifest::new(descriptor, vec![Descriptor::new(gzip, id, 10)]);
    Image { manifest, config }
}
