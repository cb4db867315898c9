//! Why a folder or an archive cannot become a layer.

use std::io;
use std::path::PathBuf;

/// Why no layer was built.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// A file cannot be read or written.
    #[error("cannot {what} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Something that a layer must not or cannot hold.
    #[error("{source_name}: '{path}' {problem}")]
    Entry {
        /// The folder or archive.
        source_name: String,
        /// The path in it, made fit for printing.
        path: String,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// The source as a whole is of no use.
    #[error("{source_name} {problem}")]
    Source {
        /// The folder or archive.
        source_name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An image layout that is none, or is damaged.
    #[error("{} {problem}", .path.display())]
    Layout {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

impl LayerError {
    pub(crate) fn io(what: &'static str, path: &std::path::Path, source: io::Error) -> Self {
        Self::Io {
            what,
            path: path.to_owned(),
            source,
        }
    }
}
