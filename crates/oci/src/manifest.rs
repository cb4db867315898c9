//! Image manifests, `manifest.md`, and Docker's schema 2 manifests.

use std::sync::Arc;

use serde_json::Value;

use crate::document_parts::{DocumentError, Parts};
use crate::{Descriptor, Digest, JsonMap, MediaType};

/// The manifest of one image or artifact: its configuration and layers, bottom first. Copies share
/// its content.
#[derive(Clone, Debug)]
pub struct Manifest {
    parts: Arc<Parts>,
    config: Option<Descriptor>,
    layers: Arc<[Descriptor]>,
    subject: Option<Descriptor>,
}

impl Manifest {
    pub(crate) fn from_parts(parts: Parts) -> Result<Self, DocumentError> {
        let config = parts.descriptor("config")?;
        let layers = parts.descriptors("layers")?;
        let subject = parts.descriptor("subject")?;
        if config.is_none() {
            return Err(DocumentError::field(
                "config",
                "is missing: an image manifest describes its configuration",
            ));
        }
        Ok(Self {
            parts: Arc::new(parts),
            config,
            layers: layers.into(),
            subject,
        })
    }

    /// A new OCI image manifest.
    #[must_use]
    pub fn new(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        let mut map = JsonMap::new();
        map.insert("schemaVersion".into(), 2.into());
        map.insert("mediaType".into(), MediaType::OCI_MANIFEST.into());
        let parts = Parts::from_map(MediaType::oci_manifest(), map);
        Self {
            parts: Arc::new(parts),
            config: None,
            layers: Arc::default(),
            subject: None,
        }
        .with_image(config, layers)
    }

    /// The same manifest with another configuration and other layers; every other field stays as
    /// it is, in its place.
    #[must_use]
    pub fn with_image(&self, config: Descriptor, layers: Vec<Descriptor>) -> Self {
        let list = layers
            .iter()
            .map(|d| Value::Object(d.as_json().clone()))
            .collect();
        let mut new = [
            ("config", Some(Value::Object(config.as_json().clone()))),
            ("layers", Some(Value::Array(list))),
        ];
        let mut map = JsonMap::new();
        // The former layers are not copied only to be dropped.
        for (key, former) in &self.parts.map {
            let replaced = new.iter_mut().find(|(name, _)| name == key);
            let value = replaced.and_then(|(_, new)| new.take());
            map.insert(key.clone(), value.unwrap_or_else(|| former.clone()));
        }
        for (name, value) in new {
            if let Some(value) = value {
                map.insert(name.into(), value);
            }
        }
        let parts = Parts::from_map(self.parts.media_type.clone(), map);
        Self {
            parts: Arc::new(parts),
            config: Some(config),
            layers: layers.into(),
            subject: self.subject.clone(),
        }
    }

    /// The configuration's descriptor. Present in every manifest that was parsed.
    #[must_use]
    pub fn config(&self) -> Option<&Descriptor> {
        self.config.as_ref()
    }

    /// The layers' descriptors, bottom first.
    #[must_use]
    pub fn layers(&self) -> &[Descriptor] {
        &self.layers
    }

    /// What this manifest refers to, if anything.
    #[must_use]
    pub fn subject(&self) -> Option<&Descriptor> {
        self.subject.as_ref()
    }

    /// Whether this describes a runnable image rather than an artifact of another kind: its
    /// configuration and all of its layers are an image's. Signatures, attestations and models
    /// often have an image's configuration and layers of their own. An `artifactType` beside both
    /// changes nothing: container runtimes do not look at it, and run such a manifest.
    #[must_use]
    pub fn is_image(&self) -> bool {
        let config = self.config.as_ref();
        config.is_some_and(|config| config.media_type().is_image_config())
            && self
                .layers
                .iter()
                .all(|layer| layer.media_type().is_layer())
    }

    /// The whole document as JSON, fields in their order.
    #[must_use]
    pub fn as_json(&self) -> &JsonMap {
        &self.parts.map
    }

    /// The media type to serve it with.
    #[must_use]
    pub fn media_type(&self) -> &MediaType {
        &self.parts.media_type
    }

    /// What the bytes hash to.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.parts.digest
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.parts
    }
}
