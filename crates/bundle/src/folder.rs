//! Images in a folder: an OCI image layout (image specification, `image-layout.md`), or the files
//! that `skopeo copy --all IMAGE dir:FOLDER` writes: `manifest.json`, and content under its hex
//! digest, manifests with the suffix `.manifest.json`.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use metahub_oci::{Descriptor, Digest, Document, MAX_MANIFEST_BYTES, MediaType};

use crate::{BLOBS, BundleError, INDEX_FILE, LAYOUT_FILE};

/// The image of a folder that is no layout.
const MANIFEST_FILE: &str = "manifest.json";

/// How content is named in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FolderForm {
    /// `blobs/sha256/HEX`.
    Layout,
    /// `HEX`, or `HEX.manifest.json`.
    Plain,
}

/// A folder with images.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    form: FolderForm,
    entries: Vec<Descriptor>,
    /// The document in `manifest.json`, which is not stored under its digest.
    root: Option<Document>,
}

impl Folder {
    /// Reads what the folder at `path` lists. Blocks.
    pub(crate) fn open(path: &Path) -> Result<Self, BundleError> {
        let limit = MAX_MANIFEST_BYTES as u64;
        let malformed =
            |file: &str, problem: String| BundleError::malformed(&path.join(file), problem);
        if path.join(LAYOUT_FILE).exists() {
            let bytes = read(&path.join(INDEX_FILE), limit)?;
            return match Document::parse(bytes, Some(&MediaType::oci_index())) {
                Ok(Document::Index(index)) => Ok(Self {
                    path: path.to_owned(),
                    form: FolderForm::Layout,
                    entries: index.manifests().to_vec(),
                    root: None,
                }),
                Ok(Document::Manifest(_)) => {
                    Err(malformed(INDEX_FILE, "expected an index".to_owned()))
                }
                Err(error) => Err(malformed(INDEX_FILE, error.to_string())),
            };
        }
        if !path.join(MANIFEST_FILE).exists() {
            let problem = "expected an OCI image layout, which has a file oci-layout, or a folder \
                           with a manifest.json as `skopeo copy --all IMAGE dir:FOLDER` writes it";
            return Err(BundleError::malformed(path, problem));
        }
        let bytes = read(&path.join(MANIFEST_FILE), limit)?;
        let root = Document::parse(bytes, None)
            .map_err(|error| malformed(MANIFEST_FILE, error.to_string()))?;
        Ok(Self {
            path: path.to_owned(),
            form: FolderForm::Plain,
            entries: vec![root.descriptor()],
            root: Some(root),
        })
    }

    /// What it lists.
    pub(crate) fn entries(&self) -> &[Descriptor] {
        &self.entries
    }

    /// The bytes that a digest names, not verified; nothing if they are not there. Blocks.
    pub(crate) fn bytes(&self, digest: &Digest, limit: u64) -> Result<Option<Bytes>, BundleError> {
        if let Some(root) = self.root.as_ref().filter(|root| root.digest() == digest) {
            return Ok(Some(root.bytes().clone()));
        }
        let file = self.paths(digest).into_iter().find(|file| file.exists());
        file.map(|file| read(&file, limit)).transpose()
    }

    /// The file that a digest names, opened; nothing if it is not there. Blocks.
    pub(crate) fn file(&self, digest: &Digest) -> Result<Option<File>, BundleError> {
        let path = self.paths(digest).into_iter().find(|file| file.exists());
        path.map(|path| open(&path)).transpose()
    }

    fn paths(&self, digest: &Digest) -> Vec<PathBuf> {
        let names = match self.form {
            FolderForm::Layout => vec![format!("{BLOBS}/{}/{}", digest.algorithm(), digest.hex())],
            FolderForm::Plain => vec![
                format!("{}.manifest.json", digest.hex()),
                digest.hex().to_owned(),
            ],
        };
        names.into_iter().map(|name| self.path.join(name)).collect()
    }
}

/// A plain file, opened.
fn open(path: &Path) -> Result<File, BundleError> {
    let failed = |error| BundleError::io("read", path, error);
    // Before it is opened: opening a named pipe waits for a writer.
    let metadata = path.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(BundleError::malformed(path, "expected a plain file"));
    }
    File::open(path).map_err(failed)
}

/// A plain file of at most `limit` bytes.
fn read(path: &Path, limit: u64) -> Result<Bytes, BundleError> {
    let failed = |error| BundleError::io("read", path, error);
    let mut bytes = Vec::new();
    let file = open(path)?;
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > limit {
        let problem = format!("it is too long: at most {limit} bytes are read");
        return Err(BundleError::malformed(path, problem));
    }
    Ok(Bytes::from(bytes))
}
