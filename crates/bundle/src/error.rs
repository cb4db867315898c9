//! Why reading or writing a bundle failed.

use std::io;
use std::path::PathBuf;

use metahub_oci::{Digest, DocumentError};

/// Why a bundle cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The file cannot be read or written.
    #[error("cannot {what} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is no tar file of this form, or it was made to do harm.
    #[error("{} is no bundle that can be taken: {problem}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Something that an entry refers to is not there.
    #[error("the bundle is incomplete: {what} {digest} of {image} is not in it. Export it again")]
    Missing {
        /// Configuration, layer or manifest.
        what: &'static str,
        /// What is missing.
        digest: Digest,
        /// The entry that refers to it.
        image: String,
    },
    /// Content is shorter or longer than what refers to it says.
    #[error("the bundle is damaged: {digest} has {found} bytes instead of {expected}")]
    Size {
        /// The content.
        digest: Digest,
        /// What is said.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// Content is not what it is called.
    #[error(
        "the bundle is damaged: what it calls {expected} hashes to {found}. Nothing of it is used"
    )]
    Mismatch {
        /// What it is called.
        expected: Digest,
        /// What it hashes to.
        found: Digest,
    },
    /// A manifest or index in it is malformed.
    #[error("the bundle's {digest}: {source}")]
    Document {
        /// The manifest.
        digest: Digest,
        /// What is wrong with it.
        source: DocumentError,
    },
}

impl BundleError {
    pub(crate) fn io(what: &'static str, path: &std::path::Path, source: io::Error) -> Self {
        Self::Io {
            what,
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn malformed(path: &std::path::Path, problem: impl Into<String>) -> Self {
        Self::Malformed {
            path: path.to_owned(),
            problem: problem.into(),
        }
    }
}
