//! What is gathered in parts: each is walked by itself, so that one that cannot be had leaves
//! nothing of it behind in what it belongs to.

use std::collections::{BTreeMap, HashSet};

use metahub_oci::Digest;

use crate::transfer::fetch_images::{ImageWalk, Select};
use crate::transfer::inventory::{ImageSelection, Inventory};
use crate::{Registry, RegistryError};

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

    /// Begins with something that is attached, or that can be left out for another reason.
    pub(crate) fn begin(&mut self) -> Self {
        Self {
            seen: std::mem::take(&mut self.seen),
            ..Self::new(self.registry, self.wanted)
        }
    }

    /// Ends what [`begin`](Self::begin) began. What cannot be had is left out, with a warning that
    /// names it.
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

    /// Takes in a part as something that is needed.
    pub(crate) fn absorb(&mut self, mut part: Self) {
        self.seen.extend(std::mem::take(&mut part.seen));
        // Where something was found first is where it lies: a derived index also names what is
        // held upstream_locations_of.
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

    /// Whether a manifest was gathered, be it as something that is attached.
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

    /// Notes an image of an index that cannot be had.
    pub(crate) fn lost_child(&mut self, what: &str, error: RegistryError) {
        self.inventory.failed.push(format!("{what}: {error}"));
        self.absent.get_or_insert(error);
    }

    pub(crate) fn warn(&mut self, warning: String) {
        self.inventory.warnings.push(warning);
    }
}
