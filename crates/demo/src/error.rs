//! Why a demo image could not be made. Every case is a mistake in this crate's own tables.

use metahub_oci::{DocumentError, NameError, TagError};

/// Why a demo image could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A program's text is too long for the code that prints it.
    #[error("a demo program prints at most 65535 bytes, not {0}")]
    TextTooLong(usize),
    /// A layer's archive could not be written.
    #[error("a demo layer could not be archived: {0}")]
    Archive(#[from] std::io::Error),
    /// A repository name of the tables is malformed.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A tag of the tables is malformed.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// A document came out malformed.
    #[error(transparent)]
    Document(#[from] DocumentError),
}
