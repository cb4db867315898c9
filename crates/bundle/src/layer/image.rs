//! The image around one layer, as the action `manifest-add` takes it: for one platform a manifest,
//! for several an index whose manifests share the layer.

use bytes::Bytes;
use metahub_oci::{Descriptor, Digest, Document, DocumentError, JsonMap, MediaType, Platform};
use serde_json::{Value, json};

use super::built::BuiltLayer;
use crate::annotation::REF_NAME;

/// The documents of a layer image.
#[derive(Clone, Debug)]
pub struct LayerImage {
    /// The configurations.
    pub configs: Vec<Bytes>,
    /// Every manifest that the root leads to, the root left out.
    pub manifests: Vec<Document>,
    /// What the tag names.
    pub root: Document,
}

impl LayerImage {
    /// The image of `layer` for each of `platforms`, in their order.
    ///
    /// # Errors
    /// No platform, or more than a manifest can name.
    pub fn of(layer: &BuiltLayer, platforms: &[Platform]) -> Result<Self, DocumentError> {
        let mut configs = Vec::new();
        let mut manifests = Vec::new();
        let mut entries = Vec::new();
        for platform in platforms {
            let config = config(layer, platform);
            let manifest = json!({
                "schemaVersion": 2,
                "mediaType": MediaType::OCI_MANIFEST,
                "config": descriptor(MediaType::OCI_CONFIG, &config),
                "layers": [{
                    "mediaType": layer.media_type(),
                    "digest": layer.digest,
                    "size": layer.size,
                }],
            });
            let manifest = Document::parse(manifest.to_string().into(), None)?;
            let entry = manifest.descriptor().with_platform(platform);
            entries.push(Value::Object(entry.as_json().clone()));
            configs.push(config);
            manifests.push(manifest);
        }
        if manifests.len() == 1
            && let Some(root) = manifests.pop()
        {
            return Ok(Self {
                configs,
                manifests,
                root,
            });
        }
        let index = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OCI_INDEX,
            "manifests": entries,
        });
        Ok(Self {
            configs,
            manifests,
            root: Document::parse(index.to_string().into(), None)?,
        })
    }

    /// All documents: each one comes after what it names.
    pub fn blobs(&self) -> impl Iterator<Item = &Bytes> {
        let manifests = self.manifests.iter().chain([&self.root]);
        self.configs.iter().chain(manifests.map(Document::bytes))
    }

    /// The root's descriptor for the index of a layout, with the name of the image.
    #[must_use]
    pub fn entry(&self, name: &str) -> JsonMap {
        let mut entry = self.root.descriptor().as_json().clone();
        entry.insert("annotations".to_owned(), json!({ REF_NAME: name }));
        entry
    }
}

fn config(layer: &BuiltLayer, platform: &Platform) -> Bytes {
    let mut config = JsonMap::new();
    config.insert("architecture".to_owned(), json!(platform.architecture));
    config.insert("os".to_owned(), json!(platform.os));
    if let Some(variant) = &platform.variant {
        config.insert("variant".to_owned(), json!(variant));
    }
    config.insert("config".to_owned(), json!({}));
    let rootfs = json!({ "type": "layers", "diff_ids": [layer.diff_id] });
    config.insert("rootfs".to_owned(), rootfs);
    Bytes::from(Value::Object(config).to_string())
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({
        "mediaType": media_type,
        "digest": Digest::sha256(bytes),
        "size": bytes.len(),
    })
}

/// The name of an entry of a layout's index.
pub(super) fn name_of(entry: &Descriptor) -> Option<&str> {
    entry.annotation(REF_NAME)
}
