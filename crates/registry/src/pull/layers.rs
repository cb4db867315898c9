//! The actions of a profile on the images of a source, and the layer images that they may need.

use std::sync::Arc;

use metahub_catalog::{Action, Composed};
use metahub_oci::{ImageReference, RepositoryName};

use crate::Registry;
use crate::error::RegistryError;
use crate::pull::explanation::SourceKind;
use crate::pull::source::Source;
use crate::pull::standing::{Lookups, Standing, bytes_of};

/// The actions that may run on the images of a source, in order, and their layer images.
pub(crate) struct ImageActions<'a> {
    pub(crate) actions: Vec<&'a Action>,
    pub(crate) layers: Arc<[LayerImage]>,
}

/// Recent look-ups of the layer images of actions.
pub(crate) type LayersFound = Lookups<LayersKey, Arc<[LayerImage]>>;

/// The names of layer images in order, and whether an account asked: each notes uses of cached
/// content as its own.
type LayersKey = (Vec<ImageReference>, bool);

/// The layer images that actions name, in order.
struct Named<'a> {
    images: Vec<&'a ImageReference>,
}

impl<'a> Named<'a> {
    fn by(actions: &[&'a Action]) -> Self {
        Self {
            images: metahub_resolve::named_layer_images(actions).collect(),
        }
    }

    fn hash(&self, registry: &Registry) -> u64 {
        let account = registry.client == 0;
        registry.inner.layers_found.hash(&(&self.images, account))
    }

    fn is(&self, (names, by): &LayersKey, account: bool) -> bool {
        *by == account && names.iter().eq(self.images.iter().copied())
    }
}

/// A layer image that the profile adds, as last looked up.
pub(crate) struct LayerImage {
    pub(crate) reference: ImageReference,
    /// `None` if there is no such image. That, or the error, fails only a pull that needs the
    /// image: not one of content that cannot run, nor one where its action is not done.
    pub(crate) source: Result<Option<Source>, Arc<RegistryError>>,
}

impl ImageActions<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }

    /// The digests of the layer images; empty for a missing one.
    pub(crate) fn layer_digests(&self) -> Vec<&str> {
        let layers = self.layers.iter().map(|layer| match &layer.source {
            Ok(Some(source)) => source.stored.digest.as_str(),
            _ => "",
        });
        layers.collect()
    }
}

impl Registry {
    /// The actions of `profile` on the images of `source`, which is read as `name`. `None` if no
    /// event applies, so that the source is served unchanged.
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

    /// How long the look-up of the layer images stays valid; `None` if they must be looked up
    /// again.
    pub(crate) fn layers_standing(&self, changes: &ImageActions<'_>) -> Option<Standing> {
        let named = Named::by(&changes.actions);
        if named.images.is_empty() {
            return Some(Standing::default());
        }
        let found = &self.inner.layers_found;
        let (hash, account) = (named.hash(self), self.client == 0);
        let (layers, standing) = found.standing(self, hash, |key| named.is(key, account))?;
        Arc::ptr_eq(&layers, &changes.layers).then_some(standing)
    }

    /// Looks up the layer images that `actions` name, each once.
    async fn layers_of(&self, actions: &[&Action]) -> Arc<[LayerImage]> {
        let named = Named::by(actions);
        if named.images.is_empty() {
            return Arc::default();
        }
        let found = &self.inner.layers_found;
        let (hash, account) = (named.hash(self), self.client == 0);
        if let Some(layers) = found.get(self, hash, |key| named.is(key, account)) {
            return layers;
        }
        // Boxed: looking them up is rare, and its state would make every pull's larger.
        let (layers, standing) = Box::pin(self.look_up_layers(actions)).await;
        if let Some(standing) = standing {
            let names = named.images.iter().copied().cloned().collect::<Vec<_>>();
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
