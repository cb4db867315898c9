//! Why a bundle cannot be imported.

use metahub_bundle::BundleError;
use metahub_oci::Digest;
use metahub_store::FillError;

use crate::error::RegistryError;

/// Why a bundle was not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It is malformed, incomplete or damaged.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// An entry has no name under which it could be stored.
    #[error(
        "the entry {digest} is called '{name}', which names no image: say which it is with \
         --name NAME:TAG"
    )]
    Unnamed {
        /// The entry.
        digest: Digest,
        /// Its name.
        name: String,
    },
    /// One name was given, and the bundle has several images or none.
    #[error("--name says what one image is called, and the bundle has {0}")]
    OneName(usize),
    /// It is empty.
    #[error("the bundle holds neither images nor documents")]
    Empty,
    /// Content did not match its digest, or could not be stored.
    #[error("{digest}: {source}")]
    Fill {
        /// What it is called.
        digest: Digest,
        /// What is wrong.
        source: FillError,
    },
    /// It cannot be stored.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}
