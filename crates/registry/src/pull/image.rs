//! Images as choices need them: a manifest with its configuration, from the store or an upstream.

use bytes::Bytes;
use metahub_oci::{Digest, Document, ImageConfig, Manifest, Platform, RepositoryName};

use metahub_resolve::Image;

use crate::Registry;
use crate::access::location::Location;
use crate::error::RegistryError;
use crate::pull::source::parse;

/// Largest configuration that is read into memory, in bytes. Real ones have a few KiB.
const MAX_CONFIG_BYTES: u64 = 4 * 1024 * 1024;

impl Registry {
    /// The configuration of the image that `manifest`, found at `place`, describes.
    pub(crate) async fn image_at(
        &self,
        location: &Location,
        manifest: Manifest,
    ) -> Result<Image, RegistryError> {
        let image = location.image(manifest.digest()).to_string();
        let Some(descriptor) = manifest.config() else {
            return Err(RegistryError::unknown(
                location.storage(),
                manifest.digest().clone(),
            ));
        };
        let digest = descriptor.digest().clone();
        let bytes = self
            .small_blob_at(location, &digest, MAX_CONFIG_BYTES)
            .await?;
        let config = ImageConfig::parse(bytes).map_err(|error| RegistryError::Config {
            image,
            digest,
            error,
        })?;
        Ok(Image { manifest, config })
    }

    /// A small blob of one place, whole and verified.
    pub(crate) async fn small_blob_at(
        &self,
        location: &Location,
        digest: &Digest,
        limit: u64,
    ) -> Result<Bytes, RegistryError> {
        let blob = self.blob_at(location, digest).await?.ok_or_else(|| {
            RegistryError::BlobUnknown(location.storage().clone(), digest.clone())
        })?;
        blob.read(limit).await
    }

    /// The manifest of the document that is `stored` at `place` for one machine: itself if it is
    /// a manifest, else the index's first entry for that operating system and architecture.
    pub(crate) async fn manifest_for(
        &self,
        location: &Location,
        document: &Document,
        platform: &Platform,
    ) -> Result<Option<Manifest>, RegistryError> {
        let index = match document {
            Document::Manifest(manifest) => return Ok(Some(manifest.clone())),
            Document::Index(index) => index,
        };
        let entry = index.manifests().iter().find(|entry| {
            !entry.is_attestation() && entry.platform().is_some_and(|p| p.same_machine(platform))
        });
        let Some(entry) = entry else { return Ok(None) };
        match self.manifest_at(location, entry.digest()).await? {
            Some(stored) => match parse(&stored)? {
                Document::Manifest(manifest) => Ok(Some(manifest)),
                Document::Index(_) => Ok(None),
            },
            None => Err(missing(location.storage(), entry.digest())),
        }
    }
}

/// The error for an index entry whose manifest is nowhere.
pub(crate) fn missing(name: &RepositoryName, digest: &Digest) -> RegistryError {
    RegistryError::ManifestUnknown {
        name: name.clone(),
        reference: digest.clone().into(),
        hint: ", though an index here lists it".to_owned(),
    }
}
