//! Why an operation failed.

use std::path::PathBuf;

use metahub_bundle::BundleError;
use metahub_catalog::{LoginError, PatternError};
use metahub_emulation::EmulationError;
use metahub_oci::{Digest, ImageReference, ImageReferenceError, RepositoryName};
use metahub_registry::{ImportError, RegistryError};
use metahub_store::StoreError;
use url::Url;

use crate::documents::DocumentsError;

/// Why an operation failed.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum OperationError {
    /// No image can run on what the login provides; commands end with a code of its own then.
    #[error("{0}")]
    NothingFits(String),
    /// The registry failed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A bundle was not imported.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// A bundle could not be written.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// Documents of a bundle were not imported.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Documents(#[from] DocumentsError),
    /// A login means nothing.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// A text is no pattern.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// A text names no image.
    #[error(transparent)]
    Image(#[from] ImageReferenceError),
    /// Upstreams that cannot be set up.
    #[error(transparent)]
    Upstreams(#[from] metahub_upstream::ConfigError),
    /// A report that is no JSON, which is a defect.
    #[error(transparent)]
    Report(#[from] serde_json::Error),
    /// Content was evicted or deleted meanwhile.
    #[error("{digest} was removed from {repository} while it was exported")]
    #[diagnostic(help("run the same command again: it goes on where it stopped"))]
    Removed {
        /// The content.
        digest: Digest,
        /// Where it was.
        repository: RepositoryName,
    },
    /// Documents with errors.
    #[error("the catalog has errors:\n{0}")]
    #[diagnostic(help("metahub check PATH... shows each with its place in the document"))]
    Catalog(String),
    /// A collection that is not in the documents.
    #[error("no collection is called {0}")]
    #[diagnostic(help("with --images, other images are looked at, too"))]
    NoCollection(ImageReference),
    /// No collection at all.
    #[error("there is no collection to look at")]
    #[diagnostic(help(
        "name documents with --catalog FOLDER, or a configuration with --config FILE"
    ))]
    NoCollections,
    /// A name without an image that can be inspected.
    #[error("{0}")]
    NoImage(String),
    /// An image that is to be run and does not say how.
    #[error("the image names no program to run")]
    #[diagnostic(help("name one after --, as in: -- app --version"))]
    NoCommand,
    /// A layer of an image that is to be run.
    #[error("{what} cannot be unpacked: {why}")]
    Unpack {
        /// The layer.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// An image was not run.
    #[error(transparent)]
    Emulation(#[from] EmulationError),
    /// A server's URL without a host.
    #[error("{0} names no host: expected http://HOST or https://HOST")]
    NoHost(Url),
    /// No temporary folder.
    #[error("no temporary folder can be made")]
    NoTemporaryFolder(#[source] StoreError),
    /// A name was given for a file with several images or none.
    #[error("{} has {images} images, so that one name for it means nothing", .path.display())]
    #[diagnostic(help("leave the name away: each image is called as the file says"))]
    OneName {
        /// The file.
        path: PathBuf,
        /// How many images it has.
        images: usize,
    },
    /// Work was stopped or panicked.
    #[error("the work was stopped before its end")]
    Stopped,
}

impl OperationError {
    /// Separates "nothing fits" from other failures of the registry.
    pub(crate) fn of_images(error: RegistryError) -> Self {
        match error.root() {
            RegistryError::NothingFits { .. } => Self::NothingFits(error.to_string()),
            _ => Self::Registry(error),
        }
    }
}
