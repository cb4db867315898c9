//! A built layer, and its temporary file.

use std::fs::File;
use std::io;
use std::path::Path;

use metahub_oci::{Digest, MediaType};
use tempfile::NamedTempFile;

use super::error::LayerError;
use super::pack::Packer;
use super::settings::{Compression, LayerSettings};
use super::tree::Tree;
use super::{archive, folder};

/// A layer that was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltLayer {
    /// The digest of the compressed file.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// The digest of the tar file, for `rootfs.diff_ids`.
    pub diff_id: Digest,
    /// The length of the tar file in bytes.
    pub unpacked: u64,
    /// How many files, folders and links it has.
    pub entries: usize,
    /// How it is compressed.
    pub compression: Compression,
}

impl BuiltLayer {
    /// The media type of the layer.
    #[must_use]
    pub fn media_type(&self) -> &'static str {
        match self.compression {
            Compression::Gzip => MediaType::OCI_LAYER_GZIP,
            Compression::Zstd => MediaType::OCI_LAYER_ZSTD,
        }
    }
}

/// A built layer in a temporary file, which is removed when this is dropped.
#[derive(Debug)]
pub struct LayerFile {
    /// What was built.
    pub built: BuiltLayer,
    file: NamedTempFile,
}

impl LayerFile {
    /// Builds the layer of the folder or tar file at `source`. Blocks.
    ///
    /// # Errors
    /// What cannot be read, or has no place in a layer.
    pub fn build(source: &Path, settings: &LayerSettings) -> Result<Self, LayerError> {
        let mut tree = Tree::new(source.display().to_string());
        let metadata = source.metadata();
        let metadata = metadata.map_err(|error| LayerError::io("read", source, error))?;
        let archive = if metadata.is_dir() {
            folder::read(source, &mut tree)?;
            None
        } else if metadata.is_file() {
            Some(archive::read(source, &mut tree)?)
        } else {
            return Err(tree.refuse_all("is neither a folder nor a tar file"));
        };
        let entries = tree.finish()?;
        let file = NamedTempFile::new();
        let temporary = std::env::temp_dir();
        let file = file.map_err(|error| LayerError::io("write into", &temporary, error))?;
        let mut packer = Packer::begin(file.as_file(), file.path(), archive.as_ref(), settings)?;
        for (path, entry) in &entries {
            packer.add(path, entry)?;
        }
        let packed = packer.finish()?;
        let built = BuiltLayer {
            digest: packed.digest,
            size: packed.size,
            diff_id: packed.diff_id,
            unpacked: packed.unpacked,
            entries: entries.len(),
            compression: settings.compression,
        };
        Ok(Self { built, file })
    }

    /// The temporary file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Opens the layer at its beginning.
    ///
    /// # Errors
    /// When the temporary file is gone.
    pub fn open(&self) -> io::Result<File> {
        self.file.reopen()
    }
}
