//! OCI manifests, configurations and indexes around demo layers, `manifest.md` and `config.md`.
//!
//! `Cmd`, never `Entrypoint`: `docker run IMAGE aws --version` must replace the command.

use bytes::Bytes;
use metahub_oci::{
    Digest, Document, DocumentError, MediaType, Platform, Reference, RepositoryName, Tag,
};
use serde_json::{Value, json};

use crate::{Layer, Machine};

/// The label that names the target which an image's program was "built" for, as `arch:zen3`.
/// From the HPC Container Conformance project's annotations; generic images have none.
pub const TARGET_LABEL: &str = "org.supercontainers.hardware.cpu.target.microarch";

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Demo images have no build time: the same version makes the same bytes.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// A tagged image with everything that it refers to.
#[derive(Clone, Debug)]
pub struct DemoImage {
    /// The repository it belongs in.
    pub repository: RepositoryName,
    /// Its tag.
    pub tag: Tag,
    /// Manifests and indexes, children first; the last one is what the tag names.
    pub documents: Vec<Document>,
    /// Configurations and layers, each once.
    pub blobs: Vec<(Digest, Bytes)>,
}

impl DemoImage {
    /// What the tag names.
    #[must_use]
    pub fn root(&self) -> Option<&Document> {
        self.documents.last()
    }

    /// How a document is tagged: the root by its tag, any other by its digest alone.
    #[must_use]
    pub fn reference_of(&self, document: &Document) -> Reference {
        match self.root() {
            Some(root) if root.digest() == document.digest() => Reference::Tag(self.tag.clone()),
            _ => Reference::Digest(document.digest().clone()),
        }
    }
}

/// What one image for one machine is made from.
pub(crate) struct Recipe<'a> {
    pub(crate) machine: Machine,
    /// Title and description, as `org.opencontainers.image.*` labels and annotations.
    pub(crate) title: &'a str,
    pub(crate) description: &'a str,
    pub(crate) version: &'a str,
    /// `arch:TARGET`, or none for an image that runs on any such machine.
    pub(crate) target: Option<&'a str>,
    pub(crate) command: &'a [&'a str],
    /// Bottom first.
    pub(crate) layers: &'a [Layer],
}

/// One image: its manifest and its blobs, configuration first.
pub(crate) struct Built {
    pub(crate) manifest: Document,
    pub(crate) blobs: Vec<(Digest, Bytes)>,
}

impl Recipe<'_> {
    pub(crate) fn build(&self) -> Result<Built, DocumentError> {
        let config = Bytes::from(self.config().to_string());
        let config_digest = Digest::sha256(&config);
        let layers: Vec<Value> = self
            .layers
            .iter()
            .map(|layer| {
                json!({
                    "mediaType": MediaType::OCI_LAYER_GZIP,
                    "digest": layer.digest(),
                    "size": layer.blob().len(),
                })
            })
            .collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OCI_MANIFEST,
            "config": {
                "mediaType": MediaType::OCI_CONFIG,
                "digest": config_digest,
                "size": config.len(),
            },
            "layers": layers,
            "annotations": self.labels(),
        });
        let blobs = std::iter::once((config_digest, config))
            .chain(
                self.layers
                    .iter()
                    .map(|layer| (layer.digest().clone(), layer.blob().clone())),
            )
            .collect();
        Ok(Built {
            manifest: Document::parse(Bytes::from(manifest.to_string()), None)?,
            blobs,
        })
    }

    fn config(&self) -> Value {
        let history: Vec<Value> = self
            .layers
            .iter()
            .map(|layer| json!({ "created": CREATED, "created_by": layer.created_by() }))
            .collect();
        let diff_ids: Vec<&Digest> = self.layers.iter().map(Layer::diff_id).collect();
        json!({
            "created": CREATED,
            "architecture": self.machine.architecture(),
            "os": "linux",
            "config": {
                "Env": [PATH],
                "Cmd": self.command,
                "WorkingDir": "/",
                "Labels": self.labels(),
            },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
            "history": history,
        })
    }

    fn labels(&self) -> Value {
        let mut labels = json!({
            "org.opencontainers.image.title": self.title,
            "org.opencontainers.image.description": self.description,
            "org.opencontainers.image.version": self.version,
            "org.opencontainers.image.licenses": "Apache-2.0",
        });
        if let (Some(labels), Some(target)) = (labels.as_object_mut(), self.target) {
            labels.insert(TARGET_LABEL.to_owned(), target.into());
        }
        labels
    }
}

/// An index of `children`, each with its machine and the features that it requires.
pub(crate) fn index(
    title: &str,
    children: &[(Machine, Option<&str>, &Document)],
) -> Result<Document, DocumentError> {
    let entries: Vec<Value> = children
        .iter()
        .map(|(machine, feature, document)| {
            let platform = Platform {
                features: feature.iter().map(|&feature| feature.to_owned()).collect(),
                ..Platform::new("linux", machine.architecture())
            };
            let entry = document.descriptor().with_platform(&platform);
            Value::Object(entry.as_json().clone())
        })
        .collect();
    let index = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_INDEX,
        "manifests": entries,
        "annotations": { "org.opencontainers.image.title": title },
    });
    Document::parse(Bytes::from(index.to_string()), None)
}
