//! Bounds on the documents of the API.

use metahub_store::DocumentBounds;

/// Most bytes of one document.
pub const MAX_DOCUMENT_BYTES: usize = 256 * 1024;

/// Most documents and versions that are stored.
pub const DOCUMENT_BOUNDS: DocumentBounds = DocumentBounds {
    documents: 10_000,
    bytes: 32 * 1024 * 1024,
    versions: 20,
    deleted: 1_000,
};
