//! Archives of `docker save` (image specification 1.2 of Docker): `manifest.json` names the
//! configuration and the layers of each image. They are found without unpacking; links are followed
//! within the archive only.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use serde::Deserialize;
use tar::EntryType;

use crate::BundleError;
use crate::read::read_span;
use crate::scan::Span;

/// Most files of one archive.
const MAX_FILES: usize = 100_000;
/// Longest `manifest.json` and longest configuration, in bytes.
const MAX_JSON: u64 = 4 << 20;
/// Links that are followed from one file on.
const MAX_LINKS: usize = 8;

/// An archive of `docker save`.
#[derive(Debug)]
pub struct DockerArchive {
    file: File,
    path: std::path::PathBuf,
    files: HashMap<String, Found>,
    images: Vec<DockerImage>,
}

#[derive(Debug)]
enum Found {
    At(Span),
    Link(String),
}

/// One image of such an archive.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DockerImage {
    /// The file of its configuration.
    pub config: String,
    /// What it is called, such as `lab/app:1`.
    #[serde(default)]
    pub repo_tags: Option<Vec<String>>,
    /// The files of its layers, the lowest first.
    pub layers: Vec<String>,
}

impl DockerArchive {
    /// Opens the archive at `path` and looks through it. Blocks.
    ///
    /// # Errors
    /// When it cannot be read, or is no such archive.
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        let file = File::open(path).map_err(|error| BundleError::io("open", path, error))?;
        let files = scan(&file, path)?;
        let mut archive = Self {
            file,
            path: path.to_owned(),
            files,
            images: Vec::new(),
        };
        let text = archive.bytes("manifest.json")?;
        archive.images = serde_json::from_slice(&text)
            .map_err(|error| BundleError::malformed(path, format!("its manifest.json: {error}")))?;
        Ok(archive)
    }

    /// The images of the archive.
    #[must_use]
    pub fn images(&self) -> &[DockerImage] {
        &self.images
    }

    /// A small file of the archive.
    ///
    /// # Errors
    /// When it is not there or too long.
    pub fn bytes(&self, name: &str) -> Result<Vec<u8>, BundleError> {
        read_span(&self.file, &self.path, self.find(name)?, MAX_JSON)
    }

    /// A file of the archive as a stream.
    ///
    /// # Errors
    /// When it is not there.
    pub fn reader(&self, name: &str) -> Result<impl std::io::Read + Send + 'static, BundleError> {
        let span = self.find(name)?;
        let file = self.file.try_clone();
        let file = file.map_err(|error| BundleError::io("read", &self.path, error))?;
        Ok(SpanReader { file, span })
    }

    fn find(&self, name: &str) -> Result<Span, BundleError> {
        let mut name = name.to_owned();
        for _ in 0..MAX_LINKS {
            match self.files.get(&name) {
                Some(Found::At(span)) => return Ok(*span),
                Some(Found::Link(target)) => name.clone_from(target),
                None => break,
            }
        }
        let problem = format!("it has no file {name:?}");
        Err(BundleError::malformed(&self.path, problem))
    }
}

/// A part of a file as a stream.
#[derive(Debug)]
struct SpanReader {
    file: File,
    span: Span,
}

impl std::io::Read for SpanReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = usize::try_from(self.span.size)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let buffer = buffer.get_mut(..length).unwrap_or_default();
        let read = std::os::unix::fs::FileExt::read_at(&self.file, buffer, self.span.offset)?;
        self.span.offset += read as u64;
        self.span.size -= read as u64;
        Ok(read)
    }
}

fn scan(file: &File, path: &Path) -> Result<HashMap<String, Found>, BundleError> {
    let malformed = |problem: String| BundleError::malformed(path, problem);
    let length = file
        .metadata()
        .map_err(|error| BundleError::io("read", path, error))?
        .len();
    let mut archive = tar::Archive::new(file);
    let entries = archive
        .entries_with_seek()
        .map_err(|error| malformed(error.to_string()))?;
    let mut files = HashMap::new();
    for entry in entries {
        let entry = entry
            .map_err(|error| malformed(format!("expected an archive of docker save: {error}")))?;
        if files.len() >= MAX_FILES {
            return Err(malformed(format!("it has more than {MAX_FILES} files")));
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let name = name.strip_prefix("./").unwrap_or(&name).to_owned();
        match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => {
                let (offset, size) = (entry.raw_file_position(), entry.size());
                if offset.checked_add(size).is_none_or(|end| end > length) {
                    return Err(malformed(format!(
                        "it ends within '{name}': it was cut off"
                    )));
                }
                files.insert(name, Found::At(Span { offset, size }));
            }
            EntryType::Symlink | EntryType::Link => {
                let target = entry.link_name_bytes().unwrap_or_default();
                let target = String::from_utf8_lossy(&target).into_owned();
                files.insert(name.clone(), Found::Link(beside(&name, &target)));
            }
            _ => {}
        }
    }
    Ok(files)
}

/// Where a link leads, from the folder of `name`: older archives link layers as `../ID/layer.tar`.
fn beside(name: &str, target: &str) -> String {
    let mut parts: Vec<&str> = match target.starts_with("..") {
        true => name
            .rsplit_once('/')
            .map_or(Vec::new(), |(folder, _)| folder.split('/').collect()),
        false => Vec::new(),
    };
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(entries: &[(&str, EntryType, &str)]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut builder = tar::Builder::new(file.reopen().unwrap());
        for (name, kind, text) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            if *kind == EntryType::Symlink {
                header.set_size(0);
                builder.append_link(&mut header, name, text).unwrap();
            } else {
                header.set_size(text.len() as u64);
                builder
                    .append_data(&mut header, name, text.as_bytes())
                    .unwrap();
            }
        }
        builder.finish().unwrap();
        file
    }

    #[test]
    fn layers_are_found_also_through_links() {
        let manifest =
            r#"[{"Config":"c.json","RepoTags":["a:1"],"Layers":["x/layer.tar","y/layer.tar"]}]"#;
        let file = archive(&[
            ("manifest.json", EntryType::Regular, manifest),
            ("c.json", EntryType::Regular, "{}"),
            ("x/layer.tar", EntryType::Regular, "layer"),
            ("y/layer.tar", EntryType::Symlink, "../x/layer.tar"),
            ("z/layer.tar", EntryType::Symlink, "../z/layer.tar"),
        ]);
        let archive = DockerArchive::open(file.path()).unwrap();
        let image = archive.images().first().unwrap();
        assert_eq!(image.repo_tags.as_deref(), Some(&["a:1".to_owned()][..]));
        for layer in &image.layers {
            let text = std::io::read_to_string(archive.reader(layer).unwrap()).unwrap();
            assert_eq!(text, "layer");
        }
        assert_eq!(archive.bytes("c.json").unwrap(), b"{}");
        // One that leads to itself, and one that is not there.
        assert!(archive.bytes("z/layer.tar").is_err());
        assert!(archive.bytes("../etc/passwd").is_err());
    }

    #[test]
    fn what_is_no_such_archive_is_refused() {
        let file = archive(&[("other", EntryType::Regular, "text")]);
        assert!(DockerArchive::open(file.path()).is_err());
        let file = archive(&[("manifest.json", EntryType::Regular, "{}")]);
        assert!(DockerArchive::open(file.path()).is_err());
    }
}
