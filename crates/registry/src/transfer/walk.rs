//! One walk through an image: what was found so far. Optional parts are walked separately, so that
//! a part that cannot be fetched leaves nothing behind in what it belongs to.

use std::collections::{BTreeMap, HashSet};

use metahub_oci::{Descriptor, Digest, ImageReference, Platform, RepositoryName};
use metahub_store::StoredManifest;
use serde_json::Value;

use crate::Registry;
use crate::access::location::Location;
use crate::error::RegistryError;
use crate::transfer::inventory::{
    ImageSelection, Inventory, InventoryContent, InventoryEntry, InventoryOrigin,
};

/// Which images of an index are included.
pub(crate) enum Select {
    /// Those for the requested platforms.
    ByPlatform,
    /// Those of them in this set.
    Only(HashSet<Digest>),
    /// All: they were chosen before.
    Chosen,
}

/// How much of something was collected.
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    /// All of it.
    pub(crate) whole: bool,
    /// At least one runnable image, or one artifact.
    pub(crate) some: bool,
}

/// A needed blob.
pub(crate) struct Need {
    pub(crate) location: Location,
    pub(crate) size: u64,
}

/// The walk through one image, one attachment, or the catalog's layers.
pub(crate) struct ImageWalk<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) wanted: &'a ImageSelection,
    /// Visited manifests.
    pub(crate) seen: HashSet<(RepositoryName, Digest)>,
    pub(crate) blobs: BTreeMap<Digest, Need>,
    pub(crate) manifests: BTreeMap<Digest, InventoryContent>,
    pub(crate) inventory: Inventory,
    /// Attachments of the images with a tag of their own.
    pub(crate) beside: Vec<InventoryEntry>,
    /// Attachments of the image, each optional.
    pub(crate) attached: Vec<ImageWalk<'a>>,
    /// Why the first missing image of an index could not be fetched.
    pub(crate) absent: Option<RegistryError>,
}

impl<'a> ImageWalk<'a> {
    pub(crate) fn new(registry: &'a Registry, wanted: &'a ImageSelection) -> Self {
        Self {
            registry,
            wanted,
            seen: HashSet::new(),
            blobs: BTreeMap::new(),
            manifests: BTreeMap::new(),
            inventory: Inventory::default(),
            beside: Vec::new(),
            attached: Vec::new(),
            absent: None,
        }
    }

    /// Begins an attachment, or another optional part.
    pub(crate) fn begin(&mut self) -> Self {
        Self {
            seen: std::mem::take(&mut self.seen),
            ..Self::new(self.registry, self.wanted)
        }
    }

    /// Ends what [`begin`](Self::begin) began. A part that cannot be fetched is left out, with a
    /// warning that names it.
    pub(crate) fn end<T>(
        &mut self,
        mut part: Self,
        outcome: Result<T, RegistryError>,
        what: impl FnOnce() -> String,
    ) -> Option<T> {
        self.seen = std::mem::take(&mut part.seen);
        match outcome {
            Ok(found) => {
                self.attached.push(part);
                Some(found)
            }
            Err(error) => {
                self.warn(format!("{} is left out: {error}", what()));
                None
            }
        }
    }

    /// Includes a part as required.
    pub(crate) fn absorb(&mut self, mut part: Self) {
        self.seen.extend(std::mem::take(&mut part.seen));
        // The first location counts: a derived index also names manifests of other repositories.
        for (digest, manifest) in part.manifests {
            self.manifests.entry(digest).or_insert(manifest);
        }
        for (digest, need) in part.blobs {
            self.blobs.entry(digest).or_insert(need);
        }
        self.attached.extend(part.attached);
        self.beside.extend(part.beside);
        let Inventory {
            entries,
            documents,
            warnings,
            failed,
            ..
        } = part.inventory;
        self.inventory.entries.extend(entries);
        self.inventory.documents.extend(documents);
        self.inventory.warnings.extend(warnings);
        self.inventory.failed.extend(failed);
        self.absent = self.absent.take().or(part.absent);
    }

    /// Whether a manifest was collected, also as an attachment.
    pub(crate) fn holds(&self, digest: &Digest) -> bool {
        self.manifests.contains_key(digest) || self.attached.iter().any(|p| p.holds(digest))
    }

    pub(crate) fn has_chosen(&self, select: &Select) -> bool {
        match select {
            Select::Only(chosen) => chosen
                .iter()
                .any(|digest| self.manifests.contains_key(digest)),
            Select::ByPlatform | Select::Chosen => false,
        }
    }

    /// Notes an image of an index that cannot be fetched.
    pub(crate) fn lost_child(&mut self, what: &str, error: RegistryError) {
        self.inventory.failed.push(format!("{what}: {error}"));
        self.absent.get_or_insert(error);
    }

    pub(crate) fn warn(&mut self, warning: String) {
        self.inventory.warnings.push(warning);
    }

    pub(crate) fn entry(
        &mut self,
        image: ImageReference,
        stored: &StoredManifest,
        origin: InventoryOrigin,
        extent: Extent,
    ) {
        let text = image.to_string();
        let free = |entry: &InventoryEntry| entry.name.as_ref() != Some(&text);
        let named = extent.some && self.inventory.entries.iter().all(free);
        let name = named.then_some(text);
        let entry = entry_of(name, image, stored, origin, extent);
        self.inventory.entries.push(entry);
    }

    pub(crate) fn runs_on(&self, platform: &Platform) -> bool {
        let wanted = &self.wanted.platforms;
        wanted.is_empty() || wanted.iter().any(|wanted| wanted.same_machine(platform))
    }
}

/// An entry for a manifest.
pub(crate) fn entry_of(
    name: Option<String>,
    image: ImageReference,
    stored: &StoredManifest,
    origin: InventoryOrigin,
    extent: Extent,
) -> InventoryEntry {
    let size = stored.bytes.len() as u64;
    let descriptor = Descriptor::new(stored.media_type.clone(), stored.digest.clone(), size);
    InventoryEntry {
        name,
        image,
        origin,
        descriptor: Value::Object(descriptor.as_json().clone()),
        partial: !extent.whole,
    }
}
