//! Checks a bundle before anything of it is stored: the names of its entries, and whether it holds
//! everything that they lead to.

use std::collections::{HashMap, HashSet};

use metahub_bundle::{Bundle, BundleError, Documents, ORIGIN, PARTIAL, REF_NAME};
use metahub_oci::{Descriptor, Digest, Document, ImageReference};

use crate::transfer::import_error::ImportError;

/// The contents of a checked bundle.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) images: Vec<CheckedImage>,
    /// Blobs that the images need.
    pub(crate) blobs: HashSet<Digest>,
    /// Manifests and indexes of the images.
    pub(crate) manifests: HashSet<Digest>,
    /// Profile and collection documents.
    pub(crate) documents: Vec<String>,
}

/// One entry of a bundle.
#[derive(Debug)]
pub(crate) struct CheckedImage {
    pub(crate) image: ImageReference,
    /// Its manifests, each after those that it refers to.
    pub(crate) documents: Vec<Document>,
    /// The blobs that they refer to and that are in the bundle.
    pub(crate) blobs: Vec<Digest>,
}

/// Checks the whole bundle. Blocks.
pub(crate) fn check(
    bundle: &Bundle,
    name: Option<&ImageReference>,
) -> Result<Checked, ImportError> {
    let mut checked = Checked::default();
    let entries = bundle.entries();
    let named = |entry: &&Descriptor| !Documents::is(entry);
    let images = entries.iter().filter(named).count();
    if name.is_some() && images != 1 {
        return Err(ImportError::OneName(images));
    }
    for entry in entries {
        if Documents::is(entry) {
            checked.documents.extend(Documents::unpack(bundle, entry)?);
            continue;
        }
        // It is derived again here from its sources.
        if entry.annotation(ORIGIN) == Some("derived") {
            continue;
        }
        let image = match name {
            Some(name) => name.clone(),
            None => name_of(entry)?,
        };
        let mut walk = Walk {
            bundle,
            image: image.to_string(),
            partial: entry.annotation(PARTIAL) == Some("true"),
            seen: HashSet::new(),
            documents: Vec::new(),
            blobs: HashMap::new(),
        };
        if !walk.manifest(entry)? {
            return Err(walk.missing("manifest", entry.digest()).into());
        }
        let digests = walk.documents.iter().map(|d| d.digest().clone());
        checked.manifests.extend(digests);
        checked.blobs.extend(walk.blobs.keys().cloned());
        checked.images.push(CheckedImage {
            image,
            documents: walk.documents,
            blobs: walk.blobs.into_keys().collect(),
        });
    }
    if checked.images.is_empty() && checked.documents.is_empty() {
        return Err(ImportError::Empty);
    }
    Ok(checked)
}

/// The name of an entry: MetaHub writes it in full, other tools write what their user gave.
fn name_of(entry: &Descriptor) -> Result<ImageReference, ImportError> {
    let full = entry.annotation(metahub_resolve::IMAGE);
    let text = full
        .or_else(|| entry.annotation(REF_NAME))
        .unwrap_or_default();
    let unnamed = || ImportError::Unnamed {
        digest: entry.digest().clone(),
        name: text.to_owned(),
    };
    let image: ImageReference = text.parse().map_err(|_| unnamed())?;
    // A word alone is a tag to some tools and a repository to others.
    if full.is_none() && image.tag().is_none() && image.digest().is_none() {
        return Err(unnamed());
    }
    if let Some(digest) = image.digest()
        && digest != entry.digest()
    {
        return Err(unnamed());
    }
    Ok(image)
}

/// The check of one entry.
struct Walk<'b> {
    bundle: &'b Bundle,
    image: String,
    /// Whether content may be missing, as the exporter states.
    partial: bool,
    seen: HashSet<Digest>,
    documents: Vec<Document>,
    blobs: HashMap<Digest, u64>,
}

impl Walk<'_> {
    fn missing(&self, what: &'static str, digest: &Digest) -> BundleError {
        BundleError::Missing {
            what,
            digest: digest.clone(),
            image: self.image.clone(),
        }
    }

    /// Whether the bundle has the manifest, with everything that it leads to. Recursion ends,
    /// because each index in the bundle is visited once.
    fn manifest(&mut self, descriptor: &Descriptor) -> Result<bool, BundleError> {
        if !self.seen.insert(descriptor.digest().clone()) {
            return Ok(true);
        }
        let Some(document) = self.bundle.document(descriptor)? else {
            return Ok(false);
        };
        match &document {
            Document::Index(index) => {
                for child in index.manifests() {
                    let is_manifest =
                        child.media_type().is_index() || child.media_type().is_manifest();
                    let there = if is_manifest {
                        self.manifest(child)?
                    } else {
                        self.blob(child)?
                    };
                    if !there && !self.partial {
                        return Err(self.missing("manifest", child.digest()));
                    }
                }
            }
            Document::Manifest(manifest) => {
                if let Some(config) = manifest.config()
                    && !self.blob(config)?
                {
                    return Err(self.missing("configuration", config.digest()));
                }
                for layer in manifest.layers() {
                    let is_foreign = layer.media_type().is_foreign_layer();
                    if !self.blob(layer)? && !self.partial && !is_foreign {
                        return Err(self.missing("layer", layer.digest()));
                    }
                }
            }
        }
        self.documents.push(document);
        Ok(true)
    }

    fn blob(&mut self, descriptor: &Descriptor) -> Result<bool, BundleError> {
        let digest = descriptor.digest();
        match self.bundle.size(digest) {
            None => Ok(false),
            Some(size) if size == descriptor.size() => {
                self.blobs.insert(digest.clone(), size);
                Ok(true)
            }
            Some(found) => Err(BundleError::Size {
                digest: digest.clone(),
                expected: descriptor.size(),
                found,
            }),
        }
    }
}
