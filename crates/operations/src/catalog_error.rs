//! Why a catalog cannot be read from another registry.

use std::time::Duration;

use metahub_catalog::artifact::ArtifactError;
use metahub_oci::Digest;
use metahub_upstream::UpstreamError;

/// The time limit for fetching one catalog.
pub(crate) const LONGEST: Duration = Duration::from_secs(5 * 60);

/// Why a catalog could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The registry could not be read.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// It has no such manifest or blob.
    #[error("{0} is not there")]
    Missing(String),
    /// It is no catalog.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// A file does not match its digest.
    #[error("the content of '{0}' does not match its digest")]
    Mismatch(String),
    /// A file is no text.
    #[error("'{0}' is not UTF-8 text")]
    Text(String),
    /// The catalog is invalid.
    #[error("{digest}: {why}")]
    Manifest {
        /// The catalog's manifest.
        digest: Digest,
        /// What is wrong with it.
        why: Box<CatalogError>,
    },
    /// It took too long.
    #[error("it did not come within {} seconds", LONGEST.as_secs())]
    Slow,
    /// It is not signed by the key that is configured.
    #[error("it has no signature by the key {key}: {why}")]
    Unsigned {
        /// The key, by the digest of its DER form.
        key: Digest,
        /// What was found instead of a signature.
        why: String,
    },
}

impl CatalogError {
    /// Whether the registry could not be asked, which tells nothing about the catalog.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Upstream(_) | Self::Slow)
    }

    /// The manifest that is invalid for good; `None` if another attempt may succeed: a signature
    /// can be added, and a missing or damaged blob be repaired.
    #[must_use]
    pub fn never_usable(&self) -> Option<&Digest> {
        match self {
            Self::Manifest { digest, why } => {
                matches!(**why, Self::Artifact(_) | Self::Text(_)).then_some(digest)
            }
            _ => None,
        }
    }

    /// The same error, as one of the manifest `digest` if it is about the catalog.
    pub(crate) fn of(self, digest: &Digest) -> Self {
        if self.is_away() {
            return self;
        }
        Self::Manifest {
            digest: digest.clone(),
            why: Box::new(self),
        }
    }
}
