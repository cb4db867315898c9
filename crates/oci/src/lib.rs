//! The nouns of the OCI specifications: digests, names, tags, references, media types,
//! platforms, and the documents that registries hold.
//!
//! Every type here is valid by construction: fields are private and the only way in is a
//! parser. Documents keep the exact bytes they were read from, and rewriting one keeps every
//! field this crate does not know, in its place. Nothing here does I/O.

mod config;
mod descriptor;
mod digest;
mod document;
mod document_parts;
mod error_code;
mod image_reference;
mod index;
mod manifest;
mod media_type;
mod name;
mod platform;
mod reference;
mod strict_json;
mod tag;

pub use config::{ConfigError, ImageConfig};
pub use descriptor::{Descriptor, DescriptorError};
pub use digest::{Algorithm, Digest, DigestError, Hasher};
pub use document::Document;
pub use document_parts::{DocumentError, MAX_MANIFEST_BYTES};
pub use error_code::ErrorCode;
pub use image_reference::{Host, HostError, ImageReference, ImageReferenceError};
pub use index::Index;
pub use manifest::Manifest;
pub use media_type::{MediaType, MediaTypeError};
pub use name::{NameError, RepositoryName};
pub use platform::{Platform, PlatformError, PlatformView};
pub use reference::{Reference, ReferenceError};
pub use tag::{Tag, TagError};

/// A JSON object whose keys keep their order.
pub type JsonMap = serde_json::Map<String, serde_json::Value>;
