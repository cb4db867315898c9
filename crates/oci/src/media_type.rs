//! Media types of manifests, indexes and layers: OCI's, and Docker's schema 2.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not a media type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a media type: expected TYPE/SUBTYPE, for example application/vnd.oci.image.manifest.v1+json"
)]
pub struct MediaTypeError(String);

/// A media type by RFC 6838, without parameters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MediaType(Box<str>);

impl MediaType {
    /// An OCI image index.
    pub const OCI_INDEX: &'static str = "application/vnd.oci.image.index.v1+json";
    /// An OCI image manifest.
    pub const OCI_MANIFEST: &'static str = "application/vnd.oci.image.manifest.v1+json";
    /// An OCI image configuration.
    pub const OCI_CONFIG: &'static str = "application/vnd.oci.image.config.v1+json";
    /// An OCI layer, gzip-compressed.
    pub const OCI_LAYER_GZIP: &'static str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// A layer compressed with zstd.
    pub const OCI_LAYER_ZSTD: &'static str = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// The empty JSON object `{}`, as artifacts without configuration use it.
    pub const OCI_EMPTY: &'static str = "application/vnd.oci.empty.v1+json";
    /// Docker's manifest list.
    pub const DOCKER_LIST: &'static str =
        "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker's schema 2 manifest.
    pub const DOCKER_MANIFEST: &'static str =
        "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker's image configuration.
    pub const DOCKER_CONFIG: &'static str = "application/vnd.docker.container.image.v1+json";
    /// Docker's gzip-compressed layer.
    pub const DOCKER_LAYER_GZIP: &'static str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

    /// [`Self::OCI_INDEX`] as a value.
    #[must_use]
    pub fn oci_index() -> Self {
        Self(Self::OCI_INDEX.into())
    }

    /// [`Self::OCI_MANIFEST`] as a value.
    #[must_use]
    pub fn oci_manifest() -> Self {
        Self(Self::OCI_MANIFEST.into())
    }

    /// The media type as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is one of the two types that list manifests.
    #[must_use]
    pub fn is_index(&self) -> bool {
        matches!(&*self.0, Self::OCI_INDEX | Self::DOCKER_LIST)
    }

    /// Whether this is one of the two types of a single image's manifest.
    #[must_use]
    pub fn is_manifest(&self) -> bool {
        matches!(&*self.0, Self::OCI_MANIFEST | Self::DOCKER_MANIFEST)
    }

    /// Whether this is an image's configuration, OCI's or Docker's.
    #[must_use]
    pub fn is_image_config(&self) -> bool {
        matches!(&*self.0, Self::OCI_CONFIG | Self::DOCKER_CONFIG)
    }

    /// Whether this is an image's layer, OCI's or Docker's, however it is compressed or encrypted.
    #[must_use]
    pub fn is_layer(&self) -> bool {
        self.0.starts_with("application/vnd.oci.image.layer.")
            || self.0.starts_with("application/vnd.docker.image.rootfs.")
    }

    /// Whether content of this type stays outside registries: non-distributable layers.
    #[must_use]
    pub fn is_foreign_layer(&self) -> bool {
        self.0
            .starts_with("application/vnd.oci.image.layer.nondistributable.")
            || &*self.0 == "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    }

    /// The type of a layer in the family (OCI or Docker) of the manifest type `manifest`, for
    /// the same compression as `self`. Types without a counterpart stay as they are: engines
    /// read zstd layers only under OCI's name.
    #[must_use]
    pub fn layer_in_family_of(&self, manifest: &Self) -> Self {
        let docker = manifest.as_str() == Self::DOCKER_MANIFEST;
        match (&*self.0, docker) {
            (Self::OCI_LAYER_GZIP, true) => Self(Self::DOCKER_LAYER_GZIP.into()),
            (Self::DOCKER_LAYER_GZIP, false) => Self(Self::OCI_LAYER_GZIP.into()),
            _ => self.clone(),
        }
    }
}

impl FromStr for MediaType {
    type Err = MediaTypeError;

    /// Parses a media type; parameters after `;` are dropped, letters become lower case only in
    /// comparison with known types, as registries compare them literally.
    fn from_str(text: &str) -> Result<Self, MediaTypeError> {
        let essence = text.split(';').next().unwrap_or("").trim();
        let token = |part: &str| {
            !part.is_empty()
                && part.len() <= 127
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
        };
        match essence.split_once('/') {
            Some((kind, subtype)) if token(kind) && token(subtype) => Ok(Self(essence.into())),
            _ => Err(MediaTypeError(text.to_owned())),
        }
    }
}

impl TryFrom<String> for MediaType {
    type Error = MediaTypeError;

    fn try_from(text: String) -> Result<Self, MediaTypeError> {
        text.parse()
    }
}

impl From<MediaType> for String {
    fn from(media_type: MediaType) -> Self {
        media_type.0.into()
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_dropped_and_nonsense_is_refused() {
        let parsed: MediaType = "application/json; charset=utf-8".parse().unwrap();
        assert_eq!(parsed.as_str(), "application/json");
        for text in ["", "json", "a/", "/b", "a b/c", "a/b/c", "a/b\r\nX: y"] {
            assert!(text.parse::<MediaType>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_layer_takes_the_name_of_its_manifests_family() {
        let docker: MediaType = MediaType::DOCKER_MANIFEST.parse().unwrap();
        let oci = MediaType::oci_manifest();
        let layer: MediaType = MediaType::OCI_LAYER_GZIP.parse().unwrap();
        assert_eq!(
            layer.layer_in_family_of(&docker).as_str(),
            MediaType::DOCKER_LAYER_GZIP
        );
        assert_eq!(layer.layer_in_family_of(&oci), layer);
    }
}
