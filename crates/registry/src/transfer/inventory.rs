//! The request and the result of fetching images in full: plain data that travels between
//! processes.

use std::sync::Arc;

use metahub_catalog::Composed;
use metahub_oci::{Descriptor, Digest, ImageReference, Platform, RepositoryName};
use metahub_store::Origin;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Images to fetch in full.
#[derive(Clone, Debug)]
pub struct ImageSelection {
    /// The images as clients or documents name them.
    pub images: Vec<ImageReference>,
    /// Only what a login under this profile gets of them; everything that they lead to, if none.
    pub profile: Option<Arc<Composed>>,
    /// Only for these platforms; for all, if none are named.
    pub platforms: Vec<Platform>,
    /// Whether to include the catalog's own profiles and the layers that they add.
    pub profiles: bool,
}

/// The progress of fetching images.
#[derive(Clone, Copy, Debug, Default)]
pub struct TransferProgress {
    /// Pieces of content that are stored.
    pub done: u64,
    /// Pieces in all.
    pub total: u64,
    /// Bytes of those that are stored.
    pub bytes: u64,
}

/// The contents of fetched images: all of them are stored here, verified.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Inventory {
    /// The images and their referrers.
    pub entries: Vec<InventoryEntry>,
    /// Manifests and blobs, in order of their digests.
    pub contents: Vec<InventoryContent>,
    /// Profile and collection documents, each as a text of its own.
    pub documents: Vec<String>,
    /// What was left out, and why.
    pub warnings: Vec<String>,
    /// Images that could not be fetched, and why; the others are in the inventory.
    #[serde(default)]
    pub failed: Vec<String>,
}

/// One image, or a referrer of one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InventoryEntry {
    /// Its full name.
    pub image: ImageReference,
    /// The name under which tools find it; `None` if another entry has that name, or if none of its
    /// images is complete.
    pub name: Option<String>,
    /// Its origin.
    pub origin: InventoryOrigin,
    /// Its descriptor.
    pub descriptor: Value,
    /// Whether something that it leads to was left out on purpose.
    pub partial: bool,
}

/// The origin of content, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InventoryOrigin {
    /// Somebody pushed it.
    Pushed,
    /// It was fetched from an upstream.
    Upstream,
    /// It was derived here, and is derived again wherever its sources are.
    Derived,
}

impl InventoryOrigin {
    /// As it is written in a bundle.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pushed => "pushed",
            Self::Upstream => "upstream",
            Self::Derived => "derived",
        }
    }
}

impl From<Origin> for InventoryOrigin {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::Pushed => Self::Pushed,
            Origin::Upstream => Self::Upstream,
            Origin::Derived => Self::Derived,
        }
    }
}

/// A manifest or a blob.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InventoryContent {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// A repository of the store that holds it.
    pub repository: RepositoryName,
    /// Whether it is a manifest or an index.
    pub manifest: bool,
}

impl Inventory {
    /// The total size in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.contents.iter().map(|content| content.size).sum()
    }
}

impl InventoryEntry {
    /// Its descriptor, if it is one.
    #[must_use]
    pub fn descriptor(&self) -> Option<Descriptor> {
        Descriptor::from_json(&self.descriptor).ok()
    }
}
