//! Merges the inventories of images into one: blobs are fetched together, and what cannot be
//! fetched in full is left out by itself, an attachment without its image, an image without the
//! others.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use metahub_oci::{Digest, ImageReference};

use crate::Registry;
use crate::error::RegistryError;
use crate::transfer::inventory::{
    Inventory, InventoryContent, InventoryEntry, InventoryOrigin, TransferProgress,
};
use crate::transfer::walk::{ImageWalk, Need};

/// Blobs that are fetched at once.
const AT_ONCE: usize = 4;

/// Blobs that could not be fetched, and why.
pub(crate) type Lost = BTreeMap<Digest, Arc<RegistryError>>;

/// Images that could not be fetched.
#[derive(Default)]
pub(crate) struct Failures {
    first: Option<RegistryError>,
    texts: Vec<String>,
}

impl Failures {
    pub(crate) fn add(&mut self, image: &impl std::fmt::Display, error: RegistryError) {
        self.texts.push(format!("{image}: {error}"));
        self.first.get_or_insert(error);
    }
}

/// Fetches the blobs of all images, each once. Returns those that failed.
pub(crate) async fn fetch(
    registry: &Registry,
    walks: &[(Option<&ImageReference>, ImageWalk<'_>)],
    progress: &mut (impl FnMut(TransferProgress) + Send + Sync),
) -> Lost {
    let mut needs: BTreeMap<&Digest, &Need> = BTreeMap::new();
    for (_, walk) in walks {
        walk.needs(&mut needs);
    }
    let mut now = TransferProgress {
        done: 0,
        total: needs.len() as u64,
        bytes: 0,
    };
    progress(now);
    let mut fetches = Vec::with_capacity(needs.len());
    for (digest, need) in needs {
        fetches.push(async move { (digest, registry.have(&need.location, digest).await) });
    }
    let mut fetches = stream::iter(fetches).buffer_unordered(AT_ONCE);
    let mut lost = Lost::new();
    while let Some((digest, outcome)) = fetches.next().await {
        now.done += 1;
        match outcome {
            Ok(size) => now.bytes += size,
            Err(error) => {
                lost.insert(digest.clone(), Arc::new(error));
            }
        }
        progress(now);
    }
    lost
}

impl ImageWalk<'_> {
    /// Adds the blobs that this image and its attachments need.
    fn needs<'n>(&'n self, needs: &mut BTreeMap<&'n Digest, &'n Need>) {
        for (digest, need) in &self.blobs {
            needs.entry(digest).or_insert(need);
        }
        for part in &self.attached {
            part.needs(needs);
        }
    }

    /// Why this image is incomplete, attachments aside.
    pub(crate) fn lacks(&self, lost: &Lost) -> Option<RegistryError> {
        let missing = self.blobs.keys().find_map(|digest| lost.get(digest));
        missing.map(|error| RegistryError::Shared(Arc::clone(error)))
    }
}

/// The inventory of several images, while it is built.
#[derive(Default)]
pub(crate) struct Merged {
    contents: BTreeMap<Digest, InventoryContent>,
    names: HashSet<String>,
    seen: HashSet<(ImageReference, bool)>,
    inventory: Inventory,
    beside: Vec<InventoryEntry>,
}

impl Merged {
    /// Adds a complete image, with its complete attachments.
    pub(crate) fn add(&mut self, walk: ImageWalk<'_>, lost: &Lost) {
        let mut whole = true;
        for part in walk.attached {
            match part.lacks(lost) {
                None => self.add(part, lost),
                Some(error) => {
                    whole = false;
                    let entries = part.inventory.entries.iter().chain(&part.beside);
                    let names: Vec<String> = entries.map(|e| e.image.to_string()).collect();
                    let what = match names.is_empty() {
                        true => "what is attached to an image".to_owned(),
                        false => names.join(", "),
                    };
                    if part
                        .inventory
                        .entries
                        .iter()
                        .any(|entry| entry.name.is_some())
                    {
                        self.inventory.failed.push(format!("{what}: {error}"));
                    } else {
                        self.inventory
                            .warnings
                            .push(format!("{what} is left out: {error}"));
                    }
                }
            }
        }
        self.contents.extend(walk.manifests);
        for (digest, need) in walk.blobs {
            let content = InventoryContent {
                digest: digest.clone(),
                size: need.size,
                repository: need.location.storage().clone(),
                manifest: false,
            };
            self.contents.entry(digest).or_insert(content);
        }
        for mut entry in walk.inventory.entries {
            entry.partial |= !whole;
            self.entry(entry);
        }
        for entry in walk.beside {
            if self.beside.iter().all(|other| other.image != entry.image) {
                self.beside.push(entry);
            }
        }
        self.inventory.documents.extend(walk.inventory.documents);
        self.inventory.warnings.extend(walk.inventory.warnings);
        self.inventory.failed.extend(walk.inventory.failed);
    }

    fn entry(&mut self, mut entry: InventoryEntry) {
        let derived = entry.origin == InventoryOrigin::Derived;
        if !self.seen.insert((entry.image.clone(), derived)) {
            return;
        }
        if let Some(name) = &entry.name
            && !self.names.insert(name.clone())
        {
            // Tools find what the login gets under the name.
            let holder = self.inventory.entries.iter_mut();
            let holder = holder
                .filter(|_| derived)
                .find(|e| e.name.as_ref() == Some(name));
            match holder {
                Some(holder) => holder.name = None,
                None => entry.name = None,
            }
        }
        self.inventory.entries.push(entry);
    }

    /// The inventory; the first failure if nothing could be fetched.
    pub(crate) fn finish(mut self, failures: Failures) -> Result<Inventory, RegistryError> {
        let nothing = self.inventory.entries.is_empty() && self.beside.is_empty();
        if let (Some(first), true) = (failures.first, nothing) {
            return Err(first);
        }
        self.inventory.failed.extend(failures.texts);
        self.inventory.entries.append(&mut self.beside);
        self.inventory.contents = self.contents.into_values().collect();
        for list in [&mut self.inventory.documents, &mut self.inventory.warnings] {
            list.sort();
            list.dedup();
        }
        Ok(self.inventory)
    }
}
