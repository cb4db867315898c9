//! Pins: manifests that stay until an operator removes the pin.

use metahub_oci::ImageReference;
use metahub_registry::{PinnedImage, Registry};
use serde::{Deserialize, Serialize};

use crate::error::OperationError;
use crate::operation::Operation;
use crate::progress::Progress;

/// Pins an image by its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinImage {
    /// `NAME@DIGEST`, with the name for clients.
    pub image: ImageReference,
}

impl Operation for PinImage {
    type Report = PinnedImage;

    async fn carry_out(
        self,
        registry: &Registry,
        _: impl FnMut(Progress) + Send + Sync,
    ) -> Result<PinnedImage, OperationError> {
        Ok(registry.pin(&self.image).await?)
    }
}

/// Removes a pin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnpinImage {
    /// `NAME@DIGEST`, as clients call it.
    pub image: ImageReference,
}

impl Operation for UnpinImage {
    type Report = bool;

    async fn carry_out(
        self,
        registry: &Registry,
        _: impl FnMut(Progress) + Send + Sync,
    ) -> Result<bool, OperationError> {
        Ok(registry.unpin(&self.image).await?)
    }
}

/// Lists all pins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListPins {}

impl Operation for ListPins {
    type Report = Vec<PinnedImage>;

    async fn carry_out(
        self,
        registry: &Registry,
        _: impl FnMut(Progress) + Send + Sync,
    ) -> Result<Vec<PinnedImage>, OperationError> {
        Ok(registry.pinned_images().await?)
    }
}
