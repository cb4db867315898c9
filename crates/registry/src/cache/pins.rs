//! Pins: manifests that an operator exempts from eviction, and their sources.

use std::time::SystemTime;

use metahub_oci::{Digest, Document, ImageReference, Reference, RepositoryName};
use metahub_store::{Pin, Pinning, StoredManifest};
use serde::{Deserialize, Serialize};

use crate::Registry;
use crate::access::location::storage_name;
use crate::access::pass_through::shown;
use crate::error::RegistryError;
use crate::provenance::parse_sources;
use crate::pull::source::parse;

const NO_DIGEST: &str = "only NAME@DIGEST can be pinned: a tag names another image tomorrow";
const FULL: &str =
    "there are as many pins as there may be: remove some with metahub pin --remove NAME@DIGEST";

/// A pinned image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedImage {
    /// `NAME@DIGEST`. An upstream's image is listed under that upstream's name.
    pub image: String,
    /// When it was pinned, in seconds since 1970.
    pub pinned_at: u64,
}

impl PinnedImage {
    fn new(repository: &RepositoryName, digest: &Digest, at: SystemTime) -> Self {
        let since = at.duration_since(SystemTime::UNIX_EPOCH);
        Self {
            image: format!("{}@{digest}", shown(repository)),
            pinned_at: since.map_or(0, |since| since.as_secs()),
        }
    }
}

impl Registry {
    /// Pins a manifest, with everything that it leads to and the sources of those, as far as they
    /// are stored. For operators.
    ///
    /// # Errors An image that is not named by its digest or not stored, and too many pins.
    pub async fn pin(&self, image: &ImageReference) -> Result<PinnedImage, RegistryError> {
        let (name, digest) = named(image)?;
        for repository in self.repositories_called(&name).await? {
            match self.store().pin(&repository, &digest).await? {
                Pinning::Done => {
                    tracing::info!(%repository, %digest, "pinned");
                    return Ok(PinnedImage::new(&repository, &digest, SystemTime::now()));
                }
                Pinning::Absent => {}
                Pinning::Full => return Err(RegistryError::Unsupported(FULL)),
            }
        }
        Err(RegistryError::ManifestUnknown {
            name,
            reference: digest.into(),
            hint: ": pull it first, since a pin lets stay what is here".to_owned(),
        })
    }

    /// Removes a pin. Returns whether there was one.
    ///
    /// # Errors
    /// An image that is not named by its digest.
    pub async fn unpin(&self, image: &ImageReference) -> Result<bool, RegistryError> {
        let (name, digest) = named(image)?;
        let mut removed = false;
        for repository in self.repositories_called(&name).await? {
            removed |= self.store().unpin(&repository, &digest).await?;
        }
        Ok(removed)
    }

    /// Everything that is pinned.
    pub async fn pinned_images(&self) -> Result<Vec<PinnedImage>, RegistryError> {
        let pins = self.store().pins().await?;
        let pins = pins.iter();
        Ok(pins
            .map(|pin| PinnedImage::new(&pin.repository, &pin.digest, pin.pinned_at))
            .collect())
    }

    /// The repositories of the store behind the clients' `name`: content derived under that name,
    /// and content cached from its upstreams.
    async fn repositories_called(
        &self,
        name: &RepositoryName,
    ) -> Result<Vec<RepositoryName>, RegistryError> {
        let itself = self.as_itself();
        let mut all = vec![itself.storage_repository(name)?.into_owned()];
        for location in itself.locations_called(name).await? {
            if !all.contains(location.storage()) {
                all.push(location.storage().clone());
            }
        }
        Ok(all)
    }

    /// Manifests that pins exempt from eviction: the pinned ones, those they lead to, and the
    /// sources of those.
    pub(crate) async fn pinned(&self) -> Result<Vec<(RepositoryName, Digest)>, RegistryError> {
        let mut all = Vec::new();
        for Pin {
            repository, digest, ..
        } in self.store().pins().await?
        {
            let Some(stored) = self.store().manifest(&repository, &digest).await? else {
                continue;
            };
            if let Document::Index(index) = parse(&stored)? {
                for child in index.manifests() {
                    let child = self.store().manifest(&repository, child.digest()).await?;
                    if let Some(child) = child {
                        self.add_with_sources(&repository, &child, &mut all).await?;
                    }
                }
            }
            self.add_with_sources(&repository, &stored, &mut all)
                .await?;
        }
        Ok(all)
    }

    async fn add_with_sources(
        &self,
        repository: &RepositoryName,
        stored: &StoredManifest,
        all: &mut Vec<(RepositoryName, Digest)>,
    ) -> Result<(), RegistryError> {
        all.push((repository.clone(), stored.digest.clone()));
        for image in parse_sources(&stored.sources) {
            let Reference::Digest(digest) = image.reference() else {
                continue;
            };
            for location in self.as_itself().locations_of_image(&image).await? {
                all.push((location.storage().clone(), digest.clone()));
            }
        }
        Ok(())
    }
}

/// The name that clients use, and the digest.
fn named(image: &ImageReference) -> Result<(RepositoryName, Digest), RegistryError> {
    let digest = image
        .digest()
        .ok_or(RegistryError::Unsupported(NO_DIGEST))?;
    let name = match image.host() {
        Some(host) => storage_name(host, image.name())?,
        None => image.name().clone(),
    };
    Ok((name, digest.clone()))
}
