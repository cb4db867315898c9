//! The contents of a layer, in the order of their paths: the same tree for any folder or archive
//! with the same content, in any order. Unsupported file types are refused here, once for all kinds
//! of sources.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::error::LayerError;

/// Most entries of one layer.
const MAX_ENTRIES: usize = 1_000_000;
/// Longest path or target of a link, in bytes: what Linux takes.
const MAX_PATH: usize = 4095;
/// Most bytes of all files together.
pub(crate) const MAX_BYTES: u64 = 64 * 1024 * 1024 * 1024;
/// Most bytes of all paths and targets of links together.
const MAX_NAMES: usize = 256 * 1024 * 1024;
/// How names begin that say in a layer that a file of the layers below is removed (image
/// specification, `layer.md`, "Whiteouts").
const WHITEOUT: &[u8] = b".wh.";

/// Where the bytes of a file are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// A file of the system.
    File(PathBuf),
    /// An offset in the archive that is read.
    Archive(u64),
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder,
    File {
        size: u64,
        content: Content,
    },
    /// A symbolic link, and its target as it is written.
    Symlink(Vec<u8>),
    /// The same file as the one at this path.
    Hardlink(Vec<u8>),
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    /// The permission bits, with set-user-id, set-group-id and sticky.
    pub(crate) mode: u32,
}

/// The entries of a layer by their paths, which have neither `.` nor `..` in them and do not begin
/// with `/`.
#[derive(Debug)]
pub(crate) struct Tree {
    /// What errors call the source.
    source: String,
    entries: BTreeMap<Vec<u8>, Entry>,
    /// Of all files together.
    bytes: u64,
    /// Of all paths and targets of links together.
    names: usize,
}

impl Tree {
    pub(crate) fn new(source: String) -> Self {
        Self {
            source,
            entries: BTreeMap::new(),
            bytes: 0,
            names: 0,
        }
    }

    /// An error about what is at `path`.
    pub(crate) fn refuse(&self, path: &[u8], problem: impl Into<String>) -> LayerError {
        LayerError::Entry {
            source_name: self.source.clone(),
            path: path.escape_ascii().to_string(),
            problem: problem.into(),
        }
    }

    /// An error about the source as a whole.
    pub(crate) fn refuse_all(&self, problem: impl Into<String>) -> LayerError {
        LayerError::Source {
            source_name: self.source.clone(),
            problem: problem.into(),
        }
    }

    /// Adds what is at `path`. The folder itself, `.`, is no entry of a layer.
    pub(crate) fn add(&mut self, path: &[u8], kind: Kind, mode: u32) -> Result<(), LayerError> {
        let path = self.path(path)?;
        if path.is_empty() {
            return match kind {
                Kind::Folder => Ok(()),
                _ => Err(self.refuse(b".", "is no folder")),
            };
        }
        let kind = match kind {
            Kind::Hardlink(target) => Kind::Hardlink(self.path(&target)?),
            Kind::Symlink(target) => {
                self.check_target(&path, &target)?;
                Kind::Symlink(target)
            }
            other => other,
        };
        if let Kind::File { size, .. } = &kind {
            self.bytes = self.bytes.saturating_add(*size);
            if self.bytes > MAX_BYTES {
                return Err(self.refuse_all(format!("has files of more than {MAX_BYTES} bytes")));
            }
        }
        if let Some(before) = self.entries.get(&path)
            && (before.kind != Kind::Folder || kind != Kind::Folder)
        {
            return Err(self.refuse(&path, "is there twice: leave one of them out"));
        }
        self.insert(path, Entry { kind, mode })
    }

    /// Inserts an entry, within the bounds.
    fn insert(&mut self, path: Vec<u8>, entry: Entry) -> Result<(), LayerError> {
        let target = match &entry.kind {
            Kind::Symlink(target) | Kind::Hardlink(target) => target.len(),
            Kind::Folder | Kind::File { .. } => 0,
        };
        self.names = self.names.saturating_add(path.len() + target);
        if self.names > MAX_NAMES {
            return Err(self.refuse_all(format!("has paths of more than {MAX_NAMES} bytes")));
        }
        self.entries.insert(path, entry);
        if self.entries.len() > MAX_ENTRIES {
            return Err(self.refuse_all(format!("has more than {MAX_ENTRIES} entries")));
        }
        Ok(())
    }

    /// A path without `.` and without slashes at its ends.
    fn path(&self, path: &[u8]) -> Result<Vec<u8>, LayerError> {
        if path.len() > MAX_PATH {
            let start = path.get(..64).unwrap_or_default();
            return Err(self.refuse(start, format!("… is longer than {MAX_PATH} bytes")));
        }
        let mut components: Vec<&[u8]> = Vec::new();
        for component in path.split(|byte| *byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." => {
                    return Err(self.refuse(path, "leads out of the layer: remove the '..'"));
                }
                name if name.contains(&0) => {
                    return Err(self.refuse(path, "has a zero byte in its name"));
                }
                name if name.starts_with(WHITEOUT) => {
                    let problem = "begins with '.wh.', which in a layer removes a file of the \
                                   image below: rename or remove it";
                    return Err(self.refuse(path, problem));
                }
                name => components.push(name),
            }
        }
        Ok(components.join(&b'/'))
    }

    /// A symbolic link leads somewhere below the root of the image that gets the layer.
    fn check_target(&self, path: &[u8], target: &[u8]) -> Result<(), LayerError> {
        if target.is_empty() || target.len() > MAX_PATH || target.contains(&0) {
            return Err(self.refuse(path, "is a symbolic link to nothing that is a path"));
        }
        let slashes = path.iter().filter(|byte| **byte == b'/').count();
        let mut depth = if target.first() == Some(&b'/') {
            0
        } else {
            slashes
        };
        for component in target.split(|byte| *byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." if depth == 0 => {
                    let problem = format!(
                        "is a symbolic link to '{}', which leads out of the layer",
                        target.escape_ascii()
                    );
                    return Err(self.refuse(path, problem));
                }
                b".." => depth -= 1,
                _ => depth += 1,
            }
        }
        Ok(())
    }

    /// All entries in the order of their paths: with the folders that lead to each, and with the
    /// content of files of several names at the first of these.
    pub(crate) fn finish(mut self) -> Result<BTreeMap<Vec<u8>, Entry>, LayerError> {
        if self.entries.is_empty() {
            return Err(self.refuse_all("is empty: a layer has at least one file or folder"));
        }
        self.add_parents()?;
        for (file, mut names) in self.hardlinks()? {
            names.push(file.clone());
            names.sort();
            let Some(content) = self.entries.get(&file).cloned() else {
                continue;
            };
            let mut names = names.into_iter();
            let first = names.next().unwrap_or(file);
            for name in names {
                let kind = Kind::Hardlink(first.clone());
                let mode = content.mode;
                self.entries.insert(name, Entry { kind, mode });
            }
            self.entries.insert(first, content);
        }
        Ok(self.entries)
    }

    fn add_parents(&mut self) -> Result<(), LayerError> {
        let paths: Vec<Vec<u8>> = self.entries.keys().cloned().collect();
        for path in &paths {
            let mut path = path.as_slice();
            while let Some(at) = path.iter().rposition(|byte| *byte == b'/') {
                let parent = path.get(..at).unwrap_or_default();
                match self.entries.get(parent).map(|entry| &entry.kind) {
                    // What leads to it is looked at when it is its turn.
                    Some(Kind::Folder) => break,
                    Some(_) => {
                        let problem = format!("is below '{}', no folder", parent.escape_ascii());
                        return Err(self.refuse(path, problem));
                    }
                    None => {
                        let (kind, mode) = (Kind::Folder, 0o755);
                        self.insert(parent.to_owned(), Entry { kind, mode })?;
                    }
                }
                path = parent;
            }
        }
        Ok(())
    }

    /// The further names of each file that has any.
    fn hardlinks(&self) -> Result<BTreeMap<Vec<u8>, Vec<Vec<u8>>>, LayerError> {
        let mut names: BTreeMap<Vec<u8>, Vec<Vec<u8>>> = BTreeMap::new();
        for (path, entry) in &self.entries {
            let Kind::Hardlink(target) = &entry.kind else {
                continue;
            };
            match self.entries.get(target).map(|entry| &entry.kind) {
                Some(Kind::File { .. }) => {
                    names.entry(target.clone()).or_default().push(path.clone());
                }
                _ => {
                    let problem = format!(
                        "is a hard link to '{}', which is no file of the layer",
                        target.escape_ascii()
                    );
                    return Err(self.refuse(path, problem));
                }
            }
        }
        Ok(names)
    }
}
