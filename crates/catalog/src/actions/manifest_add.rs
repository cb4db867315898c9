//! `manifest-add`: on top of an image, put the layers of another.

use metahub_oci::ImageReference;
use serde::Serialize;
use serde_json::{Value, json};

use crate::reader::{Fields, Reader};
use crate::{Event, RepositoryPattern};

/// Adds the layers of `layer` to the images of the repositories that match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ManifestAdd {
    /// The image whose layers are added, for example `qnib/layer-awscli`.
    #[serde(rename = "layerRepository")]
    pub layer: ImageReference,
    /// Which repositories' images get them.
    pub repository: RepositoryPattern,
}

impl ManifestAdd {
    /// Its name in documents.
    pub const NAME: &'static str = "manifest-add";
    /// When it happens.
    pub const EVENT: Event = Event::PostManifestGet;
    /// The keys of its `args`.
    pub const ARGS: &'static [&'static str] = &["layerRepository", "repository"];

    pub(super) fn schema() -> Value {
        json!({
            "layerRepository": {
                "description": "The image whose layers are added",
                "type": "string",
            },
            "repository": {
                "description": "An anchored regular expression: the repositories that get them",
                "type": "string",
            },
        })
    }

    pub(super) fn read(reader: &mut Reader<'_>, args: &Fields<'_>) -> Option<Self> {
        const LAYER: &str = "qnib/layer-awscli";
        const REPOSITORY: &str = "qnib/featuretest";
        let layer = args
            .required(reader, "layerRepository", LAYER)
            .and_then(|node| reader.parsed(node, "layerRepository", "bad-image", LAYER));
        let repository = args
            .required(reader, "repository", REPOSITORY)
            .and_then(|node| reader.parsed(node, "repository", "bad-pattern", REPOSITORY));
        Some(Self {
            layer: layer?,
            repository: repository?,
        })
    }
}
