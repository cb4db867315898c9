//! `Root`: the folder below which detection reads, `/` on a node and any other tree in
//! tests. It reads small files and lists folders; it never writes and never fails:
//! what cannot be read is absent.

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

/// No fact stands in a larger file; a C library is the largest that is looked at.
const MOST_BYTES: u64 = 16 << 20;

/// A tree to read from.
#[derive(Debug, Clone)]
pub struct Root {
    folder: PathBuf,
}

impl Root {
    /// Reads below `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// Whether this is the running system itself.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.folder == Path::new("/")
    }

    fn place(&self, path: &str) -> PathBuf {
        let below = Path::new(path)
            .components()
            .filter(|c| matches!(c, Component::Normal(_)));
        below.fold(self.folder.clone(), |folder, part| folder.join(part))
    }

    /// The file's bytes; `None` when it is absent, unreadable or too large.
    #[must_use]
    pub fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = File::open(self.place(path)).ok()?;
        let read = file.take(MOST_BYTES + 1).read_to_end(&mut bytes).ok()?;
        (u64::try_from(read).ok()? <= MOST_BYTES).then_some(bytes)
    }

    /// The file's text without blanks around it; `None` as for [`bytes`](Self::bytes), or
    /// when it is empty. Bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<String> {
        let text = String::from_utf8_lossy(&self.bytes(path)?)
            .trim()
            .to_owned();
        (!text.is_empty()).then_some(text)
    }

    /// Names in a folder, sorted; empty when it is absent.
    #[must_use]
    pub fn list(&self, path: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.place(path))
            .into_iter()
            .flatten()
            .flatten();
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }
}
