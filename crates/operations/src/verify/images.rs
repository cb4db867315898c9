//! The images that entries name: in a registry, or in files. Manifests and configurations are read
//! here, layers as streams.

use std::collections::HashSet;
use std::io::{self, Read};
use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use metahub_bundle::ImageFiles;
use metahub_catalog::{Catalog, Composed};
use metahub_oci::{
    Descriptor, Digest, Document, ImageConfig, ImageReference, Manifest, Reference, RepositoryName,
};
use metahub_registry::{Accepts, Registry, RegistryError};
use tokio::runtime::Handle;

use super::source::Verification;
use crate::error::OperationError;
use crate::local_images::full_name_of;

/// Most images of one index, and most indexes and manifests that lead to them.
const MOST_IMAGES: usize = 64;
const MOST_DOCUMENTS: usize = 512;
/// Largest configuration that is read, in bytes.
const MAX_CONFIG_BYTES: u64 = 4 * 1024 * 1024;
/// Bytes of fetched layers that are kept at once, besides the one that is read.
const KEPT: u64 = 4 * 1024 * 1024 * 1024;

/// The source of images.
pub(super) enum Images {
    Registry(Registry),
    Files(Vec<FileImage>),
}

/// An image of a file, and its name, if the file has one.
pub(super) struct FileImage {
    name: Option<ImageReference>,
    files: ImageFiles,
    entry: Descriptor,
}

/// An image, and the location of its layers.
pub(super) struct FoundImage {
    pub(super) manifest: Manifest,
    pub(super) config: ImageConfig,
    place: Place,
}

#[derive(Clone)]
enum Place {
    Repository(RepositoryName),
    Files(ImageFiles),
}

/// A layer as a stream.
pub(super) type LayerStream = Box<dyn Read + Send>;

impl Images {
    pub(super) async fn open(from: Verification) -> Result<Self, OperationError> {
        if from.files.is_empty() {
            let mut reader = from.reader;
            // Layers are read once: few need to stay.
            reader.settings.cache.size = Some(KEPT);
            reader.settings.cache.sizes.clear();
            return Ok(Self::Registry(reader.open(Catalog::builtin()).await?));
        }
        let work = move || {
            let mut images = Vec::new();
            for file in &from.files {
                let files = file.open()?;
                images.extend(files.entries().iter().map(|entry| FileImage {
                    name: file.name.clone().or_else(|| full_name_of(entry)),
                    files: files.clone(),
                    entry: entry.clone(),
                }));
            }
            Ok(Self::Files(images))
        };
        let opened = tokio::task::spawn_blocking(work).await;
        opened.map_err(|_| OperationError::Stopped)?
    }

    /// The images of a name; or why there is none, in words.
    pub(super) async fn find(&self, image: &ImageReference) -> Result<Vec<FoundImage>, String> {
        let found = match self {
            Self::Registry(registry) => fetched(registry, image).await?,
            Self::Files(images) => {
                let is = |one: &&FileImage| one.name.as_ref() == Some(image);
                let one = images.iter().find(is).ok_or(
                    "none of the files has it: --from IMAGE=PATH says what a file's image is called",
                )?;
                let (files, entry) = (one.files.clone(), one.entry.clone());
                let work = move || in_files(&files, entry);
                let found = tokio::task::spawn_blocking(work).await;
                found.map_err(|_| "the work was stopped".to_owned())??
            }
        };
        if found.is_empty() {
            return Err("it names no image".to_owned());
        }
        Ok(found)
    }

    /// Opens a layer of an image; or why it cannot be opened.
    pub(super) async fn layer(
        &self,
        image: &FoundImage,
        layer: &Descriptor,
    ) -> Result<LayerStream, String> {
        match (&image.place, self) {
            (Place::Repository(name), Self::Registry(registry)) => {
                let operator = registry.operator();
                let repository = operator.read(name);
                let blob = repository.blob(layer.digest()).await.map_err(words)?;
                let stream = blob.stream(0..blob.size());
                Ok(Box::new(Streamed {
                    handle: Handle::current(),
                    stream,
                    held: Bytes::new(),
                }))
            }
            (Place::Files(files), _) => {
                let reader = files.reader(layer).map_err(|error| error.to_string())?;
                reader.ok_or_else(|| format!("{} is not in the file", layer.digest()))
            }
            (Place::Repository(name), Self::Files(_)) => Err(format!("{name} is not in the files")),
        }
    }
}

async fn fetched(registry: &Registry, image: &ImageReference) -> Result<Vec<FoundImage>, String> {
    let name = registry.client_name(image).map_err(words)?;
    let operator = registry.operator();
    let repository = operator.read(&name);
    let served = match image.reference() {
        Reference::Tag(tag) => {
            let nobody = Composed::none();
            repository.tagged(&tag, &nobody, Accepts::Index).await
        }
        Reference::Digest(digest) => repository.manifest(&digest).await,
    };
    let served = served.map_err(words)?;
    let root = Document::parse_as(served.bytes, served.digest, Some(&served.media_type));
    let mut next = vec![root.map_err(|error| error.to_string())?];
    let (mut seen, mut found) = (HashSet::<Digest>::new(), Vec::new());
    while let Some(document) = next.pop() {
        match document {
            Document::Manifest(manifest) => {
                if !runs(&manifest) {
                    continue;
                }
                let Some(config) = manifest.config() else {
                    continue;
                };
                let config = repository.blob(config.digest()).await.map_err(words)?;
                let config = config.read(MAX_CONFIG_BYTES).await.map_err(words)?;
                found.push(FoundImage {
                    config: ImageConfig::parse(config).map_err(|error| error.to_string())?,
                    manifest,
                    place: Place::Repository(name.clone()),
                });
            }
            Document::Index(index) => {
                for child in index.manifests().iter().rev() {
                    if child.is_attestation()
                        || seen.len() >= MOST_DOCUMENTS
                        || !seen.insert(child.digest().clone())
                    {
                        continue;
                    }
                    let read = repository.manifest(child.digest()).await.map_err(words)?;
                    let kind = Some(&read.media_type);
                    let child = Document::parse_as(read.bytes, read.digest, kind);
                    next.push(child.map_err(|error| error.to_string())?);
                }
            }
        }
        if found.len() >= MOST_IMAGES {
            return Err(format!("it has more than {MOST_IMAGES} images"));
        }
    }
    Ok(found)
}

fn in_files(files: &ImageFiles, root: Descriptor) -> Result<Vec<FoundImage>, String> {
    let mut next = vec![root];
    let (mut seen, mut found) = (HashSet::<Digest>::new(), Vec::new());
    while let Some(descriptor) = next.pop() {
        if descriptor.is_attestation()
            || seen.len() >= MOST_DOCUMENTS
            || !seen.insert(descriptor.digest().clone())
        {
            continue;
        }
        let document = files
            .document(&descriptor)
            .map_err(|error| error.to_string())?;
        match document {
            Some(Document::Manifest(manifest)) => {
                let Some(config) = manifest.config().filter(|_| runs(&manifest)) else {
                    continue;
                };
                let bytes = files.bytes(config, MAX_CONFIG_BYTES);
                let bytes = bytes.map_err(|error| error.to_string())?;
                let bytes = bytes.ok_or("its configuration is not in the file")?;
                found.push(FoundImage {
                    config: ImageConfig::parse(bytes).map_err(|error| error.to_string())?,
                    manifest,
                    place: Place::Files(files.clone()),
                });
            }
            Some(Document::Index(index)) => next.extend(index.manifests().iter().rev().cloned()),
            None => {}
        }
        if found.len() >= MOST_IMAGES {
            return Err(format!("it has more than {MOST_IMAGES} images"));
        }
    }
    Ok(found)
}

fn runs(manifest: &Manifest) -> bool {
    manifest.is_image() && manifest.subject().is_none()
}

#[expect(clippy::needless_pass_by_value, reason = "the form of map_err")]
fn words(error: RegistryError) -> String {
    error.to_string()
}

/// A blob that arrives, as a stream that blocks.
struct Streamed {
    handle: Handle,
    stream: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>,
    held: Bytes,
}

impl Read for Streamed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.held.is_empty() {
            match self.handle.block_on(self.stream.next()) {
                Some(bytes) => self.held = bytes?,
                None => return Ok(0),
            }
        }
        let length = self.held.len().min(buffer.len());
        let part = self.held.split_to(length);
        if let Some(into) = buffer.get_mut(..length) {
            into.copy_from_slice(&part);
        }
        Ok(length)
    }
}
