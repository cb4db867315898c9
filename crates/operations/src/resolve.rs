//! Resolve: which image a login gets, and why. The request as it goes through the API, and its
//! answers.

use metahub_catalog::Composed;
use metahub_oci::{ImageReference, Platform};
use metahub_registry::{Read, RegistryError, Repository, Resolution};
use metahub_resolve::Verdicts;
use serde::{Deserialize, Serialize};

/// A request for what a login gets for an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolve {
    /// The image as the registry names it.
    pub image: ImageReference,
    /// Only this platform.
    pub platform: Option<Platform>,
}

impl Resolve {
    /// Its path in the API.
    pub const PATH: &str = "/api/v1/resolve";

    /// The request as the API's query.
    #[must_use]
    pub fn query(&self) -> Vec<(&'static str, String)> {
        let image = ("image", self.image.to_string());
        let platform = self.platform.as_ref().map(ToString::to_string);
        let platform = platform.map(|platform| ("platform", platform));
        std::iter::once(image).chain(platform).collect()
    }

    /// Resolves the image for `profile`; `repository` is the image's.
    ///
    /// # Errors As [`RegistryError`] says; [`RegistryError::NothingFits`] if the image exists and
    /// none of it fits.
    pub async fn run(
        &self,
        repository: &Repository<'_, Read>,
        profile: &Composed,
    ) -> Result<Resolution, RegistryError> {
        repository
            .resolve(&self.image, profile, self.platform.as_ref())
            .await
    }
}

/// The detail of the API's error when nothing fits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NothingFits {
    /// [`NothingFits::REASON`].
    pub reason: String,
    /// What the login provides.
    pub wanted: String,
    /// The targets of the existing images.
    pub existing: Vec<String>,
    /// The verdict on each entry.
    pub entries: Verdicts,
}

impl NothingFits {
    /// Identifies this error for programs.
    pub const REASON: &str = "nothing-fits";

    /// The detail of `error`, if it means that nothing fits.
    #[must_use]
    pub fn of(error: &RegistryError) -> Option<Self> {
        match error.root() {
            RegistryError::NothingFits { nothing, .. } => Some(Self {
                reason: Self::REASON.to_owned(),
                wanted: nothing.wanted.clone(),
                existing: nothing.existing.clone(),
                entries: (*nothing.verdicts).clone(),
            }),
            _ => None,
        }
    }
}
