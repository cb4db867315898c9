//! Why layers cannot be added to an image.

use std::fmt;

use metahub_oci::{ConfigError, Digest, DocumentError, MediaType};

use crate::layers::MAX_LAYERS;

/// Which of the two images is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The image that was pulled.
    Base,
    /// The image whose layers are added.
    Layer,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Base => "pulled image",
            Self::Layer => "layer image",
        })
    }
}

/// Why layers cannot be added to an image. The text says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddError {
    /// A manifest of another kind of artifact.
    #[error("the {0} is no image but another kind of artifact: only images have layers to add")]
    NotAnImage(Role),
    /// A configuration that is not the manifest's.
    #[error("the {role} has the configuration {expected}, and {found} was given")]
    OtherConfig {
        /// Whose.
        role: Role,
        /// The configuration that its manifest names.
        expected: Digest,
        /// What was given.
        found: Digest,
    },
    /// The images are for different machines.
    #[error(
        "the layer image is for {layer}, the pulled image for {base}: publish the layer image for {base}"
    )]
    Platform {
        /// What the pulled image is for.
        base: String,
        /// What the layer image is for.
        layer: String,
    },
    /// The layer image has no layers.
    #[error("the layer image has no layers to add")]
    NoLayers,
    /// Manifest and configuration disagree.
    #[error(
        "the {role} is inconsistent: its manifest lists {layers} layers, its configuration {diff_ids} diff_ids; build it again"
    )]
    LayerCount {
        /// Whose.
        role: Role,
        /// Layers in the manifest.
        layers: usize,
        /// `rootfs.diff_ids` in the configuration.
        diff_ids: usize,
    },
    /// A layer whose content is elsewhere: a client would fetch it from a place that the layer
    /// image names.
    #[error(
        "layer {0} of the layer image is to be fetched from elsewhere (a foreign layer or 'urls'): only layers that the registry holds are added"
    )]
    Foreign(Digest),
    /// A layer that the manifest's format cannot express.
    #[error(
        "layer {digest} of the layer image has the type '{layer}', which cannot stand in a manifest of the type '{manifest}': {advice}"
    )]
    LayerType {
        /// Which layer.
        digest: Digest,
        /// Its media type.
        layer: MediaType,
        /// The pulled image's manifest media type.
        manifest: MediaType,
        /// What to do.
        advice: &'static str,
    },
    /// More layers than engines mount.
    #[error(
        "{0} layers are more than engines mount: at most {MAX_LAYERS}; merge some of the layer image's"
    )]
    TooManyLayers(usize),
    /// The derived manifest is none, for example because it is too large.
    #[error("the derived manifest is wrong: {0}")]
    Manifest(#[from] DocumentError),
    /// The derived configuration is none.
    #[error("the derived configuration is wrong: {0}")]
    Config(#[from] ConfigError),
}
