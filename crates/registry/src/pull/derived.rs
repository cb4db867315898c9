//! What a derivation makes: documents in memory. [`outcome_store`](crate::pull::outcome_store)
//! stores them.

use metahub_oci::{Descriptor, Digest, Document};
use metahub_resolve::Narrowed;

use crate::access::location::Location;
use crate::error::RegistryError;
use crate::pull::derivation::{Choice, Derivation};
use crate::pull::explanation::{AddedLayers, Child, children_of};
use crate::pull::image::Image;
use crate::pull::outcome_store::{Made, Part};
use crate::pull::source::{Children, parse};

/// Machines that layers are added for in one index, at most: each costs documents of its own.
const MAX_MACHINES: usize = 64;

impl Derivation<'_> {
    /// The documents of an outcome. Reads what is needed of the source; stores nothing of its own.
    pub(crate) async fn make(&self, choice: &Choice) -> Result<Made, RegistryError> {
        let mut made = Made::default();
        match choice {
            Choice::Source => made.children = self.children_of_source().await?,
            Choice::Image {
                location,
                stored,
                platform,
                requires,
            } => {
                made.children.push(Child {
                    platform: platform.clone(),
                    digest: stored.digest.clone(),
                    derived_from: None,
                    requires: requires.clone(),
                });
                made.parts.push(Part {
                    document: parse(stored)?,
                    config: None,
                    sources: vec![(location.clone(), stored.digest.clone())],
                    has_blobs: true,
                    added: Vec::new(),
                });
            }
            Choice::Index(narrowed) => self.index(narrowed, &mut made).await?,
            Choice::Layered(manifest) => {
                if let Children::At(location) = &self.source.children {
                    let digest = manifest.digest().clone();
                    let image = self.registry().image_at(location, manifest.clone()).await?;
                    let platform = image.config.platform();
                    let derived = self.add_layers(location, image, &mut made).await?;
                    made.children.push(Child {
                        platform: Some(platform),
                        digest: derived.digest().clone(),
                        derived_from: Some(digest),
                        requires: Vec::new(),
                    });
                }
            }
        }
        Ok(made)
    }

    /// What the source leads to, as it is.
    async fn children_of_source(&self) -> Result<Vec<Child>, RegistryError> {
        let document = self.registry().document(&self.source.stored).await?;
        let manifest = match &*document {
            Document::Index(index) => return Ok(children_of(index)),
            Document::Manifest(manifest) => manifest,
        };
        let platform = match &self.source.children {
            Children::At(location) => self.registry().platform_of(location, manifest).await,
            Children::Each(_) => None,
        };
        Ok(vec![Child {
            platform,
            digest: manifest.digest().clone(),
            derived_from: None,
            requires: Vec::new(),
        }])
    }

    /// `post-manifest-get` on every child that survived: the index that is served must already
    /// name the derived children.
    async fn index(&self, narrowed: &Narrowed, made: &mut Made) -> Result<(), RegistryError> {
        if let Some(layer) = self.layers.first()
            && narrowed.chosen.len() > MAX_MACHINES
        {
            return Err(RegistryError::Layers {
                name: self.repository.name().clone(),
                layer: layer.reference.to_string(),
                problem: format!(
                    "the index has images for {} machines; layers are added for at most \
                     {MAX_MACHINES}: name the machine's architecture in the login",
                    narrowed.chosen.len()
                ),
            });
        }
        let mut served = Vec::new();
        let mut refused = None;
        for (entry, listed) in narrowed.chosen.iter().zip(narrowed.index.manifests()) {
            match self.child(entry, listed, made).await {
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
        let sources = self.sources_of_index(made);
        made.parts.push(Part {
            document,
            config: None,
            sources,
            has_blobs: false,
            added: Vec::new(),
        });
        Ok(())
    }

    /// What an index is made from: the source and the layers, or, of a collection, whose own index
    /// is built anew and is at no place, the images that were chosen and the layers.
    fn sources_of_index(&self, made: &Made) -> Vec<(Location, Digest)> {
        let mut sources: Vec<(Location, Digest)> = match &self.source.children {
            Children::At(location) => vec![(location.clone(), self.source.stored.digest.clone())],
            Children::Each(_) => Vec::new(),
        };
        let own = !sources.is_empty();
        for part in &made.parts {
            // The first is what the child was made from.
            for source in part.sources.iter().skip(usize::from(own)) {
                if !sources.iter().any(|(_, digest)| *digest == source.1) {
                    sources.push(source.clone());
                }
            }
        }
        sources
    }

    /// One child of the derived index, as it is to be listed.
    async fn child(
        &self,
        entry: &Descriptor,
        listed: &Descriptor,
        made: &mut Made,
    ) -> Result<Descriptor, RegistryError> {
        let digest = entry.digest();
        let from_elsewhere = matches!(self.source.children, Children::Each(_));
        let mut result = listed.clone();
        let mut derived_from = None;
        let location = self.source.location_of(digest);
        if let Some(location) = location.filter(|_| from_elsewhere || !self.layers.is_empty()) {
            match self.child_at(location, digest).await? {
                Document::Manifest(manifest) if !self.layers.is_empty() && manifest.is_image() => {
                    let image = self.registry().image_at(location, manifest).await?;
                    let derived = self.add_layers(location, image, made).await?;
                    result = listed.with_content(
                        derived.media_type().clone(),
                        derived.digest().clone(),
                        derived.bytes().len() as u64,
                    );
                    derived_from = Some(digest.clone());
                }
                document if from_elsewhere => made.parts.push(Part {
                    document,
                    config: None,
                    sources: vec![(location.clone(), digest.clone())],
                    has_blobs: true,
                    added: Vec::new(),
                }),
                _ => {}
            }
        }
        made.children.push(Child {
            platform: listed.platform(),
            digest: result.digest().clone(),
            derived_from,
            requires: entry.platform().map(|p| p.features).unwrap_or_default(),
        });
        Ok(result)
    }

    /// Puts every layer image on top of `base`, in the profile's order.
    async fn add_layers(
        &self,
        location: &Location,
        base: Image,
        made: &mut Made,
    ) -> Result<Document, RegistryError> {
        let platform = base.config.platform();
        let source = base.manifest.clone();
        let mut sources = vec![(location.clone(), source.digest().clone())];
        let mut image = base;
        let mut all_added = Vec::new();
        for layer in &self.layers {
            let refuse = |problem: String| RegistryError::Layers {
                name: self.repository.name().clone(),
                layer: layer.reference.to_string(),
                problem,
            };
            let Children::At(layer_place) = &layer.source.children else {
                continue;
            };
            let document = self.registry().document(&layer.source.stored).await?;
            let manifest = self
                .registry()
                .manifest_for(layer_place, &document, &platform)
                .await?
                .ok_or_else(|| refuse(format!("it has no build for {platform}")))?;
            let added = self.registry().image_at(layer_place, manifest).await?;
            let (manifest, config) = metahub_resolve::add_layers(
                &image.manifest,
                &image.config,
                &added.manifest,
                &added.config,
                &format!("metahub manifest-add {}", layer.reference),
            )
            .map_err(|error| {
                RegistryError::layers(self.repository.name(), &layer.reference, &error)
            })?;
            sources.push((layer_place.clone(), added.manifest.digest().clone()));
            all_added.push(AddedLayers {
                image: layer.reference.to_string(),
                manifest: added.manifest.digest().clone(),
                layers: added.manifest.layers().len(),
                platform: Some(platform.clone()),
            });
            image = Image { manifest, config };
        }
        made.added.extend(all_added.iter().cloned());
        let name = location.image(source.digest()).to_string();
        let manifest = metahub_resolve::name_base(&image.manifest, &source, &name)?;
        let document = Document::from(manifest);
        made.parts.push(Part {
            document: document.clone(),
            config: Some(image.config),
            sources,
            has_blobs: true,
            added: all_added,
        });
        Ok(document)
    }
}
