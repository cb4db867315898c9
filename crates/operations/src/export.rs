//! Exports images in full into one file, for sites without a network. The process that serves the
//! data folder selects and fetches the content; this reads it from the folder and hashes it once
//! more. An interrupted export continues.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use metahub_bundle::{BundleError, BundleWriter, Documents, ORIGIN, PARTIAL, REF_NAME};
use metahub_oci::{Digest, MediaType};
use metahub_registry::{Inventory, InventoryContent, InventoryEntry};
use metahub_store::{OpenBlob, Store};
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::OperationError;
use crate::progress::Progress;

/// The report of an export.
#[derive(Clone, Debug, Serialize)]
pub struct Exported {
    /// The file.
    pub file: PathBuf,
    /// The size of the file in bytes.
    pub bytes: u64,
    /// The names under which tools find its images.
    pub images: Vec<ExportedImage>,
    /// How many documents of profiles and collections are in it.
    pub documents: usize,
    /// Pieces of content in it.
    pub contents: usize,
    /// Those that an interrupted run had written.
    pub resumed: usize,
    /// Warnings.
    pub warnings: Vec<String>,
    /// Images that could not be fetched, and why.
    pub failed: Vec<String>,
}

/// An image in a bundle.
#[derive(Clone, Debug, Serialize)]
pub struct ExportedImage {
    /// Its name for tools.
    pub name: String,
    /// Its manifest or index.
    pub digest: Digest,
}

/// Writes a bundle of `inventory` to `path`. Progress counts bytes.
///
/// # Errors
/// When content was removed meanwhile, or the file cannot be written.
pub async fn export(
    store: &Store,
    inventory: &Inventory,
    path: &Path,
    progress: impl Fn(Progress) + Clone + Send + Sync + 'static,
) -> Result<Exported, OperationError> {
    let documents =
        (!inventory.documents.is_empty()).then(|| Documents::pack(&inventory.documents));
    let mut wanted: HashMap<Digest, u64> = inventory
        .contents
        .iter()
        .map(|content| (content.digest.clone(), content.size))
        .collect();
    // Images may have the same small contents, such as an empty configuration.
    let packed = documents.iter().flat_map(|documents| &documents.contents);
    let packed: Vec<_> = packed
        .filter(|(digest, _)| !wanted.contains_key(digest))
        .collect();
    wanted.extend(
        packed
            .iter()
            .map(|(digest, bytes)| (digest.clone(), bytes.len() as u64)),
    );
    let contents = wanted.len();
    let path = path.to_owned();
    let file = path.clone();
    let mut writer = blocking(move || BundleWriter::begin(&file, &wanted)).await?;
    let meter = Meter::new(inventory.bytes(), progress);
    let mut resumed = 0;
    for content in &inventory.contents {
        if writer.has(&content.digest) {
            resumed += 1;
            meter.add(content.size);
            continue;
        }
        let source = Source::of(store, content).await?;
        let (digest, size, meter) = (content.digest.clone(), content.size, meter.clone());
        writer = blocking(move || {
            let mut read = source.read();
            writer.add(&digest, size, &mut *read, |bytes| meter.add(bytes))?;
            drop(read);
            Ok(writer)
        })
        .await?;
    }
    for (digest, bytes) in packed {
        if writer.has(digest) {
            resumed += 1;
        } else {
            let size = bytes.len() as u64;
            writer.add(digest, size, &mut bytes.as_ref(), |_| {})?;
        }
    }
    let entries: Vec<Value> = inventory
        .entries
        .iter()
        .map(entry)
        .chain(documents.as_ref().map(|documents| documents.entry.clone()))
        .collect();
    let index = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_INDEX,
        "manifests": entries,
    });
    let bytes = blocking(move || writer.finish(index.to_string().as_bytes())).await?;
    let named = inventory.entries.iter().filter_map(|entry| {
        Some(ExportedImage {
            name: entry.name.clone()?,
            digest: entry.descriptor()?.digest().clone(),
        })
    });
    Ok(Exported {
        file: path,
        bytes,
        images: named.collect(),
        documents: inventory.documents.len(),
        contents,
        resumed,
        warnings: inventory.warnings.clone(),
        failed: inventory.failed.clone(),
    })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BundleError> + Send + 'static,
) -> Result<T, OperationError> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|_| OperationError::Stopped)??)
}

/// Adds up what was written.
#[derive(Clone)]
struct Meter<P> {
    total: u64,
    written: Arc<AtomicU64>,
    progress: P,
}

impl<P: Fn(Progress)> Meter<P> {
    fn new(total: u64, progress: P) -> Self {
        let meter = Self {
            total,
            written: Arc::default(),
            progress,
        };
        meter.add(0);
        meter
    }

    fn add(&self, bytes: u64) {
        let written = self.written.fetch_add(bytes, Relaxed).saturating_add(bytes);
        (self.progress)(Progress {
            done: written,
            total: self.total,
            bytes: written,
        });
    }
}

/// Where content is read from.
enum Source {
    Bytes(bytes::Bytes),
    Blob(OpenBlob),
}

impl Source {
    async fn of(store: &Store, content: &InventoryContent) -> Result<Self, OperationError> {
        let gone = || OperationError::Removed {
            digest: content.digest.clone(),
            repository: content.repository.clone(),
        };
        let (repository, digest) = (&content.repository, &content.digest);
        if content.manifest {
            let stored = store.manifest(repository, digest).await?;
            return Ok(Self::Bytes(stored.ok_or_else(gone)?.bytes.clone()));
        }
        let blob = store.blob(repository, digest).await?;
        let open = blob.ok_or_else(gone)?.open().await?;
        Ok(Self::Blob(open))
    }

    /// Reads it on a thread that may block.
    fn read(&self) -> Box<dyn Read + '_> {
        match self {
            Self::Bytes(bytes) => Box::new(bytes.as_ref()),
            Self::Blob(open) => Box::new(open.reader()),
        }
    }
}

/// An entry of the bundle's index.
fn entry(entry: &InventoryEntry) -> Value {
    let mut annotations = json!({
        metahub_resolve::IMAGE: entry.image,
        ORIGIN: entry.origin.as_str(),
    });
    if let Some(annotations) = annotations.as_object_mut() {
        if let Some(name) = &entry.name {
            annotations.insert(REF_NAME.to_owned(), json!(name));
        }
        if entry.partial {
            annotations.insert(PARTIAL.to_owned(), json!("true"));
        }
    }
    let mut descriptor = entry.descriptor.clone();
    if let Some(descriptor) = descriptor.as_object_mut() {
        descriptor.insert("annotations".to_owned(), annotations);
    }
    descriptor
}
