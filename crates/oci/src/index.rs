//! Image indexes, `image-index.md`, and Docker's manifest lists.

use std::sync::Arc;

use serde_json::Value;

use crate::document_parts::{DocumentError, Parts};
use crate::{Descriptor, Digest, JsonMap, MediaType};

/// An image index: entries that name manifests, in order. Copies share its content.
#[derive(Clone, Debug)]
pub struct Index {
    parts: Arc<Parts>,
    manifests: Arc<[Descriptor]>,
    subject: Option<Descriptor>,
}

impl Index {
    pub(crate) fn from_parts(parts: Parts) -> Result<Self, DocumentError> {
        if !parts.map.contains_key("manifests") {
            return Err(DocumentError::field(
                "manifests",
                "is missing: an index lists manifests",
            ));
        }
        let manifests = parts.descriptors("manifests")?;
        let subject = parts.descriptor("subject")?;
        Ok(Self {
            parts: Arc::new(parts),
            manifests: manifests.into(),
            subject,
        })
    }

    /// A new OCI index of `manifests`.
    #[must_use]
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        let mut map = JsonMap::new();
        map.insert("schemaVersion".into(), 2.into());
        map.insert("mediaType".into(), MediaType::OCI_INDEX.into());
        map.insert("manifests".into(), Value::Array(Vec::new()));
        let parts = Parts::from_map(MediaType::oci_index(), map);
        Self {
            parts: Arc::new(parts),
            manifests: Arc::default(),
            subject: None,
        }
        .with_manifests(manifests)
    }

    /// The same index with other entries; every other field stays as it is, in its place.
    #[must_use]
    pub fn with_manifests(&self, manifests: Vec<Descriptor>) -> Self {
        let list = manifests
            .iter()
            .map(|d| Value::Object(d.as_json().clone()))
            .collect();
        let mut list = Some(Value::Array(list));
        // The former entries, which may be thousands, are not copied only to be dropped.
        let others = self.parts.map.iter().map(|(key, value)| {
            let value = match list.take_if(|_| key == "manifests") {
                Some(list) => list,
                None => value.clone(),
            };
            (key.clone(), value)
        });
        let map: JsonMap = others.collect();
        let parts = Parts::from_map(self.parts.media_type.clone(), map);
        Self {
            parts: Arc::new(parts),
            manifests: manifests.into(),
            subject: self.subject.clone(),
        }
    }

    /// The same index with one annotation set.
    #[must_use]
    pub fn with_annotation(&self, key: &str, value: &str) -> Self {
        let mut map = self.parts.map.clone();
        let annotations = map
            .entry("annotations")
            .or_insert_with(|| JsonMap::new().into());
        if !annotations.is_object() {
            *annotations = JsonMap::new().into();
        }
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.insert(key.into(), value.into());
        }
        let parts = Parts::from_map(self.parts.media_type.clone(), map);
        Self {
            parts: Arc::new(parts),
            manifests: self.manifests.clone(),
            subject: self.subject.clone(),
        }
    }

    /// The entries, in order.
    #[must_use]
    pub fn manifests(&self) -> &[Descriptor] {
        &self.manifests
    }

    /// What this index refers to, if anything.
    #[must_use]
    pub fn subject(&self) -> Option<&Descriptor> {
        self.subject.as_ref()
    }

    /// The whole document as JSON, fields in their order.
    #[must_use]
    pub fn as_json(&self) -> &JsonMap {
        &self.parts.map
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
