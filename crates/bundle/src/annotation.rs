//! Annotations of a bundle's entries. `resolve` defines the image annotation for indexes; a bundle
//! uses the same names.

/// The name under which other tools open an entry (image specification, `annotations.md`).
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// How the content came to where it was exported: `pushed`, `upstream` or `derived`.
pub const ORIGIN: &str = "org.metahub-registry.origin";

/// Marks an entry of which the bundle leaves content out on purpose: what the login that it was
/// made for does not need.
pub const PARTIAL: &str = "org.metahub-registry.partial";

/// The artifact type of the manifest that holds profile and collection documents.
pub(crate) const DOCUMENTS_TYPE: &str = "application/vnd.metahub.catalog.v1";

/// The media type of one such document.
pub(crate) const DOCUMENT_TYPE: &str = "application/vnd.metahub.document.v1+yaml";
