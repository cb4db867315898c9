//! What one layer does to those below it: the paths that it replaces, removes or links. All lists
//! have bounds; what is left out of them makes an image count more of its lower layers, never less.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Most paths that are replaced, and that are told apart by a hash only.
const REPLACED: usize = 100_000;
/// Most paths that are removed, folders that are emptied, and links to lower layers.
const NAMED: usize = 10_000;

/// What one layer does to those below it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Changes {
    /// Hashes of the paths of all files and links, in order once the layer was read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    replaced: Vec<u64>,
    /// Whiteouts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    removed: Vec<String>,
    /// Opaque folders.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    emptied: Vec<String>,
    /// Hard links to files of lower layers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    linked: Vec<(String, String)>,
}

impl Changes {
    pub(crate) fn replaces(&mut self, path: &str) {
        if self.replaced.len() < REPLACED {
            self.replaced.push(hash(path));
        }
    }

    pub(crate) fn removes(&mut self, path: &str) {
        if self.removed.len() < NAMED {
            self.removed.push(path.to_owned());
        }
    }

    pub(crate) fn empties(&mut self, folder: &str) {
        if self.emptied.len() < NAMED {
            self.emptied.push(folder.to_owned());
        }
    }

    pub(crate) fn links(&mut self, path: &str, target: &str) {
        if self.linked.len() < NAMED {
            self.linked.push((path.to_owned(), target.to_owned()));
        }
    }

    /// Whether links were left out, which makes what a layer holds unknown.
    pub(crate) fn is_cut(&self) -> bool {
        self.linked.len() >= NAMED
    }

    /// Once the layer was read.
    pub(crate) fn finish(&mut self) {
        self.replaced.sort_unstable();
        self.replaced.dedup();
        self.replaced.shrink_to_fit();
    }

    /// Leaves the paths that are replaced away where there are more than `most`.
    pub(crate) fn keep_few(&mut self, most: usize) {
        if self.replaced.len() > most {
            self.replaced = Vec::new();
        }
    }

    /// Leaves all away that only makes an image count less.
    pub(crate) fn keep_links_only(&mut self) {
        self.replaced = Vec::new();
        self.removed = Vec::new();
        self.emptied = Vec::new();
    }

    pub(crate) fn linked(&self) -> &[(String, String)] {
        &self.linked
    }

    /// Whether a file of a lower layer at `path` is gone.
    pub(crate) fn hides(&self, path: &str) -> bool {
        if self.replaced.is_empty() && self.removed.is_empty() && self.emptied.is_empty() {
            return false;
        }
        let above = path.match_indices('/').map(|(at, _)| path.get(..at));
        let mut ways = above.flatten().chain([path]);
        let gone = |way: &str| {
            self.replaced.binary_search(&hash(way)).is_ok()
                || self.removed.iter().any(|removed| removed == way)
        };
        let is_below = |folder: &String| {
            folder.is_empty()
                || path
                    .strip_prefix(folder.as_str())
                    .is_some_and(|rest| rest.starts_with('/'))
        };
        ways.any(gone) || self.emptied.iter().any(is_below)
    }
}

/// Eight bytes of a path's SHA-256, so that nobody finds two paths that share one at little cost.
fn hash(path: &str) -> u64 {
    let digest: [u8; 32] = Sha256::digest(path).into();
    let mut first = [0; 8];
    for (into, from) in first.iter_mut().zip(digest) {
        *into = from;
    }
    u64::from_le_bytes(first)
}
