//! `Root`: the folder below which detection reads, `/` on a node and any other tree in tests. It
//! reads small files and lists folders; it never writes, never waits and never fails: a file that
//! cannot be read counts as absent. Links resolve as if the folder were `/`, never out of it.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Component, Path, PathBuf};

/// Larger files are not read; a C library is the largest that has a fact.
const MOST_BYTES: u64 = 16 << 20;
/// As many links as Linux follows.
const MOST_LINKS: usize = 40;

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

    /// The real path of a path in the tree; `None` if links form a loop.
    fn place(&self, path: &str) -> Option<PathBuf> {
        let mut place = self.folder.clone();
        let mut left: VecDeque<OsString> = parts(Path::new(path)).into();
        if self.is_live() {
            place.extend(left);
            return Some(place);
        }
        let mut depth = 0_usize;
        let mut links = 0;
        while let Some(part) = left.pop_front() {
            if part == ".." {
                // Above the tree there is nothing.
                if depth > 0 {
                    place.pop();
                    depth -= 1;
                }
                continue;
            }
            place.push(part);
            let Ok(target) = fs::read_link(&place) else {
                depth += 1;
                continue;
            };
            links += 1;
            if links > MOST_LINKS {
                return None;
            }
            if target.is_absolute() {
                (place, depth) = (self.folder.clone(), 0);
            } else {
                place.pop();
            }
            for part in parts(&target).into_iter().rev() {
                left.push_front(part);
            }
        }
        Some(place)
    }

    /// The file's bytes; `None` when it is absent, unreadable or too large.
    #[must_use]
    pub fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let place = self.place(path)?;
        // To open a pipe or a device would wait, or do something.
        if !fs::metadata(&place).ok()?.is_file() {
            return None;
        }
        let file = File::open(place).ok()?;
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
        let folder = self.place(path).and_then(|place| fs::read_dir(place).ok());
        let entries = folder.into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }
}

/// The names in a path, and each `..`.
fn parts(path: &Path) -> Vec<OsString> {
    path.components()
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir))
        .map(|part| part.as_os_str().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_lead_within_the_tree() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("tree");
        fs::create_dir_all(inside.join("usr/lib")).unwrap();
        fs::write(inside.join("usr/lib/libc"), "inside").unwrap();
        fs::write(folder.path().join("libc"), "outside").unwrap();
        symlink("/usr/lib", inside.join("lib")).unwrap();
        symlink("../../../../libc", inside.join("usr/escaping")).unwrap();
        symlink("/usr/lib/libc", inside.join("absolute")).unwrap();
        symlink("circle", inside.join("circle")).unwrap();
        let root = Root::new(&inside);
        assert_eq!(root.text("/lib/libc").as_deref(), Some("inside"));
        assert_eq!(root.text("/absolute").as_deref(), Some("inside"));
        assert_eq!(root.text("/../libc"), None);
        assert_eq!(root.text("/usr/escaping"), None);
        assert_eq!(root.text("/circle"), None);
        assert_eq!(root.list("/lib"), ["libc"]);
    }

    #[test]
    fn what_is_no_file_is_absent() {
        let folder = tempfile::tempdir().unwrap();
        let _listening =
            std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
        let root = Root::new(folder.path());
        assert_eq!(root.text("/socket"), None);
        assert_eq!(root.text("/"), None);
        assert_eq!(root.list("/socket"), [""; 0]);
        // A device: to read it would never end.
        assert_eq!(Root::new("/").bytes("/dev/zero"), None);
    }
}
