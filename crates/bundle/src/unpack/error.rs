//! Why a layer cannot be unpacked.

use std::io;
use std::path::{Path, PathBuf};

/// Why a layer cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// It is no archive, or ends too early, or is longer than is taken.
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It has too many files.
    #[error("the image has more than {0} files")]
    TooMany(u64),
    /// A path or link that leads out of the image, or to nothing.
    #[error("'{0}' leads out of the image, or to nothing")]
    LeadsOut(String),
    /// The folder cannot be written.
    #[error("{} cannot be written: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl UnpackError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    pub(super) fn leads_out(name: &[u8]) -> Self {
        let text: String = String::from_utf8_lossy(name).chars().take(80).collect();
        Self::LeadsOut(text.escape_debug().to_string())
    }
}
