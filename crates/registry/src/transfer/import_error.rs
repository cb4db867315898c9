//! Why a bundle cannot be imported.

use metahub_bundle::BundleError;
use metahub_oci::Digest;
use metahub_store::FillError;

use crate::error::RegistryError;

/// Why a bundle was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It is malformed, incomplete or damaged.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// An entry says no name under which it could be found here.
    #[error(
        "the entry {digest} is called '{name}', which names no image: say which it is with \
         --name NAME:TAG"
    )]
    Unnamed {
        /// The entry.
        digest: Digest,
        /// What it is called.
        name: String,
    },
    /// One name was given, and there is not one image.
    #[error("--name says what one image is called, and the bundle has {0}")]
    OneName(usize),
    /// Nothing is in it.
    #[error("the bundle holds neither images nor documents")]
    Empty,
    /// Content was not what it is called, or could not be stored.
    #[error("{digest}: {source}")]
    Fill {
        /// What it is called.
        digest: Digest,
        /// What is wrong.
        source: FillError,
    },
    /// It cannot be kept.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}
