//! The stored copy of a followed catalog: one file in the data folder, written whole or not at
//! all. Every text in it is verified against its digest when it is read.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use metahub_oci::Digest;
use metahub_operations::FetchedCatalog;
use serde::{Deserialize, Serialize};

/// The folder's name in the data folder.
const FOLDER: &str = "followed";
/// Largest file: a catalog has at most 32 MiB, and its JSON six times as much.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// A catalog as it was fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stored {
    /// Its name in the configuration.
    pub(crate) catalog: String,
    /// The digest of its manifest.
    pub(crate) digest: Digest,
    /// The registry's validator of the tag.
    pub(crate) etag: Option<String>,
    /// The key that signed it, by the digest of its DER form.
    pub(crate) verified_by: Option<Digest>,
    pub(crate) files: Vec<StoredFile>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredFile {
    pub(crate) title: String,
    pub(crate) digest: Digest,
    pub(crate) text: String,
}

/// The status of a followed catalog, for `metahub catalog list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) catalog: String,
    /// The manifest in use.
    pub(crate) digest: Option<Digest>,
    pub(crate) files: usize,
    pub(crate) verified_by: Option<Digest>,
    /// Why the tag's current version is not in use, if so.
    pub(crate) problem: Option<String>,
}

impl Stored {
    pub(super) fn of(catalog: &str, fetched: FetchedCatalog) -> Self {
        let files = fetched.files.into_iter().map(|file| StoredFile {
            title: file.title,
            digest: Digest::sha256(&file.bytes),
            text: String::from_utf8_lossy(&file.bytes).into_owned(),
        });
        Self {
            catalog: catalog.to_owned(),
            digest: fetched.digest,
            etag: fetched.etag,
            verified_by: fetched.verified_by,
            files: files.collect(),
        }
    }

    /// The copy of `catalog` in a data folder, if there is one.
    pub(crate) fn read(data: &Path, catalog: &str) -> Result<Option<Self>, String> {
        let file = path(data, catalog, "json");
        let shown = |problem: &str| format!("{}: {problem}", file.display());
        match fs::metadata(&file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(shown(&error.to_string())),
            Ok(found) if found.len() > MAX_BYTES => return Err(shown("it is too large")),
            Ok(_) => {}
        }
        let bytes = fs::read(&file).map_err(|error| shown(&error.to_string()))?;
        let stored: Self =
            serde_json::from_slice(&bytes).map_err(|error| shown(&error.to_string()))?;
        let damaged = stored
            .files
            .iter()
            .find(|file| !file.digest.matches(file.text.as_bytes()));
        if let Some(damaged) = damaged {
            return Err(shown(&format!("'{}' is damaged", damaged.title)));
        }
        Ok(Some(stored))
    }

    pub(super) fn write(&self, data: &Path) -> std::io::Result<()> {
        write(data, &self.catalog, "json", self)
    }
}

impl Status {
    pub(super) fn write(&self, data: &Path) -> std::io::Result<()> {
        write(data, &self.catalog, "status", self)
    }

    /// The status of `catalog` in the data folder.
    pub(crate) fn read(data: &Path, catalog: &str) -> Self {
        let told = fs::read(path(data, catalog, "status")).ok();
        let told = told.and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        told.unwrap_or_else(|| {
            let (stored, problem) = match Stored::read(data, catalog) {
                Ok(stored) => (stored, None),
                Err(problem) => (None, Some(problem)),
            };
            Self {
                catalog: catalog.to_owned(),
                files: stored.as_ref().map_or(0, |stored| stored.files.len()),
                verified_by: stored.as_ref().and_then(|s| s.verified_by.clone()),
                digest: stored.map(|stored| stored.digest),
                problem,
            }
        })
    }
}

/// The file of a catalog: named by a digest, because a reference has characters that a file name
/// should not have.
fn path(data: &Path, catalog: &str, extension: &str) -> PathBuf {
    let name = Digest::sha256(catalog.as_bytes());
    data.join(FOLDER)
        .join(format!("{}.{extension}", name.hex()))
}

fn write(
    data: &Path,
    catalog: &str,
    extension: &str,
    content: &impl Serialize,
) -> std::io::Result<()> {
    let file = path(data, catalog, extension);
    let folder = data.join(FOLDER);
    fs::create_dir_all(&folder)?;
    let whole = file.with_extension(format!("{extension}.new"));
    let mut writing = File::create(&whole)?;
    writing.write_all(&serde_json::to_vec(content)?)?;
    writing.sync_all()?;
    fs::rename(&whole, &file)?;
    File::open(&folder)?.sync_all()
}
