//! The annotations that MetaHub writes and reads.

/// On a collection's entry: the image that it points to, as the collection writes it.
pub const IMAGE: &str = "org.metahub-registry.image";

/// On a collection's entry: its weight, a whole number. Entries of other indexes may carry it
/// too. It is not served.
pub const WEIGHT: &str = "org.metahub-registry.weight";

/// On a derived image: the digest of the manifest that it was derived from
/// (image specification, `annotations.md`).
pub const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";

/// On a derived image: a reference that leads to that manifest through this registry
/// (image specification, `annotations.md`).
pub const BASE_NAME: &str = "org.opencontainers.image.base.name";

/// On a candidate: why the image cannot be known to run, in words. It is never chosen, and the
/// annotation is not served.
pub const EXCLUDED: &str = "org.metahub-registry.excluded";

/// On a candidate: the image's own statement that cannot be read, where the configuration lets such
/// images be served. Not served.
pub const UNKNOWN: &str = "org.metahub-registry.unknown-requirements";

/// On a candidate: `yes` once the image's own statements are among its requirements. Not served.
pub const READ: &str = "org.metahub-registry.read";
