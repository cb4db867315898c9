//! Image layers as tar archives in gzip, the same bytes on every machine.
//!
//! Owner 0, time 0, entries in the order given. The gzip member holds its data uncompressed
//! ("stored"): compressors choose differently by version and by CPU, and demo layers are tiny.

use std::io::Write as _;

use bytes::Bytes;
use flate2::{Compression, GzBuilder};
use metahub_oci::Digest;
use tar::{Builder, EntryType, Header};

use crate::DemoError;

/// One entry of a layer.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A folder; its parents must come before it.
    Folder {
        /// Path without a leading slash.
        path: &'static str,
        /// Permission bits.
        mode: u32,
    },
    /// A regular file; its folder must come before it.
    File {
        /// Path without a leading slash.
        path: &'static str,
        /// Permission bits.
        mode: u32,
        /// The content of the file.
        content: Vec<u8>,
    },
}

impl Entry {
    /// A folder that everyone may enter and its owner may change.
    #[must_use]
    pub const fn folder(path: &'static str) -> Self {
        Self::Folder { path, mode: 0o755 }
    }

    /// A file that everyone may read.
    #[must_use]
    pub fn text(path: &'static str, content: &str) -> Self {
        Self::File {
            path,
            mode: 0o644,
            content: content.as_bytes().to_vec(),
        }
    }

    /// A file that everyone may run.
    #[must_use]
    pub const fn program(path: &'static str, content: Vec<u8>) -> Self {
        Self::File {
            path,
            mode: 0o755,
            content,
        }
    }
}

/// A layer: its blob and what documents say about it.
#[derive(Clone, Debug)]
pub struct Layer {
    created_by: String,
    blob: Bytes,
    digest: Digest,
    diff_id: Digest,
}

impl Layer {
    /// Packs `entries`, in order. `created_by` is what the image's history says of the layer.
    ///
    /// # Errors
    /// [`DemoError::Archive`] for a path that a tar header cannot hold.
    pub fn pack(created_by: &str, entries: &[Entry]) -> Result<Self, DemoError> {
        let mut archive = Builder::new(Vec::new());
        for entry in entries {
            append(&mut archive, entry)?;
        }
        let archive = archive.into_inner()?;
        // Operating system 255 is "unknown": the host must not show in the bytes.
        let mut gzip = GzBuilder::new()
            .mtime(0)
            .operating_system(255)
            .write(Vec::new(), Compression::none());
        gzip.write_all(&archive)?;
        let blob = Bytes::from(gzip.finish()?);
        Ok(Self {
            created_by: created_by.to_owned(),
            digest: Digest::sha256(&blob),
            diff_id: Digest::sha256(&archive),
            blob,
        })
    }

    /// The compressed archive, as registries hold it.
    #[must_use]
    pub fn blob(&self) -> &Bytes {
        &self.blob
    }

    /// The digest of [`Self::blob`].
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The digest of the archive before compression, for `rootfs.diff_ids`.
    #[must_use]
    pub fn diff_id(&self) -> &Digest {
        &self.diff_id
    }

    /// What made the layer, for the image's history.
    #[must_use]
    pub fn created_by(&self) -> &str {
        &self.created_by
    }
}

fn append(archive: &mut Builder<Vec<u8>>, entry: &Entry) -> Result<(), DemoError> {
    let (path, mode, kind, content): (_, _, _, &[u8]) = match entry {
        Entry::Folder { path, mode } => (path, *mode, EntryType::Directory, &[]),
        Entry::File {
            path,
            mode,
            content,
        } => (path, *mode, EntryType::Regular, content),
    };
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_path(path)?;
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    header.set_cksum();
    archive.append(&header, content)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_layer_unpacks_to_what_went_in_owned_by_root_at_time_zero() {
        let layer = Layer::pack(
            "test",
            &[
                Entry::folder("usr"),
                Entry::program("usr/run", b"code".to_vec()),
                Entry::text("note", "hello\n"),
            ],
        )
        .unwrap();
        let mut archive = Vec::new();
        flate2::read::GzDecoder::new(&layer.blob()[..])
            .read_to_end(&mut archive)
            .unwrap();
        assert!(layer.diff_id().matches(&archive));
        assert!(layer.digest().matches(layer.blob()));
        let mut seen = Vec::new();
        for entry in tar::Archive::new(&archive[..]).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            let header = entry.header();
            assert_eq!(
                (
                    header.uid().unwrap(),
                    header.gid().unwrap(),
                    header.mtime().unwrap()
                ),
                (0, 0, 0)
            );
            let path = entry.path().unwrap().display().to_string();
            seen.push((path, header.mode().unwrap(), content));
        }
        let expected = [
            ("usr", 0o755, ""),
            ("usr/run", 0o755, "code"),
            ("note", 0o644, "hello\n"),
        ];
        assert_eq!(
            seen,
            expected.map(|(path, mode, content)| (path.to_owned(), mode, content.to_owned()))
        );
    }
}
