//! Reads a bundle: its entries, and content with a verified digest.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use metahub_oci::{Descriptor, Digest, Document, Hasher, MAX_MANIFEST_BYTES, MediaType};
use serde::Deserialize;

use crate::BundleError;
use crate::scan::{Parts, Span, scan};

/// Longest file that says what an archive is, in bytes.
const MAX_LAYOUT: u64 = 4096;
/// Bytes that are read at once.
const CHUNK: usize = 1024 * 1024;

/// An archive that can be read. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Bundle {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    file: File,
    parts: Parts,
    entries: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layout {
    image_layout_version: String,
}

impl Bundle {
    /// Opens the archive at `path` and looks through it. Blocks.
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        let file = File::open(path).map_err(|error| BundleError::io("open", path, error))?;
        let malformed = |problem: &str| BundleError::malformed(path, problem);
        let parts = scan(&file, path)?;
        let layout = parts
            .layout
            .ok_or_else(|| malformed("it has no file oci-layout: expected an OCI image layout"))?;
        let read = |span: Span, limit: u64| read_span(&file, path, span, limit);
        let layout: Layout = serde_json::from_slice(&read(layout, MAX_LAYOUT)?)
            .map_err(|error| BundleError::malformed(path, format!("its oci-layout: {error}")))?;
        if layout.image_layout_version.split('.').next() != Some("1") {
            return Err(malformed("expected version 1 of the OCI image layout"));
        }
        let index = parts.index.ok_or_else(|| {
            malformed("it has no file index.json: it was cut off. Copy or export it again")
        })?;
        let bytes = read(index, MAX_MANIFEST_BYTES as u64)?;
        let entries = match Document::parse(Bytes::from(bytes), Some(&MediaType::oci_index())) {
            Ok(Document::Index(index)) => index.manifests().to_vec(),
            Ok(Document::Manifest(_)) => return Err(malformed("its index.json is no index")),
            Err(error) => {
                return Err(BundleError::malformed(
                    path,
                    format!("its index.json: {error}"),
                ));
            }
        };
        Ok(Self {
            inner: Arc::new(Inner {
                path: path.to_owned(),
                file,
                parts,
                entries,
            }),
        })
    }

    pub(crate) fn malformed(&self, problem: String) -> BundleError {
        BundleError::malformed(&self.inner.path, problem)
    }

    /// What its index lists.
    #[must_use]
    pub fn entries(&self) -> &[Descriptor] {
        &self.inner.entries
    }

    /// All contents, with their sizes in bytes, in order of the digests.
    #[must_use]
    pub fn contents(&self) -> Vec<(Digest, u64)> {
        let blobs = &self.inner.parts.blobs;
        let mut contents: Vec<_> = blobs
            .iter()
            .map(|(d, span)| (d.clone(), span.size))
            .collect();
        contents.sort_unstable();
        contents
    }

    /// The size in bytes of what it calls `digest`.
    #[must_use]
    pub fn size(&self, digest: &Digest) -> Option<u64> {
        self.inner.parts.blobs.get(digest).map(|span| span.size)
    }

    /// The content `digest`, to be read in chunks.
    #[must_use]
    pub fn content(&self, digest: &Digest) -> Option<Content> {
        let span = *self.inner.parts.blobs.get(digest)?;
        Some(Content {
            bundle: self.clone(),
            digest: digest.clone(),
            hasher: Some(Hasher::new(digest.algorithm())),
            span,
            read: 0,
        })
    }

    /// The manifest or index that a descriptor points to, verified; nothing if it is not in the
    /// bundle. Blocks.
    pub fn document(&self, descriptor: &Descriptor) -> Result<Option<Document>, BundleError> {
        let digest = descriptor.digest();
        let Some(span) = self.inner.parts.blobs.get(digest).copied() else {
            return Ok(None);
        };
        if span.size != descriptor.size() {
            return Err(BundleError::Size {
                digest: digest.clone(),
                expected: descriptor.size(),
                found: span.size,
            });
        }
        let (file, path) = (&self.inner.file, &self.inner.path);
        let bytes = read_span(file, path, span, MAX_MANIFEST_BYTES as u64)?;
        verify(digest, Digest::of(digest.algorithm(), &bytes))?;
        let kind = Some(descriptor.media_type());
        Document::parse_as(Bytes::from(bytes), digest.clone(), kind)
            .map(Some)
            .map_err(|source| BundleError::Document {
                digest: digest.clone(),
                source,
            })
    }
}

/// One piece of content on its way out of a bundle.
#[derive(Debug)]
pub struct Content {
    bundle: Bundle,
    digest: Digest,
    hasher: Option<Hasher>,
    span: Span,
    read: u64,
}

impl Content {
    /// Its size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.span.size
    }

    /// The next chunk; nothing at the end, which is reached only if the digest is right. Blocks.
    pub fn next_chunk(&mut self) -> Result<Option<Bytes>, BundleError> {
        let left = self.span.size - self.read;
        if left == 0 {
            if let Some(hasher) = self.hasher.take() {
                verify(&self.digest, hasher.finish())?;
            }
            return Ok(None);
        }
        let length = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let mut chunk = vec![0; length];
        let inner = &self.bundle.inner;
        inner
            .file
            .read_exact_at(&mut chunk, self.span.offset + self.read)
            .map_err(|error| BundleError::io("read", &inner.path, error))?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&chunk);
        }
        self.read += length as u64;
        Ok(Some(Bytes::from(chunk)))
    }
}

/// Refuses content that is not what it is called.
pub(crate) fn verify(expected: &Digest, found: Digest) -> Result<(), BundleError> {
    if found == *expected {
        return Ok(());
    }
    Err(BundleError::Mismatch {
        expected: expected.clone(),
        found,
    })
}

pub(crate) fn read_span(
    file: &File,
    path: &Path,
    span: Span,
    limit: u64,
) -> Result<Vec<u8>, BundleError> {
    let length = usize::try_from(span.size)
        .ok()
        .filter(|_| span.size <= limit)
        .ok_or_else(|| {
            let problem = format!(
                "a manifest or an index has {} bytes: at most {limit} are taken",
                span.size
            );
            BundleError::malformed(path, problem)
        })?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, span.offset)
        .map_err(|error: io::Error| BundleError::io("read", path, error))?;
    Ok(bytes)
}
