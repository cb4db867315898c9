//! Scans a tar file without unpacking it, for the offsets of each part of the layout.
//!
//! Links, devices, absolute paths and `..` are refused everywhere, though nothing is ever written
//! to a path (CVE-2026-50163). Files that are no part of a layout are skipped.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Component, Path};
use std::rc::Rc;

use metahub_oci::Digest;
use tar::EntryType;

use crate::{BLOBS, BundleError, INDEX_FILE, LAYOUT_FILE};

/// Most files of one archive.
const MAX_FILES: usize = 2_000_000;
/// Most that is read between two files, in bytes: long names and the like.
pub(crate) const MAX_HEADERS: u64 = 1024 * 1024;

/// A part of the archive's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

impl Span {
    pub(crate) fn end(self) -> Option<u64> {
        self.offset.checked_add(self.size)
    }
}

/// The offsets of a layout's parts.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub(crate) layout: Option<Span>,
    pub(crate) index: Option<Span>,
    pub(crate) blobs: HashMap<Digest, Span>,
}

/// What a path in an archive means.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Layout,
    Index,
    Blob(Digest),
    Other,
}

/// Finds the parts of the archive `file`, whose name is for messages.
pub(crate) fn scan(file: &File, path: &Path) -> Result<Parts, BundleError> {
    let length = file
        .metadata()
        .map_err(|error| BundleError::io("read", path, error))?
        .len();
    let malformed = |problem: String| BundleError::malformed(path, problem);
    let budget = Rc::new(Cell::new(MAX_HEADERS));
    let mut archive = tar::Archive::new(Bounded {
        file,
        budget: Rc::clone(&budget),
    });
    let mut parts = Parts::default();
    let entries = archive
        .entries_with_seek()
        .map_err(|error| malformed(error.to_string()))?;
    for (count, entry) in entries.enumerate() {
        if count >= MAX_FILES {
            return Err(malformed(format!("it has more than {MAX_FILES} files")));
        }
        let entry = entry.map_err(|error| {
            malformed(format!(
                "expected a tar file of an OCI image layout: {error}"
            ))
        })?;
        budget.set(MAX_HEADERS);
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => {}
            EntryType::Directory => {
                part(&name).map_err(malformed)?;
                continue;
            }
            // A comment about the whole archive.
            EntryType::XGlobalHeader => continue,
            other => {
                return Err(malformed(format!(
                    "'{name}' is no plain file but a {}: links and devices are not taken",
                    kind(other)
                )));
            }
        }
        let span = Span {
            offset: entry.raw_file_position(),
            size: entry.size(),
        };
        if span.end().is_none_or(|end| end > length) {
            return Err(malformed(format!(
                "it ends within '{name}': it was cut off. Copy or export it again"
            )));
        }
        let twice = match part(&name).map_err(malformed)? {
            Part::Layout => parts.layout.replace(span).is_some(),
            Part::Index => parts.index.replace(span).is_some(),
            Part::Blob(digest) => parts.blobs.insert(digest, span).is_some(),
            Part::Other => false,
        };
        if twice {
            return Err(malformed(format!("'{name}' stands in it twice")));
        }
    }
    Ok(parts)
}

/// What a file of an archive is by its name; or why no archive should have such a name.
fn part(name: &str) -> Result<Part, String> {
    let mut components = Vec::new();
    for component in Path::new(name).components() {
        match component {
            Component::Normal(text) => components.push(text.to_str().unwrap_or_default()),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(format!("the path '{name}' leads out of the archive"));
            }
        }
    }
    Ok(match components.as_slice() {
        [LAYOUT_FILE] => Part::Layout,
        [INDEX_FILE] => Part::Index,
        [BLOBS, algorithm, hex] => match format!("{algorithm}:{hex}").parse() {
            Ok(digest) => Part::Blob(digest),
            Err(_) => Part::Other,
        },
        _ => Part::Other,
    })
}

fn kind(entry: EntryType) -> &'static str {
    match entry {
        EntryType::Link => "hard link",
        EntryType::Symlink => "symbolic link",
        EntryType::Char | EntryType::Block => "device",
        EntryType::Fifo => "pipe",
        EntryType::GNUSparse => "file with holes",
        _ => "thing of another kind",
    }
}

/// A file of which only so much is read between two calls that renew the budget. Jumping over
/// content costs nothing.
pub(crate) struct Bounded<'f> {
    pub(crate) file: &'f File,
    pub(crate) budget: Rc<Cell<u64>>,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        match self.budget.get().checked_sub(read as u64) {
            Some(left) => self.budget.set(left),
            None => {
                return Err(io::Error::other(format!(
                    "the name of a file takes more than {MAX_HEADERS} bytes"
                )));
            }
        }
        Ok(read)
    }
}

impl Seek for Bounded<'_> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.file.seek(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_part_of_the_layout_something_else_or_refused() {
        let hex = "0".repeat(64);
        let digest: Digest = format!("sha256:{hex}").parse().unwrap();
        for (name, expected) in [
            ("oci-layout", Part::Layout),
            ("./index.json", Part::Index),
            (&format!("blobs/sha256/{hex}"), Part::Blob(digest.clone())),
            (&format!("./blobs/sha256/{hex}"), Part::Blob(digest)),
            ("blobs/sha256/short", Part::Other),
            ("manifest.json", Part::Other),
            ("folder/index.json", Part::Other),
        ] {
            assert_eq!(part(name), Ok(expected), "{name}");
        }
        for name in ["/index.json", "../index.json", "blobs/../../x", "a/.."] {
            assert!(part(name).is_err(), "{name}");
        }
    }
}
