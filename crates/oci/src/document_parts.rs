//! What indexes and manifests share: their bytes, their fields, and the errors of those.

use bytes::Bytes;
use serde_json::Value;

use crate::descriptor::kind;
use crate::{Descriptor, DescriptorError, Digest, JsonMap, MediaType};

/// Largest manifest or index accepted, in bytes: 4 MiB, the limit that the distribution
/// specification asks registries to support at least.
pub const MAX_MANIFEST_BYTES: usize = 4 * 1024 * 1024;

/// Why bytes are not a manifest or index that may be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// More than [`MAX_MANIFEST_BYTES`].
    #[error("a manifest of {0} bytes is too large: at most {MAX_MANIFEST_BYTES} are accepted")]
    TooLarge(usize),
    /// Not JSON.
    #[error("a manifest is a JSON object; this is not valid: {0}")]
    NotJson(String),
    /// JSON, but no object.
    #[error("a manifest is a JSON object, not {0}")]
    NotAnObject(&'static str),
    /// `schemaVersion` is not 2, or not there.
    #[error("schemaVersion is {0}: expected 2")]
    SchemaVersion(String),
    /// The type cannot be determined.
    #[error("a manifest needs a media type: send Content-Type, or write mediaType in the document")]
    NoMediaType,
    /// A type that is no manifest's.
    #[error(
        "unsupported manifest media type '{0}': expected an OCI image manifest or index, or Docker's schema 2 manifest or list"
    )]
    UnknownMediaType(String),
    /// The document says another type than the request (CVE-2021-41190).
    #[error(
        "the document says mediaType '{inside}', the Content-Type says '{outside}': they must agree"
    )]
    MediaTypeDisagrees {
        /// `mediaType` in the document.
        inside: String,
        /// The `Content-Type` it came with.
        outside: String,
    },
    /// Both kinds at once (CVE-2021-41190).
    #[error(
        "a document has 'manifests' (an index) or 'config' and 'layers' (an image manifest), not both"
    )]
    Ambiguous,
    /// A field is missing or has the wrong type.
    #[error("'{field}' {problem}")]
    Field {
        /// Where, as a path from the root.
        field: String,
        /// What was expected.
        problem: String,
    },
}

impl DocumentError {
    pub(crate) fn field(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Field {
            field: field.into(),
            problem: problem.into(),
        }
    }
}

/// What index and manifest have in common.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) bytes: Bytes,
    pub(crate) digest: Digest,
    pub(crate) media_type: MediaType,
    pub(crate) map: JsonMap,
}

impl Parts {
    /// The document that `map` makes: its bytes are compact JSON in the map's own order, so the
    /// same map gives the same digest everywhere.
    pub(crate) fn from_map(media_type: MediaType, map: JsonMap) -> Self {
        let bytes = compact(&map);
        let digest = Digest::sha256(&bytes);
        Self {
            bytes,
            digest,
            media_type,
            map,
        }
    }

    pub(crate) fn descriptor(&self, field: &str) -> Result<Option<Descriptor>, DocumentError> {
        match self.map.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => in_field(field, Descriptor::from_json(value)).map(Some),
        }
    }

    pub(crate) fn descriptors(&self, field: &str) -> Result<Vec<Descriptor>, DocumentError> {
        match self.map.get(field) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(items)) => items
                .iter()
                .enumerate()
                .map(|(i, item)| in_field(&format!("{field}[{i}]"), Descriptor::from_json(item)))
                .collect(),
            Some(other) => Err(DocumentError::field(
                field,
                format!("is a list of descriptors, not {}", kind(other)),
            )),
        }
    }
}

/// Compact JSON, in the map's own order.
pub(crate) fn compact(map: &JsonMap) -> Bytes {
    #[expect(clippy::expect_used, reason = "JSON in memory always has a form")]
    let bytes = serde_json::to_vec(map).expect("plain JSON");
    Bytes::from(bytes)
}

fn in_field<T>(field: &str, result: Result<T, DescriptorError>) -> Result<T, DocumentError> {
    result.map_err(|error| DocumentError::field(field, format!("is wrong: {error}")))
}
