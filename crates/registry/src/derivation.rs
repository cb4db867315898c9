//! One run of the events: `post-manifest-list-get` on an index, then `post-manifest-get` on every
//! child that it leaves. What comes out is stored as it is made, children before the index that
//! names them. Whether a run is needed at all is decided in [`derive`](crate::derive).

use std::sync::Arc;

use metahub_catalog::Composed;
use metahub_oci::{
    Descriptor, Digest, Document, ImageReference, Index, Manifest, RepositoryName, Tag,
};
use metahub_resolve::{UNKNOWN, Verdicts};
use metahub_store::{PutManifest, StoredManifest};

use crate::blob::write_sources;
use crate::candidates::Candidates;
use crate::derive::{Derived, LayerImage, nothing_fits};
use crate::images::{Image, missing};
use crate::place::Place;
use crate::push::put_blob_error;
use crate::source::{Children, Source, parse};
use crate::{AddedLayers, Child, Explanation, Registry, RegistryError};

/// One run of the events.
pub(crate) struct Derivation<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) name: &'a RepositoryName,
    /// The repository of the store that takes what is derived.
    pub(crate) home: &'a RepositoryName,
    pub(crate) tag: &'a Tag,
    pub(crate) source: &'a Source,
    pub(crate) candidates: &'a Candidates,
    pub(crate) profile: &'a Composed,
    pub(crate) layers: &'a [LayerImage],
}

impl Derivation<'_> {
    pub(crate) async fn run(&self) -> Result<Derived, RegistryError> {
        match self.source.document()? {
            Document::Index(index) => self.index(&index).await,
            Document::Manifest(manifest) => self.single(manifest).await,
        }
    }

    /// `post-manifest-list-get`, then `post-manifest-get` on every child that survives: the index
    /// that is served must already name the derived children.
    async fn index(&self, index: &Index) -> Result<Derived, RegistryError> {
        let policy = self.registry.settings().policy;
        let narrowed = self
            .candidates
            .narrow(index, self.profile, policy)
            .map_err(|nothing| nothing_fits(self.name, self.tag, nothing))?;
        let mut explanation = self.explanation();
        for _ in narrowed
            .chosen
            .iter()
            .filter(|one| one.annotation(UNKNOWN).is_some())
        {
            self.registry.counters().unknown_served.one_more();
        }
        explanation.entries = narrowed.verdicts;
        explanation.warnings = narrowed.warnings;
        let mut served = Vec::new();
        let mut refused = None;
        for (entry, child) in narrowed.chosen.iter().zip(narrowed.index.manifests()) {
            match self.child(entry, child, &mut explanation).await {
                Ok(child) => served.push(child),
                // A child that the layers are not for is left out; the others still work.
                Err(error @ RegistryError::Layers { .. }) => refused = Some(error),
                Err(error) => return Err(error),
            }
        }
        if let Some(error) = refused.filter(|_| served.is_empty()) {
            return Err(error);
        }
        let document = Document::from(narrowed.index.with_manifests(served));
        // A collection's own index is at no place.
        let source = match &self.source.children {
            Children::At(place) => vec![(place, self.source.stored.digest.clone())],
            Children::Each(_) => Vec::new(),
        };
        let stored = self.put(&document, &source).await?;
        Ok(Derived {
            stored,
            explanation,
        })
    }

    /// One child of the derived index, as it is to be listed.
    async fn child(
        &self,
        entry: &Descriptor,
        listed: &Descriptor,
        explanation: &mut Explanation,
    ) -> Result<Descriptor, RegistryError> {
        let digest = entry.digest();
        let platform = listed.platform();
        let place = self.source.place_of(digest);
        let from_elsewhere = matches!(self.source.children, Children::Each(_));
        let mut result = listed.clone();
        let mut derived_from = None;
        if let Some(place) = place.filter(|_| from_elsewhere || !self.layers.is_empty()) {
            let found = self.registry.manifest_at(place, digest).await?;
            let found = found.ok_or_else(|| missing(place.kept(), digest))?;
            let document = parse(&found)?;
            match document {
                Document::Manifest(manifest) if !self.layers.is_empty() && manifest.is_image() => {
                    let image = self.registry.image_at(place, manifest).await?;
                    let derived = self.add_layers(place, image, explanation).await?;
                    result = listed.with_content(
                        derived.media_type.clone(),
                        derived.digest.clone(),
                        derived.bytes.len() as u64,
                    );
                    derived_from = Some(digest.clone());
                }
                other if from_elsewhere => {
                    self.put(&other, &[(place, digest.clone())]).await?;
                }
                _ => {}
            }
        }
        explanation.children.push(Child {
            platform,
            digest: result.digest().clone(),
            derived_from,
            requires: entry.platform().map(|p| p.features).unwrap_or_default(),
        });
        Ok(result)
    }

    /// A tag that names a manifest passes only `post-manifest-get`. An image that the hardware
    /// cannot run is refused, as it would be in an index.
    async fn single(&self, manifest: Manifest) -> Result<Derived, RegistryError> {
        let mut explanation = self.explanation();
        let policy = self.registry.settings().policy;
        (explanation.entries, explanation.warnings) =
            self.candidates
                .judge(self.profile, policy)
                .map_err(|nothing| nothing_fits(self.name, self.tag, nothing))?;
        let digest = manifest.digest().clone();
        let (Children::At(place), true) = (
            &self.source.children,
            manifest.is_image() && !self.layers.is_empty(),
        ) else {
            let platform = match &self.source.children {
                Children::At(place) => self.registry.platform_of(place, &manifest).await,
                Children::Each(_) => None,
            };
            explanation.children.push(Child {
                platform,
                digest,
                derived_from: None,
                requires: Vec::new(),
            });
            return Ok(Derived {
                stored: Arc::clone(&self.source.stored),
                explanation,
            });
        };
        let image = self.registry.image_at(place, manifest).await?;
        let platform = image.config.platform();
        let stored = self.add_layers(place, image, &mut explanation).await?;
        explanation.children.push(Child {
            platform: Some(platform),
            digest: stored.digest.clone(),
            derived_from: Some(digest),
            requires: Vec::new(),
        });
        Ok(Derived {
            stored,
            explanation,
        })
    }

    /// Puts every layer image on top of `base`, in the profile's order, and keeps the result.
    async fn add_layers(
        &self,
        place: &Place,
        base: Image,
        explanation: &mut Explanation,
    ) -> Result<Arc<StoredManifest>, RegistryError> {
        let platform = base.config.platform();
        let mut sources = vec![(place, base.manifest.digest().clone())];
        let mut image = base;
        for layer in self.layers {
            let refuse = |problem: String| RegistryError::Layers {
                name: self.name.clone(),
                layer: layer.reference.to_string(),
                problem,
            };
            let Children::At(layer_place) = &layer.source.children else {
                continue;
            };
            let document = layer.source.document()?;
            let manifest = self
                .registry
                .manifest_for(layer_place, &document, &platform)
                .await?
                .ok_or_else(|| refuse(format!("it has no build for {platform}")))?;
            let added = self.registry.image_at(layer_place, manifest).await?;
            let (manifest, config) = metahub_resolve::add_layers(
                &image.manifest,
                &image.config,
                &added.manifest,
                &added.config,
                &format!("metahub manifest-add {}", layer.reference),
            )
            .map_err(|error| RegistryError::layers(self.name, &layer.reference, &error))?;
            sources.push((layer_place, added.manifest.digest().clone()));
            explanation.added.push(AddedLayers {
                image: layer.reference.to_string(),
                manifest: added.manifest.digest().clone(),
                layers: added.manifest.layers().len(),
                platform: Some(platform.clone()),
            });
            image = Image { manifest, config };
        }
        let config = &image.config;
        let store = self.registry.store();
        store
            .put_blob(self.home, config.digest(), config.bytes().clone())
            .await
            .map_err(put_blob_error)?;
        self.put(&Document::from(image.manifest), &sources).await
    }

    /// Keeps a document under the name that clients ask for, with where its blobs come from.
    async fn put(
        &self,
        document: &Document,
        sources: &[(&Place, Digest)],
    ) -> Result<Arc<StoredManifest>, RegistryError> {
        let images: Vec<ImageReference> = sources
            .iter()
            .map(|(place, digest)| place.image(digest))
            .collect();
        let put = PutManifest {
            // What the sources hold already is readable through the derived name at once; the
            // rest is fetched from where it came when somebody asks for it.
            mount_from: sources
                .iter()
                .map(|(place, _)| place.kept().clone())
                .collect(),
            ..PutManifest::derived(write_sources(&images))
        };
        self.registry.put(self.home, document, put).await
    }

    fn explanation(&self) -> Explanation {
        Explanation {
            source: self.source.kind,
            source_digest: self.source.stored.digest.clone(),
            entries: Verdicts::default(),
            children: Vec::new(),
            added: Vec::new(),
            warnings: Vec::new(),
        }
    }
}
