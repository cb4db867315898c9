//! Verifies collections against the registries of their images: whether each image exists, its
//! digest, and whether it states about itself what its entry states. Nothing is written.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use metahub_catalog::{Catalog, Collection, Loaded, Problem};
use metahub_hardware::Microarchitectures;
use metahub_oci::{Digest, ImageReference};
use serde::Serialize;

use crate::catalog_lock::CatalogLock;
use crate::check::check_images;
use crate::error::OperationError;
use crate::image_reader::ImageReader;

/// Verifies collections.
#[derive(Clone, Debug)]
pub struct VerifyCatalog {
    /// The CPU targets that documents may name.
    pub graph: Arc<Microarchitectures>,
    /// Files, or folders of .yaml and .yml files.
    pub paths: Vec<PathBuf>,
    /// How the images are read.
    pub images: ImageReader,
}

/// An image at its registry.
#[derive(Clone, Debug, Serialize)]
pub struct FoundImage {
    /// Its name in documents.
    pub image: ImageReference,
    /// Its digest.
    pub digest: Digest,
}

/// The report.
#[derive(Clone, Debug, Serialize)]
pub struct VerifyReport {
    /// The existing images, in the order of their names.
    pub images: Vec<FoundImage>,
    /// The problems, in the order of the documents: of the documents, of missing images, and of
    /// images that contradict their entry.
    pub problems: Vec<Problem>,
}

impl VerifyReport {
    /// The digests of the existing images.
    #[must_use]
    pub fn lock(&self) -> CatalogLock {
        CatalogLock::of(self.images.iter().map(|one| (&one.image, &one.digest)))
    }
}

impl VerifyCatalog {
    /// Verifies them.
    ///
    /// # Errors
    /// When no image can be read at all; one that cannot is a problem of its entry.
    pub async fn run(self) -> Result<VerifyReport, OperationError> {
        let Loaded {
            catalog,
            mut problems,
            ..
        } = Catalog::load_in(self.graph, &self.paths);
        let mut images = Vec::new();
        if problems.iter().any(Problem::is_error) {
            return Ok(VerifyReport { images, problems });
        }
        let registry = self.images.open(catalog.clone()).await?;
        problems.extend(check_images(&registry, &catalog).await);
        let names: BTreeMap<String, &ImageReference> = catalog
            .collections()
            .flat_map(|Collection { entries, .. }| entries)
            .map(|entry| (entry.image.to_string(), &entry.image))
            .collect();
        for image in names.into_values() {
            // One that cannot be read is among the problems already.
            if let Ok(Some(digest)) = registry.operator().image_digest(image).await {
                let image = image.clone();
                images.push(FoundImage { image, digest });
            }
        }
        Ok(VerifyReport { images, problems })
    }
}
