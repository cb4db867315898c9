//! The annotations that MetaHub writes and reads.

/// On a collection's entry: the image that it points to, as the collection writes it.
pub const IMAGE: &str = "org.metahub-registry.image";

/// On a collection's entry: its weight, a whole number. Entries of other indexes may carry it
/// too. It is not served.
pub const WEIGHT: &str = "org.metahub-registry.weight";

/// On a derived image: the digest of the manifest that it was derived from
/// (image specification, `annotations.md`).
pub const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";
