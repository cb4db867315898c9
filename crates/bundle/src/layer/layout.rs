//! Writes a layer image into an OCI image layout: into a folder that may hold others, or as an
//! archive of its own.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use metahub_oci::{Descriptor, Digest, Document, MediaType};
use serde_json::{Value, json};

use super::built::{BuiltLayer, LayerFile};
use super::error::LayerError;
use super::image::{LayerImage, name_of};
use super::pack::Counted;
use crate::{BLOBS, BundleError, BundleWriter, INDEX_FILE, LAYOUT, LAYOUT_FILE};

/// Puts the image under `name` into the layout at `folder`, which is made if it is missing. What
/// had that name before is no longer listed. Blocks.
///
/// # Errors
/// A folder that is no layout, or cannot be written.
pub fn write_layout(
    folder: &Path,
    name: &str,
    image: &LayerImage,
    layer: &LayerFile,
) -> Result<(), LayerError> {
    let others = others(folder, name)?;
    let blobs = folder.join(BLOBS).join("sha256");
    fs::create_dir_all(&blobs).map_err(|error| LayerError::io("write", &blobs, error))?;
    put(&folder.join(LAYOUT_FILE), LAYOUT)?;
    let path = blobs.join(layer.built.digest.hex());
    if !is_there(&path, &layer.built.digest, layer.built.size)? {
        place(layer, &path)?;
    }
    for bytes in image.blobs() {
        put(&blobs.join(Digest::sha256(bytes).hex()), bytes)?;
    }
    put(&folder.join(INDEX_FILE), &index(image, name, others))
}

/// Writes the image under `name` as the archive `file`, replacing an existing file. Blocks.
///
/// # Errors
/// A file that cannot be written.
pub fn write_layout_archive(
    file: &Path,
    name: &str,
    image: &LayerImage,
    layer: &LayerFile,
) -> Result<(), BundleError> {
    let mut wanted: HashMap<Digest, u64> = image
        .blobs()
        .map(|bytes| (Digest::sha256(bytes), bytes.len() as u64))
        .collect();
    let BuiltLayer { digest, size, .. } = &layer.built;
    wanted.insert(digest.clone(), *size);
    let mut writer = BundleWriter::begin(file, &wanted)?;
    if !writer.has(digest) {
        let mut content = layer
            .open()
            .map_err(|error| BundleError::io("read", layer.path(), error))?;
        writer.add(digest, *size, &mut content, |_| {})?;
    }
    for bytes in image.blobs() {
        let digest = Digest::sha256(bytes);
        if !writer.has(&digest) {
            let size = bytes.len() as u64;
            writer.add(&digest, size, &mut bytes.as_ref(), |_| {})?;
        }
    }
    writer.finish(&index(image, name, Vec::new()))?;
    Ok(())
}

fn index(image: &LayerImage, name: &str, mut others: Vec<Value>) -> Bytes {
    others.push(Value::Object(image.entry(name)));
    let index = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_INDEX,
        "manifests": others,
    });
    Bytes::from(index.to_string())
}

/// The other images that the layout lists, without `name`. A folder with anything else in it is
/// refused.
fn others(folder: &Path, name: &str) -> Result<Vec<Value>, LayerError> {
    let mut found = match fs::read_dir(folder) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(LayerError::io("read", folder, error)),
    };
    if found.next().is_none() {
        return Ok(Vec::new());
    }
    let wrong = |problem: String| LayerError::Layout {
        path: folder.to_owned(),
        problem,
    };
    if !folder.join(LAYOUT_FILE).is_file() {
        let problem = "is no OCI image layout, and it is not empty: name another folder";
        return Err(wrong(problem.to_owned()));
    }
    let path = folder.join(INDEX_FILE);
    let length = fs::metadata(&path).map_err(|error| LayerError::io("read", &path, error))?;
    if length.len() > metahub_oci::MAX_MANIFEST_BYTES as u64 {
        return Err(wrong(format!("has an {INDEX_FILE} that is too long")));
    }
    let bytes = fs::read(&path).map_err(|error| LayerError::io("read", &path, error))?;
    match Document::parse(bytes.into(), Some(&MediaType::oci_index())) {
        Ok(Document::Index(index)) => {
            let others = index.manifests().iter();
            let others = others.filter(|entry| name_of(entry) != Some(name));
            Ok(others
                .map(Descriptor::as_json)
                .cloned()
                .map(Value::Object)
                .collect())
        }
        Ok(Document::Manifest(_)) => Err(wrong(format!("has an {INDEX_FILE} that is none"))),
        Err(error) => Err(wrong(format!("has an {INDEX_FILE} that is none: {error}"))),
    }
}

fn is_there(path: &Path, digest: &Digest, size: u64) -> Result<bool, LayerError> {
    match File::open(path) {
        Ok(mut file) => {
            let mut hasher = Counted::new(io::sink());
            let copied = io::copy(&mut file, &mut hasher);
            let copied = copied.map_err(|error| LayerError::io("read", path, error))?;
            Ok(copied == size && hasher.digest() == *digest)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(LayerError::io("read", path, error)),
    }
}

/// The file that `path` is until it is whole.
fn staging(path: &Path) -> PathBuf {
    crate::write::partial(path)
}

fn place(layer: &LayerFile, path: &Path) -> Result<(), LayerError> {
    let new = staging(path);
    let copy = || {
        let mut from = layer.open()?;
        from.seek(SeekFrom::Start(0))?;
        let mut to = File::create(&new)?;
        io::copy(&mut from, &mut to)?;
        to.sync_all()?;
        fs::rename(&new, path)
    };
    copy().map_err(|error| LayerError::io("write", path, error))
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), LayerError> {
    let new = staging(path);
    let write = || {
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().map_err(|error| LayerError::io("write", path, error))
}
