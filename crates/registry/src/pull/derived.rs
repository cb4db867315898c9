//! The documents of a derivation, in memory. [`outcome_store`](crate::pull::outcome_store) stores
//! them.

use std::sync::Arc;

use metahub_oci::{Descriptor, Digest, Document, ImageReference, Platform};
use metahub_resolve::{ActionError, Changed, Image, ImageRun, Narrowed};

use crate::access::location::Location;
use crate::error::RegistryError;
use crate::pull::derivation::{Choice, Derivation};
use crate::pull::explanation::{AddedLayers, Child, children_of};
use crate::pull::outcome_store::{Made, Part};
use crate::pull::source::{Children, parse};

/// Most manifests of an index that is served unchanged under another name.
const MAX_REDIRECTED: usize = 128;
/// Most machines whose images are changed in one index: each needs its own documents.
const MAX_MACHINES: usize = 64;

impl Derivation<'_> {
    /// Makes the documents of an outcome. Reads what it needs from the source; stores nothing.
    pub(crate) async fn make(&self, choice: &Choice) -> Result<Made, RegistryError> {
        let mut made = Made::default();
        match choice {
            Choice::Source => {
                made.children = self.children_of_source().await?;
                if self.source.redirected.is_some() {
                    self.redirected(&mut made).await?;
                }
            }
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
                made.parts.push(Part::as_it_is(parse(stored)?, location));
            }
            Choice::Index(narrowed) => self.index(narrowed, &mut made).await?,
            Choice::Changed(manifest) => {
                let digest = manifest.digest().clone();
                if let Some(location) = self.source.location_of(&digest) {
                    let image = self.registry().image_at(location, manifest.clone()).await?;
                    let platform = image.config.platform();
                    let derived = self.changed(location, image, &mut made).await?;
                    let derived = derived.digest().clone();
                    made.children.push(Child {
                        platform: Some(platform),
                        derived_from: (derived != digest).then_some(digest),
                        digest: derived,
                        requires: Vec::new(),
                    });
                }
            }
        }
        Ok(made)
    }

    /// The unchanged children of the source.
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

    /// The unchanged source under another name, with everything that it leads to.
    async fn redirected(&self, made: &mut Made) -> Result<(), RegistryError> {
        let Children::At(location) = &self.source.children else {
            return Ok(());
        };
        let document = self.registry().document(&self.source.stored).await?;
        let own = (location.clone(), self.source.stored.digest.clone());
        if let Document::Index(index) = &*document {
            if index.manifests().len() > MAX_REDIRECTED {
                return Err(RegistryError::Action {
                    name: self.repository.name().clone(),
                    problem: format!(
                        "{} has {} manifests; an index of at most {MAX_REDIRECTED} is redirected \
                         to: log in with the machine's architecture",
                        location.image(&own.1),
                        index.manifests().len()
                    ),
                });
            }
            for entry in index.manifests() {
                let child = self.child_at(location, entry.digest()).await?;
                made.parts.push(Part::as_it_is(child, location));
            }
        }
        let mut part = Part::as_it_is(Document::clone(&document), location);
        part.has_blobs = matches!(*document, Document::Manifest(_));
        made.parts.push(part);
        Ok(())
    }

    /// Runs `post-manifest-get` on every remaining child: the served index must already name the
    /// derived children.
    async fn index(&self, narrowed: &Narrowed, made: &mut Made) -> Result<(), RegistryError> {
        if !self.changes.is_empty() && narrowed.chosen.len() > MAX_MACHINES {
            return Err(RegistryError::Action {
                name: self.repository.name().clone(),
                problem: format!(
                    "the index has images for {} machines, and at most {MAX_MACHINES} are \
                     changed: name the machine's architecture in the login",
                    narrowed.chosen.len()
                ),
            });
        }
        let mut served = Vec::new();
        let mut refused = None;
        for (entry, listed) in narrowed.chosen.iter().zip(narrowed.index.manifests()) {
            match self.child(entry, listed, made).await {
                Ok(child) => served.push(child),
                // A child for which the layers are not made is left out; the others still work.
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
            steps: Vec::new(),
        });
        Ok(())
    }

    /// The sources of an index: the source index and the layer images, or, for a collection, whose
    /// own index is not stored, the chosen images and the layer images.
    fn sources_of_index(&self, made: &Made) -> Vec<(Location, Digest)> {
        let mut sources: Vec<(Location, Digest)> = match &self.source.children {
            Children::At(location) => vec![(location.clone(), self.source.stored.digest.clone())],
            Children::Each(_) => Vec::new(),
        };
        let own = !sources.is_empty();
        for part in &made.parts {
            // The first is the child's own source.
            for source in part.sources.iter().skip(usize::from(own)) {
                if !sources.iter().any(|(_, digest)| *digest == source.1) {
                    sources.push(source.clone());
                }
            }
        }
        sources
    }

    /// Makes one child of the derived index. Returns its descriptor for the index.
    async fn child(
        &self,
        entry: &Descriptor,
        listed: &Descriptor,
        made: &mut Made,
    ) -> Result<Descriptor, RegistryError> {
        let digest = entry.digest();
        let from_elsewhere =
            self.source.redirected.is_some() || matches!(self.source.children, Children::Each(_));
        let mut result = listed.clone();
        let mut derived_from = None;
        let location = self.source.location_of(digest);
        let changes = !self.changes.is_empty();
        if let Some(location) = location.filter(|_| from_elsewhere || changes) {
            match self.child_at(location, digest).await? {
                Document::Manifest(manifest) if changes && manifest.is_image() => {
                    let image = self.registry().image_at(location, manifest).await?;
                    let derived = self.changed(location, image, made).await?;
                    if derived.digest() != digest {
                        result = listed.with_content(
                            derived.media_type().clone(),
                            derived.digest().clone(),
                            derived.bytes().len() as u64,
                        );
                        derived_from = Some(digest.clone());
                    }
                }
                document if from_elsewhere => {
                    made.parts.push(Part::as_it_is(document, location));
                }
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

    /// Runs the profile's actions on `base`, in order. Returns the descriptor for the index.
    async fn changed(
        &self,
        location: &Location,
        base: Image,
        made: &mut Made,
    ) -> Result<Document, RegistryError> {
        let platform = base.config.platform();
        let source = base.manifest.clone();
        let mut sources = vec![(location.clone(), source.digest().clone())];
        let mut added = Vec::new();
        let provided = self.profile.provided();
        let mut run = ImageRun::new(base, &self.changes.actions, provided);
        while let Some(layer) = run.advance().map_err(|error| self.cannot(&error))? {
            let (place, image) = self.layer_image(layer, &platform).await?;
            let layers = run.add(&image).map_err(|error| self.cannot(&error))?;
            if layers > 0 {
                let manifest = image.manifest.digest().clone();
                sources.push((place, manifest.clone()));
                added.push(AddedLayers {
                    image: layer.to_string(),
                    manifest,
                    layers,
                    platform: Some(platform.clone()),
                });
            }
        }
        let Changed {
            image,
            changed,
            steps,
        } = run.finish();
        made.added.extend(added.iter().cloned());
        for step in &steps {
            // In an index, equal steps of several images are listed once.
            if !made.steps.contains(step) {
                made.steps.push(step.clone());
            }
        }
        let mut config = None;
        let mut manifest = image.manifest;
        if changed {
            let name = location.image(source.digest()).to_string();
            manifest = metahub_resolve::name_base(&manifest, &source, &name)?;
            config = Some(image.config);
        }
        let document = Document::from(manifest);
        made.parts.push(Part {
            document: document.clone(),
            config,
            sources,
            has_blobs: true,
            added,
            steps,
        });
        Ok(document)
    }

    /// The image for `platform` that a layer image's name leads to, and its location.
    pub(super) async fn layer_image(
        &self,
        layer: &ImageReference,
        platform: &Platform,
    ) -> Result<(Location, Image), RegistryError> {
        let refuse = |problem: String| RegistryError::Layers {
            name: self.repository.name().clone(),
            layer: layer.to_string(),
            problem,
        };
        let known = self.changes.layers.iter();
        let known = known.map(|known| (&known.reference, &known.source));
        let source = match known.into_iter().find(|(reference, _)| *reference == layer) {
            Some((_, Ok(Some(source)))) => source,
            Some((_, Err(error))) => return Err(RegistryError::Shared(Arc::clone(error))),
            _ => {
                let problem = "there is no such image here or at its upstream";
                return Err(refuse(problem.to_owned()));
            }
        };
        let Children::At(place) = &source.children else {
            return Err(refuse("a collection is not an image".to_owned()));
        };
        let registry = self.registry();
        let document = registry.document(&source.stored).await?;
        let manifest = registry
            .manifest_for(place, &document, platform)
            .await?
            .ok_or_else(|| refuse(format!("it has no build for {platform}")))?;
        Ok((place.clone(), registry.image_at(place, manifest).await?))
    }

    fn cannot(&self, error: &ActionError) -> RegistryError {
        let name = self.repository.name();
        match error {
            ActionError::Add { layer, error } => RegistryError::layers(name, layer, error),
            ActionError::Config(_) | ActionError::Manifest(_) => RegistryError::Action {
                name: name.clone(),
                problem: error.to_string(),
            },
        }
    }
}
