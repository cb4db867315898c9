//! Finding the images behind a name, and opening their layers.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use metahub_bundle::{Bundle, DockerArchive};
use metahub_catalog::Catalog;
use metahub_oci::{
    Descriptor, Digest, Document, ImageConfig, MAX_MANIFEST_BYTES, Manifest, MediaType, Platform,
    RepositoryName,
};
use metahub_registry::{ImageSelection, Registry};
use metahub_store::OpenBlob;

use super::inspected::Inspected;
use super::layer::{LayerSource, OpenLayer};
use crate::error::OperationError;
use crate::progress::Progress;

/// Most images of one index.
const MOST_IMAGES: usize = 64;

/// An image whose layers can be read.
pub(crate) struct OpenImage {
    pub(crate) name: String,
    pub(crate) digest: Digest,
    pub(crate) manifest: Option<Manifest>,
    pub(crate) config: ImageConfig,
    pub(crate) layers: Vec<OpenLayer>,
    /// Holds what was fetched.
    pub(crate) _registry: Option<Registry>,
}

/// Opens the images behind a name.
pub(crate) async fn open(
    image: Inspected,
    platform: Option<&Platform>,
    progress: impl FnMut(Progress) + Send + Sync,
) -> Result<Vec<OpenImage>, OperationError> {
    match image {
        Inspected::Image(image, reader) => {
            let registry = reader.open(Catalog::builtin()).await?;
            fetched(registry, image, platform, progress).await
        }
        Inspected::Layout(path) => {
            let platform = platform.cloned();
            blocking(move || layout(&path, platform.as_ref())).await
        }
        Inspected::DockerArchive(path) => {
            let platform = platform.cloned();
            blocking(move || docker(&path, platform.as_ref())).await
        }
    }
}

async fn blocking(
    work: impl FnOnce() -> Result<Vec<OpenImage>, OperationError> + Send + 'static,
) -> Result<Vec<OpenImage>, OperationError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| OperationError::Stopped)?
}

/// Images that a registry gives.
async fn fetched(
    registry: Registry,
    image: metahub_oci::ImageReference,
    platform: Option<&Platform>,
    mut progress: impl FnMut(Progress) + Send + Sync,
) -> Result<Vec<OpenImage>, OperationError> {
    let selection = ImageSelection {
        images: vec![image.clone()],
        profile: None,
        platforms: platform.cloned().into_iter().collect(),
        profiles: false,
    };
    let inventory = registry
        .fetch_images(&selection, |now| progress(now.into()))
        .await
        .map_err(OperationError::of_images)?;
    let places: HashMap<Digest, RepositoryName> = inventory
        .contents
        .iter()
        .map(|content| (content.digest.clone(), content.repository.clone()))
        .collect();
    let store = registry.store();
    let mut documents: HashMap<Digest, Document> = HashMap::new();
    for content in inventory.contents.iter().filter(|content| content.manifest) {
        if let Some(stored) = store.manifest(&content.repository, &content.digest).await? {
            let document = Document::parse_as(stored.bytes.clone(), content.digest.clone(), None);
            documents.extend(
                document
                    .ok()
                    .map(|document| (content.digest.clone(), document)),
            );
        }
    }
    let roots = inventory
        .entries
        .iter()
        .filter(|entry| entry.image.name() == image.name());
    let roots: Vec<Descriptor> = roots.filter_map(|entry| entry.descriptor()).collect();
    let manifests = walk(&roots, platform, |descriptor| {
        Ok(documents.get(descriptor.digest()).cloned())
    })?;
    let mut images = Vec::new();
    for manifest in manifests {
        let config = match manifest.config() {
            Some(config) => open_blob(&registry, &places, config.digest()).await?,
            None => continue,
        };
        let config = match config {
            Ok(config) => {
                let manifest = manifest.clone();
                // The reader blocks.
                let read =
                    tokio::task::spawn_blocking(move || read_config(config.reader(), &manifest))
                        .await;
                read.map_err(|_| OperationError::Stopped)??
            }
            Err(why) => return Err(OperationError::NoImage(why)),
        };
        let mut layers = Vec::new();
        for layer in manifest.layers() {
            let source = open_blob(&registry, &places, layer.digest()).await?;
            layers.push(OpenLayer {
                digest: None,
                ..OpenLayer::new(layer, source.map(LayerSource::Blob))
            });
        }
        images.push(OpenImage {
            name: image.to_string(),
            digest: manifest.digest().clone(),
            manifest: Some(manifest),
            config,
            layers,
            _registry: Some(registry.clone()),
        });
    }
    some(images, &image.to_string(), platform)
}

async fn open_blob(
    registry: &Registry,
    places: &HashMap<Digest, RepositoryName>,
    digest: &Digest,
) -> Result<Result<OpenBlob, String>, OperationError> {
    let gone = || format!("{digest} could not be fetched");
    let Some(repository) = places.get(digest) else {
        return Ok(Err(gone()));
    };
    match registry.store().blob(repository, digest).await? {
        Some(blob) => Ok(Ok(blob.open().await?)),
        None => Ok(Err(gone())),
    }
}

/// Images of an OCI layout: a folder, or a tar file.
fn layout(path: &Path, platform: Option<&Platform>) -> Result<Vec<OpenImage>, OperationError> {
    let held = if path.is_dir() {
        Held::Folder(path.to_owned())
    } else {
        Held::Bundle(Bundle::open(path)?)
    };
    let roots = held.roots()?;
    let manifests = walk(&roots, platform, |descriptor| held.document(descriptor))?;
    let mut images = Vec::new();
    for manifest in manifests {
        let Some(config) = manifest.config() else {
            continue;
        };
        let source = held.content(config).reader();
        let source = source.map_err(|why| {
            OperationError::NoImage(format!("the configuration {}: {why}", config.digest()))
        })?;
        let config = read_config(source, &manifest)?;
        let layers = manifest
            .layers()
            .iter()
            .map(|layer| OpenLayer::new(layer, Ok(held.content(layer))));
        images.push(OpenImage {
            name: path.display().to_string(),
            digest: manifest.digest().clone(),
            layers: layers.collect(),
            config,
            manifest: Some(manifest),
            _registry: None,
        });
    }
    some(images, &path.display().to_string(), platform)
}

enum Held {
    Folder(PathBuf),
    Bundle(Bundle),
}

impl Held {
    fn roots(&self) -> Result<Vec<Descriptor>, OperationError> {
        let folder = match self {
            Self::Bundle(bundle) => return Ok(bundle.entries().to_vec()),
            Self::Folder(folder) => folder,
        };
        let file = folder.join("index.json");
        let wrong = |why: String| OperationError::NoImage(format!("{}: {why}", file.display()));
        let bytes = small(&file).map_err(|error| wrong(error.to_string()))?;
        match Document::parse(bytes, Some(&MediaType::oci_index())) {
            Ok(Document::Index(index)) => Ok(index.manifests().to_vec()),
            Ok(Document::Manifest(_)) => Err(wrong("it is no index".to_owned())),
            Err(error) => Err(wrong(error.to_string())),
        }
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Option<Document>, OperationError> {
        let folder = match self {
            Self::Bundle(bundle) => return Ok(bundle.document(descriptor)?),
            Self::Folder(folder) => folder,
        };
        let digest = descriptor.digest();
        let Ok(bytes) = small(&blob(folder, digest)) else {
            return Ok(None);
        };
        let wrong = |why: String| OperationError::NoImage(format!("{digest}: {why}"));
        if !digest.matches(&bytes) {
            return Err(wrong("its bytes have another digest".to_owned()));
        }
        let document = Document::parse_as(bytes, digest.clone(), Some(descriptor.media_type()));
        document.map(Some).map_err(|error| wrong(error.to_string()))
    }

    fn content(&self, descriptor: &Descriptor) -> LayerSource {
        let digest = descriptor.digest();
        match self {
            Self::Folder(folder) => LayerSource::File(blob(folder, digest)),
            Self::Bundle(bundle) => LayerSource::Bundle(bundle.clone(), digest.clone()),
        }
    }
}

fn blob(folder: &Path, digest: &Digest) -> PathBuf {
    folder
        .join("blobs")
        .join(digest.algorithm().to_string())
        .join(digest.hex())
}

fn small(file: &Path) -> std::io::Result<Bytes> {
    let mut bytes = Vec::new();
    File::open(file)?
        .take(MAX_MANIFEST_BYTES as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(Bytes::from(bytes))
}

/// Images of an archive of `docker save`.
fn docker(path: &Path, platform: Option<&Platform>) -> Result<Vec<OpenImage>, OperationError> {
    let archive = Arc::new(DockerArchive::open(path)?);
    let mut images = Vec::new();
    for image in archive.images().iter().take(MOST_IMAGES) {
        let config = archive.bytes(&image.config)?;
        let config = ImageConfig::parse(Bytes::from(config))
            .map_err(|error| OperationError::NoImage(format!("{}: {error}", image.config)))?;
        if platform.is_some_and(|platform| !config.platform().same_machine(platform)) {
            continue;
        }
        let tags = image.repo_tags.iter().flatten().next();
        let layers = image.layers.iter().map(|layer| OpenLayer {
            name: layer.clone(),
            digest: None,
            source: Ok(LayerSource::Docker(Arc::clone(&archive), layer.clone())),
        });
        images.push(OpenImage {
            name: tags.cloned().unwrap_or_else(|| path.display().to_string()),
            digest: config.digest().clone(),
            layers: layers.collect(),
            manifest: None,
            config,
            _registry: None,
        });
    }
    some(images, &path.display().to_string(), platform)
}

fn some(
    images: Vec<OpenImage>,
    name: &str,
    platform: Option<&Platform>,
) -> Result<Vec<OpenImage>, OperationError> {
    if !images.is_empty() {
        return Ok(images);
    }
    let of = platform
        .map(|platform| format!(" for {platform}"))
        .unwrap_or_default();
    Err(OperationError::NoImage(format!("{name} has no image{of}")))
}

fn read_config(source: impl Read, manifest: &Manifest) -> Result<ImageConfig, OperationError> {
    let wrong = |why: String| {
        OperationError::NoImage(format!("the configuration of {}: {why}", manifest.digest()))
    };
    let mut bytes = Vec::new();
    let most = MAX_MANIFEST_BYTES as u64;
    source
        .take(most)
        .read_to_end(&mut bytes)
        .map_err(|error| wrong(error.to_string()))?;
    if manifest
        .config()
        .is_some_and(|config| !config.digest().matches(&bytes))
    {
        return Err(wrong("its bytes have another digest".to_owned()));
    }
    ImageConfig::parse(Bytes::from(bytes)).map_err(|error| wrong(error.to_string()))
}

/// The manifests of images that `roots` lead to, for one platform if that is asked for.
fn walk(
    roots: &[Descriptor],
    platform: Option<&Platform>,
    document: impl Fn(&Descriptor) -> Result<Option<Document>, OperationError>,
) -> Result<Vec<Manifest>, OperationError> {
    let mut next: Vec<Descriptor> = roots.iter().rev().cloned().collect();
    let mut seen = std::collections::HashSet::new();
    let mut found = Vec::new();
    while let Some(descriptor) = next.pop() {
        if !seen.insert(descriptor.digest().clone()) || descriptor.is_attestation() {
            continue;
        }
        let other = |wanted: &Platform| {
            descriptor
                .platform()
                .is_some_and(|platform| !platform.same_machine(wanted))
        };
        if platform.is_some_and(other) {
            continue;
        }
        match document(&descriptor)? {
            Some(Document::Manifest(manifest))
                if manifest.is_image() && manifest.subject().is_none() =>
            {
                found.push(manifest);
            }
            Some(Document::Index(index)) => next.extend(index.manifests().iter().rev().cloned()),
            Some(Document::Manifest(_)) | None => {}
        }
        if found.len() >= MOST_IMAGES {
            break;
        }
    }
    Ok(found)
}
