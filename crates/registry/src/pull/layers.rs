//! What a profile does to the images of a source, and the layer images that it may need for that.

use std::sync::Arc;

use metahub_catalog::{Action, Composed};
use metahub_oci::{ImageReference, RepositoryName};

use crate::Registry;
use crate::error::RegistryError;
use crate::pull::explanation::SourceKind;
use crate::pull::source::Source;

/// The actions that may be done to the images of a source, in order, and their layer images.
pub(crate) struct ImageActions<'a> {
    pub(crate) actions: Vec<&'a Action>,
    pub(crate) layers: Vec<LayerImage<'a>>,
}

/// A layer image that the profile adds, as it is now.
pub(crate) struct LayerImage<'a> {
    pub(crate) reference: &'a ImageReference,
    /// Nothing where there is no such image. That, or why it cannot be read, is an error where the
    /// image is needed: not for what cannot run, nor where its action is not done.
    pub(crate) source: Result<Option<Source>, Arc<RegistryError>>,
}

impl ImageActions<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }

    /// The digests of the layer images; one that is not there has none.
    pub(crate) fn layer_digests(&self) -> Vec<&str> {
        let layers = self.layers.iter().map(|layer| match &layer.source {
            Ok(Some(source)) => source.stored.digest.as_str(),
            _ => "",
        });
        layers.collect()
    }
}

impl Registry {
    /// What the events of `profile` would do to the images of `source`, which is read as `name`. Nothing where no event
    /// applies, so that the source is served as it is.
    pub(crate) async fn image_actions<'a>(
        &self,
        name: &RepositoryName,
        source: &Source,
        profile: &'a Composed,
    ) -> Option<ImageActions<'a>> {
        let applies = source.kind == SourceKind::Collection
            || source.redirected.is_some()
            || metahub_resolve::applies(profile, name);
        if !applies {
            return None;
        }
        let actions = metahub_resolve::image_actions(profile, name);
        let mut layers = Vec::new();
        for reference in metahub_resolve::layer_images(&actions) {
            let source = self.document_source(reference).await;
            layers.push(LayerImage {
                reference,
                source: source.map_err(Arc::new),
            });
        }
        Some(ImageActions { actions, layers })
    }
}
