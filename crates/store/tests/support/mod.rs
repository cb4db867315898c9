//! What the store's tests share: names, contents, documents.

#![allow(dead_code, reason = "no test uses everything")]

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _, stream};
use metahub_oci::{Digest, Document, MediaType, RepositoryName, Tag};
use metahub_store::{Mode, Store};

pub(crate) fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

pub(crate) fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

/// `bytes` as a client sends them.
pub(crate) fn chunks(
    bytes: &[u8],
    size: usize,
) -> impl Stream<Item = Result<Bytes, Infallible>> + use<> {
    let parts = bytes.chunks(size).map(Bytes::copy_from_slice);
    stream::iter(parts.map(Ok).collect::<Vec<_>>())
}

/// Content that depends on `seed`, of `size` bytes.
pub(crate) fn content(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

fn descriptor(media_type: &str, content: &[u8]) -> String {
    format!(
        r#"{{"mediaType":"{media_type}","digest":"{}","size":{}}}"#,
        Digest::sha256(content),
        content.len()
    )
}

/// An image manifest over blobs of these contents.
pub(crate) fn image(config: &[u8], layers: &[&[u8]]) -> Document {
    let layers: Vec<String> = layers
        .iter()
        .map(|layer| descriptor(MediaType::OCI_LAYER_GZIP, layer))
        .collect();
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{}]}}"#,
        MediaType::OCI_MANIFEST,
        descriptor(MediaType::OCI_CONFIG, config),
        layers.join(",")
    );
    Document::parse(Bytes::from(text), None).unwrap()
}

/// An index over these manifests.
pub(crate) fn index(children: &[&Document]) -> Document {
    let children: Vec<String> = children
        .iter()
        .map(|child| descriptor(MediaType::OCI_MANIFEST, child.bytes()))
        .collect();
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{}]}}"#,
        MediaType::OCI_INDEX,
        children.join(",")
    );
    Document::parse(Bytes::from(text), None).unwrap()
}

/// An artifact about `subject`.
pub(crate) fn artifact(subject: &Document, kind: &str) -> Document {
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","artifactType":"{kind}","config":{},"layers":[],"subject":{},"annotations":{{"a":"b"}}}}"#,
        MediaType::OCI_MANIFEST,
        descriptor(MediaType::OCI_EMPTY, b"{}"),
        serde_json::Value::Object(subject.descriptor().as_json().clone())
    );
    Document::parse(Bytes::from(text), None).unwrap()
}

pub(crate) async fn put(store: &Store, repository: &RepositoryName, content: &[u8]) -> Digest {
    let digest = Digest::sha256(content);
    let bytes = Bytes::copy_from_slice(content);
    store.put_blob(repository, &digest, bytes).await.unwrap();
    digest
}

/// All bytes of a blob as a client gets them.
pub(crate) async fn read(
    store: &Store,
    repository: &RepositoryName,
    digest: &Digest,
) -> std::io::Result<Option<Vec<u8>>> {
    let Some(blob) = store.blob(repository, digest).await.unwrap() else {
        return Ok(None);
    };
    let open = blob.open().await.map_err(std::io::Error::other)?;
    let parts: Vec<Bytes> = open.stream(0..u64::MAX).try_collect().await?;
    Ok(Some(parts.concat()))
}

/// Where a store has its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Files,
    Memory,
}

impl Kind {
    /// A new store of this kind; one with files in `folder`.
    pub(crate) async fn open(self, folder: &Path) -> Store {
        match self {
            Self::Files => Store::open(folder, Mode::Serve).await.unwrap(),
            Self::Memory => Store::in_memory().await.unwrap(),
        }
    }

    /// The same in a folder of its own.
    pub(crate) async fn temporary(self) -> Store {
        match self {
            Self::Files => Store::temporary().await.unwrap(),
            Self::Memory => Store::in_memory().await.unwrap(),
        }
    }
}

/// Where tests that need no real disk put their data: memory, if there is some.
pub(crate) fn fast_folder() -> tempfile::TempDir {
    let memory = PathBuf::from("/dev/shm");
    let parent = if memory.is_dir() {
        memory
    } else {
        std::env::temp_dir()
    };
    tempfile::Builder::new()
        .prefix("metahub-store-")
        .tempdir_in(parent)
        .unwrap()
}

/// Copies a folder as it is at this moment, which is what a kill at this moment leaves. Links are
/// none there; sockets are left out.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy_folder(&path, &target);
        } else if kind.is_file() {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// What a kill at this moment leaves of a data folder: its content, and no lease that holds.
pub(crate) fn killed(folder: &Path) -> tempfile::TempDir {
    let copy = fast_folder();
    copy_folder(folder, copy.path());
    let _ = std::fs::remove_file(copy.path().join("lease"));
    copy
}

/// The file of a blob.
pub(crate) fn blob_file(folder: &Path, digest: &Digest) -> PathBuf {
    let hex = digest.hex();
    folder.join("blobs/sha256").join(&hex[..2]).join(hex)
}

/// All files below a folder, sorted, with their sizes.
pub(crate) fn files(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let size = path.metadata().unwrap().len();
                found.push((path, size));
            }
        }
    }
    found.sort();
    found
}
