//! The layers that a profile adds to the images of a repository.

use metahub_catalog::Composed;
use metahub_oci::{Document, RepositoryName};

use crate::Registry;
use crate::error::RegistryError;
use crate::pull::explanation::SourceKind;
use crate::pull::outcome::LayerImage;
use crate::pull::source::Source;

impl Registry {
    /// The layer images that the events of `profile` would add to the source. Nothing where no
    /// event applies, so that the source is served as it is.
    pub(crate) async fn layers_to_add(
        &self,
        name: &RepositoryName,
        source: &Source,
        profile: &Composed,
    ) -> Result<Option<Vec<LayerImage>>, RegistryError> {
        if source.kind != SourceKind::Collection && !metahub_resolve::applies(profile, name) {
            return Ok(None);
        }
        match self.layer_images(name, profile).await {
            Ok(layers) => Ok(Some(layers)),
            // What cannot run gets no layers, so it does not matter that there are none.
            Err(_) if !self.is_runnable(source).await? => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a source is, or leads to, something that can run.
    async fn is_runnable(&self, source: &Source) -> Result<bool, RegistryError> {
        match &*self.document(&source.stored).await? {
            Document::Manifest(manifest) => Ok(manifest.is_image()),
            Document::Index(index) => self.can_run(source, index).await,
        }
    }

    /// The layer images that `profile` adds to images of `name`, as they are now.
    async fn layer_images(
        &self,
        name: &RepositoryName,
        profile: &Composed,
    ) -> Result<Vec<LayerImage>, RegistryError> {
        let mut layers = Vec::new();
        for reference in metahub_resolve::layers_for(profile, name) {
            let source =
                self.document_source(reference)
                    .await?
                    .ok_or_else(|| RegistryError::Layers {
                        name: name.clone(),
                        layer: reference.to_string(),
                        problem: "there is no such image here or at its upstream".to_owned(),
                    })?;
            layers.push(LayerImage {
                reference: reference.clone(),
                source,
            });
        }
        Ok(layers)
    }
}
