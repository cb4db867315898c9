//! Content descriptors, `descriptor.md` of the image specification.

use serde_json::Value;

use crate::{Digest, DigestError, JsonMap, MediaType, MediaTypeError, Platform, PlatformView};

/// Largest size, in bytes: `size` is an int64 (`descriptor.md#properties`).
const MAX_SIZE: u64 = i64::MAX as u64;

/// Why a JSON value is not a descriptor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DescriptorError {
    /// Not an object.
    #[error("expected a descriptor object with mediaType, digest and size, found {0}")]
    NotAnObject(&'static str),
    /// A required field is missing or has the wrong type.
    #[error("a descriptor needs '{0}' ({1})")]
    Field(&'static str, &'static str),
    /// The digest is malformed.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// The media type is malformed.
    #[error(transparent)]
    MediaType(#[from] MediaTypeError),
}

/// A descriptor that is valid where it matters (media type, digest, size) and keeps every other
/// field as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    media_type: MediaType,
    digest: Digest,
    size: u64,
    raw: JsonMap,
}

impl Descriptor {
    /// A descriptor with only the three required fields.
    #[must_use]
    pub fn new(media_type: MediaType, digest: Digest, size: u64) -> Self {
        let mut raw = JsonMap::new();
        raw.insert("mediaType".into(), media_type.as_str().into());
        raw.insert("digest".into(), digest.as_str().into());
        raw.insert("size".into(), size.into());
        Self {
            media_type,
            digest,
            size,
            raw,
        }
    }

    /// Reads a descriptor out of a document.
    pub fn from_json(value: &Value) -> Result<Self, DescriptorError> {
        let raw = value
            .as_object()
            .ok_or(DescriptorError::NotAnObject(kind(value)))?;
        let media_type = raw
            .get("mediaType")
            .and_then(Value::as_str)
            .ok_or(DescriptorError::Field("mediaType", "a string"))?
            .parse()?;
        let digest = raw
            .get("digest")
            .and_then(Value::as_str)
            .ok_or(DescriptorError::Field("digest", "a string"))?
            .parse()?;
        let size = raw
            .get("size")
            .and_then(Value::as_u64)
            .filter(|size| *size <= MAX_SIZE)
            .ok_or(DescriptorError::Field(
                "size",
                "a whole number of bytes from 0 to 2^63 - 1",
            ))?;
        Ok(Self {
            media_type,
            digest,
            size,
            raw: raw.clone(),
        })
    }

    /// The media type of the content.
    #[must_use]
    pub fn media_type(&self) -> &MediaType {
        &self.media_type
    }

    /// The digest of the content.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The size of the content in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The platform, if the descriptor has one.
    #[must_use]
    pub fn platform(&self) -> Option<Platform> {
        self.raw
            .get("platform")
            .and_then(Value::as_object)
            .map(Platform::from_json)
    }

    /// The platform without a copy, if the descriptor has one.
    #[must_use]
    pub fn platform_view(&self) -> Option<PlatformView<'_>> {
        field(&self.raw, "platform")?
            .as_object()
            .map(PlatformView::of)
    }

    /// The annotations as they are written, if there are any.
    #[must_use]
    pub fn annotations(&self) -> Option<&JsonMap> {
        field(&self.raw, "annotations")?.as_object()
    }

    /// One annotation by its key.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        field(self.annotations()?, key)?.as_str()
    }

    /// The annotation that an entry of an index has which describes another entry.
    pub const REFERENCE_TYPE: &str = "vnd.docker.reference.type";

    /// Whether this entry of an index describes no runnable image, but something about another
    /// entry, such as build attestations ([`Self::REFERENCE_TYPE`]).
    #[must_use]
    pub fn is_attestation(&self) -> bool {
        self.annotation(Self::REFERENCE_TYPE).is_some()
    }

    /// Where the content may be fetched from outside the registry. Never followed by MetaHub.
    #[must_use]
    pub fn has_urls(&self) -> bool {
        self.raw
            .get("urls")
            .and_then(Value::as_array)
            .is_some_and(|urls| !urls.is_empty())
    }

    /// All fields as written.
    #[must_use]
    pub fn as_json(&self) -> &JsonMap {
        &self.raw
    }

    /// The same descriptor for other content: media type, digest and size change, the rest stays.
    /// A `data` field is dropped, since it embeds the former content.
    #[must_use]
    pub fn with_content(&self, media_type: MediaType, digest: Digest, size: u64) -> Self {
        let mut raw = self.raw.clone();
        raw.insert("mediaType".into(), media_type.as_str().into());
        raw.insert("digest".into(), digest.as_str().into());
        raw.insert("size".into(), size.into());
        raw.shift_remove("data");
        Self {
            media_type,
            digest,
            size,
            raw,
        }
    }

    /// The same descriptor with `platform` set.
    #[must_use]
    pub fn with_platform(&self, platform: &Platform) -> Self {
        let value = serde_json::to_value(platform).unwrap_or(Value::Null);
        let mut descriptor = self.clone();
        descriptor.raw.insert("platform".into(), value);
        descriptor
    }
}

/// One of a handful of fields: to compare their names is faster than to hash one.
fn field<'a>(map: &'a JsonMap, name: &str) -> Option<&'a Value> {
    map.iter()
        .find_map(|(key, value)| (key == name).then_some(value))
}

/// The name of a JSON value's type, for messages.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
