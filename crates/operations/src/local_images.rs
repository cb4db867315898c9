//! Loads images from files into a registry in memory, for operations that read images without a
//! server: manifests and configurations alone, since no layer's bytes are needed to choose or
//! derive.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use metahub_bundle::{BundleError, ImageFiles, REF_NAME};
use metahub_catalog::{Args, Catalog, Composed};
use metahub_oci::{Descriptor, Digest, Document, ImageReference, Manifest, Reference, Tag};
use metahub_registry::{InspectionMode, Registry, RegistryError, Settings};
use metahub_store::{Origin, PutManifest, Store};
use metahub_upstream::{Upstreams, UpstreamsConfig};
use tokio::sync::watch;

use crate::error::OperationError;
use crate::offline::storage_of;

/// The full name of an entry, as containerd and Docker write it.
const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// Largest configuration that is read, in bytes; a registry reads no larger one.
const MAX_CONFIG_BYTES: u64 = 4 * 1024 * 1024;
/// Most manifests and indexes that are read of one file.
const MAX_DOCUMENTS: usize = 100_000;

/// Images in a file or folder.
#[derive(Clone, Debug)]
pub struct LocalImages {
    /// A new name for its only image.
    pub name: Option<ImageReference>,
    /// An archive of an OCI image layout, a folder of that form, or one as
    /// `skopeo copy --all IMAGE dir:FOLDER` writes it.
    pub path: PathBuf,
}

impl LocalImages {
    /// Opens the file or folder, which must have one image if a new name is given.
    pub(crate) fn open(&self) -> Result<ImageFiles, OperationError> {
        let files = ImageFiles::open(&self.path)?;
        let images = files.entries().len();
        if self.name.is_some() && images != 1 {
            return Err(OperationError::OneName {
                path: self.path.clone(),
                images,
            });
        }
        Ok(files)
    }
}

/// One entry of a file.
pub(crate) struct LocalImage {
    /// What it is called.
    pub(crate) name: ImageReference,
    /// Whether it is a referrer of another image, without a tag.
    untagged: bool,
    /// Its manifests, each after those that it refers to.
    documents: Vec<Document>,
    /// Configurations, and the content of artifacts.
    blobs: Vec<(Digest, bytes::Bytes)>,
}

/// Reads all images of `files`. An entry without a name of its own is `asked`, or another tag of
/// that repository.
pub(crate) async fn read(
    files: Vec<LocalImages>,
    asked: ImageReference,
) -> Result<Vec<LocalImage>, OperationError> {
    let work = move || {
        let mut all = Vec::new();
        for file in &files {
            all.extend(read_file(file, &asked)?);
        }
        Ok(all)
    };
    let read = tokio::task::spawn_blocking(work).await;
    read.map_err(|_| OperationError::Stopped)?
}

fn read_file(
    file: &LocalImages,
    asked: &ImageReference,
) -> Result<Vec<LocalImage>, OperationError> {
    let files = file.open()?;
    let entries = files.entries();
    let mut images = Vec::with_capacity(entries.len());
    for entry in entries {
        let mut walk = Walk {
            files: &files,
            seen: HashSet::new(),
            documents: Vec::new(),
            blobs: Vec::new(),
        };
        walk.manifest(entry)?;
        let refers = walk.documents.last().is_some_and(|document| {
            document.subject().is_some() && entry.annotation(REF_NAME).is_none()
        });
        let name = match &file.name {
            Some(name) => name.clone(),
            None => name_of(entry, asked),
        };
        images.push(LocalImage {
            name,
            untagged: refers,
            documents: walk.documents,
            blobs: walk.blobs,
        });
    }
    Ok(images)
}

/// The name of an entry: in full where its writer gives it; a tag alone belongs to the requested
/// repository; an entry without any name is the requested image.
fn name_of(entry: &Descriptor, asked: &ImageReference) -> ImageReference {
    if let Some(image) = full_name_of(entry) {
        return image;
    }
    let short = entry.annotation(REF_NAME).unwrap_or_default();
    match short.parse::<Tag>() {
        Ok(tag) => ImageReference::new(
            asked.host().cloned(),
            asked.name().clone(),
            Reference::Tag(tag),
        ),
        Err(_) => asked.clone(),
    }
}

/// The full name of an entry, if its writer gave it.
pub(crate) fn full_name_of(entry: &Descriptor) -> Option<ImageReference> {
    let full = [metahub_resolve::IMAGE, CONTAINERD_NAME];
    let full = full.into_iter().find_map(|key| entry.annotation(key));
    if let Some(Ok(image)) = full.map(str::parse) {
        return Some(image);
    }
    let short = entry.annotation(REF_NAME).unwrap_or_default();
    let is_full = short.contains([':', '/', '@']);
    is_full.then(|| short.parse().ok()).flatten()
}

/// The walk through one entry.
struct Walk<'f> {
    files: &'f ImageFiles,
    seen: HashSet<Digest>,
    documents: Vec<Document>,
    blobs: Vec<(Digest, bytes::Bytes)>,
}

impl Walk<'_> {
    /// Reads a manifest and what it leads to. Missing parts are skipped: they may be of other
    /// platforms, and where they are needed the registry reports them.
    fn manifest(&mut self, descriptor: &Descriptor) -> Result<(), BundleError> {
        if self.seen.len() >= MAX_DOCUMENTS || !self.seen.insert(descriptor.digest().clone()) {
            return Ok(());
        }
        let Some(document) = self.files.document(descriptor)? else {
            return Ok(());
        };
        match &document {
            Document::Index(index) => {
                for child in index.manifests() {
                    let kind = child.media_type();
                    if kind.is_index() || kind.is_manifest() {
                        self.manifest(child)?;
                    }
                }
            }
            Document::Manifest(manifest) => self.blobs_of(manifest)?,
        }
        self.documents.push(document);
        Ok(())
    }

    fn blobs_of(&mut self, manifest: &Manifest) -> Result<(), BundleError> {
        let config = manifest.config();
        let is_image = config.is_some_and(|config| config.media_type().is_image_config());
        // An artifact's content is in its layers; an image's layers are not read.
        let layers = manifest.layers().iter().filter(|_| !is_image);
        for blob in config.into_iter().chain(layers) {
            if blob.size() > MAX_CONFIG_BYTES || !self.seen.insert(blob.digest().clone()) {
                continue;
            }
            if let Some(bytes) = self.files.bytes(blob, MAX_CONFIG_BYTES)? {
                self.blobs.push((blob.digest().clone(), bytes));
            }
        }
        Ok(())
    }
}

/// A registry that has these images and fetches nothing.
pub(crate) async fn registry(
    images: &[LocalImage],
    catalog: Catalog,
    upstreams: UpstreamsConfig,
    mut settings: Settings,
) -> Result<Registry, OperationError> {
    // The layers are not here.
    settings.inspection.mode = InspectionMode::TrustLabels;
    let store = Store::in_memory()
        .await
        .map_err(OperationError::NoTemporaryFolder)?;
    for image in images {
        put(&store, image).await?;
    }
    let upstreams = Upstreams::new(&upstreams)?;
    let catalog = watch::Sender::new(Arc::new(catalog)).subscribe();
    Ok(Registry::new(store, upstreams, catalog, settings))
}

async fn put(store: &Store, image: &LocalImage) -> Result<(), OperationError> {
    let repository = storage_of(&image.name)?;
    for (digest, bytes) in &image.blobs {
        let stored = store.put_blob(&repository, digest, bytes.clone()).await;
        stored
            .map_err(|error| OperationError::Registry(RegistryError::Broken(error.to_string())))?;
    }
    let last = image.documents.len().saturating_sub(1);
    for (at, document) in image.documents.iter().enumerate() {
        let tags = match image.name.reference() {
            Reference::Tag(tag) if at == last && !image.untagged => vec![tag],
            _ => Vec::new(),
        };
        let options = PutManifest {
            require_references: false,
            origin: match image.name.host() {
                Some(_) => Origin::Upstream,
                None => Origin::Pushed,
            },
            ..PutManifest::pushed(tags)
        };
        let put = store.put_manifest(&repository, document, options).await;
        put.map_err(|error| OperationError::Registry(error.into()))?;
    }
    Ok(())
}

/// The images that documents and a login name: entries of collections, and layer images.
pub(crate) fn named<'c>(
    catalog: &'c Catalog,
    profile: &'c Composed,
) -> impl Iterator<Item = &'c ImageReference> {
    let entries = catalog.collections().flat_map(|one| &one.entries);
    let layers = profile
        .actions()
        .iter()
        .flat_map(|action| match &action.args {
            Args::ManifestAdd(adds) => adds.layers.as_slice(),
            _ => &[],
        });
    entries.map(|entry| &entry.image).chain(layers)
}
