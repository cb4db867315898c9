//! What a registry stores under `/manifests/`: an index or a manifest, with its exact bytes.

use bytes::Bytes;
use serde_json::Value;

use crate::descriptor::kind;
use crate::document_parts::{DocumentError, MAX_MANIFEST_BYTES, Parts};
use crate::strict_json;
use crate::{Descriptor, Digest, Index, JsonMap, Manifest, MediaType};

/// An index or an image manifest.
#[derive(Clone, Debug)]
pub enum Document {
    /// A list of manifests.
    Index(Index),
    /// One image or artifact.
    Manifest(Manifest),
}

impl Document {
    /// Parses `bytes`, which came with `content_type` if the sender gave one.
    ///
    /// Refuses what would let two readers see two things in the same bytes: a `mediaType` that
    /// differs from the content type, and a document with both `manifests` and `layers`.
    pub fn parse(bytes: Bytes, content_type: Option<&MediaType>) -> Result<Self, DocumentError> {
        let digest = Digest::sha256(&bytes);
        Self::parse_as(bytes, digest, content_type)
    }

    /// Like [`Document::parse`], for bytes whose digest the caller has verified already.
    pub fn parse_as(
        bytes: Bytes,
        digest: Digest,
        content_type: Option<&MediaType>,
    ) -> Result<Self, DocumentError> {
        if bytes.len() > MAX_MANIFEST_BYTES {
            return Err(DocumentError::TooLarge(bytes.len()));
        }
        let value = strict_json::parse(&bytes)
            .map_err(|error| DocumentError::NotJson(error.to_string()))?;
        let Value::Object(map) = value else {
            return Err(DocumentError::NotAnObject(kind(&value)));
        };
        match map.get("schemaVersion") {
            None => return Err(DocumentError::SchemaVersion("none".to_owned())),
            Some(version) if version.as_u64() == Some(2) => {}
            Some(other) => return Err(DocumentError::SchemaVersion(other.to_string())),
        }
        let media_type = media_type_of(&map, content_type)?;
        let has_index_part = map.contains_key("manifests");
        let has_image_part = map.contains_key("layers") || map.contains_key("config");
        if has_index_part && has_image_part {
            return Err(DocumentError::Ambiguous);
        }
        let parts = Parts {
            bytes,
            digest,
            media_type,
            map,
        };
        if parts.media_type.is_index() {
            Index::from_parts(parts).map(Self::Index)
        } else {
            Manifest::from_parts(parts).map(Self::Manifest)
        }
    }

    fn parts(&self) -> &Parts {
        match self {
            Self::Index(index) => index.parts(),
            Self::Manifest(manifest) => manifest.parts(),
        }
    }

    /// The exact bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.parts().bytes
    }

    /// What the bytes hash to.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.parts().digest
    }

    /// The media type to serve the bytes with.
    #[must_use]
    pub fn media_type(&self) -> &MediaType {
        &self.parts().media_type
    }

    /// The manifest that this one refers to, if any (`subject`).
    #[must_use]
    pub fn subject(&self) -> Option<&Descriptor> {
        match self {
            Self::Index(index) => index.subject(),
            Self::Manifest(manifest) => manifest.subject(),
        }
    }

    /// A descriptor of this document.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        let parts = self.parts();
        Descriptor::new(
            parts.media_type.clone(),
            parts.digest.clone(),
            parts.bytes.len() as u64,
        )
    }

    /// `artifactType` as the referrers API lists it: the document's own, or for an image manifest
    /// without one its configuration's media type.
    #[must_use]
    pub fn artifact_type(&self) -> Option<&str> {
        let own = self.parts().map.get("artifactType").and_then(Value::as_str);
        match self {
            Self::Index(_) => own,
            Self::Manifest(manifest) => own
                .filter(|t| !t.is_empty())
                .or(manifest.config().map(|c| c.media_type().as_str())),
        }
    }

    /// The document's annotations, for the referrers API.
    #[must_use]
    pub fn annotations(&self) -> Option<&JsonMap> {
        self.parts()
            .map
            .get("annotations")
            .and_then(Value::as_object)
    }
}

impl From<Index> for Document {
    fn from(index: Index) -> Self {
        Self::Index(index)
    }
}

impl From<Manifest> for Document {
    fn from(manifest: Manifest) -> Self {
        Self::Manifest(manifest)
    }
}

fn media_type_of(
    map: &JsonMap,
    content_type: Option<&MediaType>,
) -> Result<MediaType, DocumentError> {
    let inside = match map.get("mediaType") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(
            text.parse::<MediaType>()
                .map_err(|error| DocumentError::field("mediaType", format!("is wrong: {error}")))?,
        ),
        Some(other) => {
            let problem = format!("is a string, not {}", kind(other));
            return Err(DocumentError::field("mediaType", problem));
        }
    };
    let media_type = match (inside, content_type) {
        (Some(inside), Some(outside)) if inside != *outside => {
            return Err(DocumentError::MediaTypeDisagrees {
                inside: inside.to_string(),
                outside: outside.to_string(),
            });
        }
        (Some(inside), _) => inside,
        (None, Some(outside)) => outside.clone(),
        (None, None) => return Err(DocumentError::NoMediaType),
    };
    if media_type.is_index() || media_type.is_manifest() {
        Ok(media_type)
    } else {
        Err(DocumentError::UnknownMediaType(media_type.to_string()))
    }
}
