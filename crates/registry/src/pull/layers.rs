//! What a profile does to the images of a source, and the layer images that it may need for that.

use std::sync::Arc;

use metahub_catalog::{Action, Composed};
use metahub_oci::{ImageReference, RepositoryName};

use crate::Registry;
use crate::error::RegistryError;
use crate::pull::explanation::SourceKind;
use crate::pull::source::Source;
use crate::pull::standing::{Found, Standing, bytes_of};

/// The actions that may be done to the images of a source, in order, and their layer images.
pub(crate) struct ImageActions<'a> {
    pub(crate) actions: Vec<&'a Action>,
    pub(crate) layers: Arc<[LayerImage]>,
}

/// What the layer images that actions name were found to be, by their names in order, and whether
/// an account asked: each notes uses of cached content as its own.
pub(crate) type LayersFound = Found<(Vec<ImageReference>, bool), Arc<[LayerImage]>>;

/// A layer image that the profile adds, as it is now.
pub(crate) struct LayerImage {
    pub(crate) reference: ImageReference,
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
        let layers = self.layers_of(&actions).await;
        Some(ImageActions { actions, layers })
    }

    /// The layer images that `actions` name, each once, as they are now.
    async fn layers_of(&self, actions: &[&Action]) -> Arc<[LayerImage]> {
        let named: Vec<&ImageReference> = metahub_resolve::named_layer_images(actions).collect();
        if named.is_empty() {
            return Arc::default();
        }
        let found = &self.inner.layers_found;
        let account = self.client == 0;
        let hash = found.hash(&(&named, account));
        let is = |(names, by): &(Vec<ImageReference>, bool)| {
            *by == account && names.iter().eq(named.iter().copied())
        };
        if let Some(layers) = found.get(self, hash, is) {
            return layers;
        }
        // Boxed: looking them up is rare, and its state would make every pull's larger.
        let (layers, standing) = Box::pin(self.look_up_layers(actions)).await;
        if let Some(standing) = standing {
            let names = named.iter().copied().cloned().collect::<Vec<_>>();
            let sources = layers.iter().filter_map(|layer| layer.source.as_ref().ok());
            let bytes: usize = sources.flatten().map(bytes_of).sum();
            let key = (names, account);
            found.keep(hash, key, Arc::clone(&layers), standing, bytes);
        }
        layers
    }

    async fn look_up_layers(&self, actions: &[&Action]) -> (Arc<[LayerImage]>, Option<Standing>) {
        let mut layers = Vec::new();
        let mut standing = Some(Standing::default());
        for reference in metahub_resolve::layer_images(actions) {
            let (source, stands) = match self.standing_source(reference).await {
                Ok((source, stands)) => (Ok(source), stands),
                Err(error) => (Err(Arc::new(error)), None),
            };
            standing = standing.zip(stands).map(|(a, b)| a.and(b));
            let reference = reference.clone();
            layers.push(LayerImage { reference, source });
        }
        (layers.into(), standing)
    }
}
