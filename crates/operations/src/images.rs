//! Fetches images in full, to warm the cache or to export them.

use metahub_oci::{ImageReference, Platform};
use metahub_registry::{ImageSelection, Inventory, Registry};
use serde::{Deserialize, Serialize};

use crate::error::OperationError;
use crate::operation::Operation;
use crate::progress::Progress;

/// A selection of images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Images {
    /// Their names in this registry.
    pub images: Vec<ImageReference>,
    /// If set, only what this login gets of them.
    pub login: Option<String>,
    /// Their platforms; all, if empty.
    pub platforms: Vec<Platform>,
    /// Whether to include every profile of this site's documents, with the layer images that they
    /// add.
    pub profiles: bool,
}

impl Images {
    fn selection(&self, registry: &Registry) -> Result<ImageSelection, OperationError> {
        let login = self.login.as_deref().map(|login| {
            // Access to the folder needs no password, so no account is looked up.
            registry.catalog().interpret(login, &|_| false)
        });
        Ok(ImageSelection {
            images: self.images.clone(),
            profile: login.transpose()?.map(|login| login.profile),
            platforms: self.platforms.clone(),
            profiles: self.profiles,
        })
    }
}

/// Fetches the missing content of `images`. Returns their inventory.
///
/// # Errors
/// As [`OperationError`] says; [`OperationError::NothingFits`] where nothing of an image fits the
/// login.
pub async fn fetch(
    registry: &Registry,
    images: &Images,
    mut progress: impl FnMut(Progress) + Send + Sync,
) -> Result<Inventory, OperationError> {
    let selection = images.selection(registry)?;
    let fetched = registry
        .fetch_images(&selection, |now| progress(now.into()))
        .await;
    fetched.map_err(OperationError::of_images)
}

/// Fetches images in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Warm(pub Images);

/// The report of fetching images.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warmed {
    /// The requested images.
    pub images: Vec<ImageReference>,
    /// How many manifests and blobs they consist of.
    pub contents: u64,
    /// The bytes of those.
    pub bytes: u64,
    /// Warnings.
    pub warnings: Vec<String>,
    /// Images that could not be fetched, and why. Absent in reports of earlier versions.
    #[serde(default)]
    pub failed: Vec<String>,
}

impl Operation for Warm {
    type Report = Warmed;

    async fn carry_out(
        self,
        registry: &Registry,
        progress: impl FnMut(Progress) + Send + Sync,
    ) -> Result<Warmed, OperationError> {
        let Self(images) = self;
        let inventory = fetch(registry, &images, progress).await?;
        Ok(Warmed {
            images: images.images,
            contents: inventory.contents.len() as u64,
            bytes: inventory.bytes(),
            warnings: inventory.warnings,
            failed: inventory.failed,
        })
    }
}

/// Fetches images in full, and reports their inventory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TakeInventory(pub Images);

impl Operation for TakeInventory {
    type Report = Inventory;

    async fn carry_out(
        self,
        registry: &Registry,
        progress: impl FnMut(Progress) + Send + Sync,
    ) -> Result<Inventory, OperationError> {
        fetch(registry, &self.0, progress).await
    }
}
