//! What a login gets for a tag: the events of its profile run once for each choice, and what they
//! derive is stored, found again by what it was derived from, and never changes.
//!
//! The bytes depend only on the name, the source's digest, what of it was chosen, and the layer
//! images. Those make the key of an outcome, so every replica derives the same bytes, and logins
//! that come to the same share them however they are worded.

use std::sync::Arc;

use bytes::Bytes;
use metahub_catalog::Composed;
use metahub_oci::{
    Digest, Document, ImageReference, MediaType, Platform, Reference, RepositoryName, Tag,
};
use metahub_store::{Origin, StoredManifest};

use crate::access::location::Search;
use crate::access::pass_through::Request;
use crate::pull::choice::Form;
use crate::pull::derivation::Derivation;
use crate::pull::source::Source;
use crate::{Explanation, Registry, RegistryError, SourceKind};

/// What a manifest request is answered with.
#[derive(Clone, Debug)]
pub struct Served {
    /// What the bytes hash to.
    pub digest: Digest,
    /// The media type to announce.
    pub media_type: MediaType,
    /// The exact bytes.
    pub bytes: Bytes,
    /// Something the client should know, such as an upstream that could not be asked.
    pub warning: Option<String>,
}

impl From<&StoredManifest> for Served {
    fn from(stored: &StoredManifest) -> Self {
        Self {
            digest: stored.digest.clone(),
            media_type: stored.media_type.clone(),
            bytes: stored.bytes.clone(),
            warning: None,
        }
    }
}

/// Which forms a client takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepts {
    /// Indexes and manifests.
    Index,
    /// Only indexes: it gets one even where a single image is left of it.
    IndexOnly,
    /// Only manifests: it gets the one that an index would lead it to.
    ManifestOnly,
}

/// Content derived for a key, with its story.
#[derive(Debug)]
pub(crate) struct Derived {
    pub(crate) stored: Arc<StoredManifest>,
    pub(crate) explanation: Explanation,
}

/// What a login gets for a tag, explained.
pub(crate) enum Outcome {
    /// The source as it is.
    Plain(Source),
    /// Something chosen or derived from it.
    Derived(Arc<Derived>, Option<String>),
}

/// A layer image that the profile adds, as it is now.
pub(crate) struct LayerImage {
    pub(crate) reference: ImageReference,
    pub(crate) source: Source,
}

impl Registry {
    /// What a request by tag is answered with under `profile`.
    pub async fn tagged(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        profile: &Composed,
        accepts: Accepts,
    ) -> Result<Served, RegistryError> {
        let here = self.authorised(name, Request::Tag(tag)).await?;
        let form = match accepts {
            Accepts::IndexOnly => Form::Index,
            Accepts::Index | Accepts::ManifestOnly => Form::Any,
        };
        let (stored, warning) = here.answer(name, tag, profile, form).await?;
        let stored = if accepts == Accepts::ManifestOnly && stored.media_type.is_index() {
            here.manifest_of(name, tag, &stored, profile).await?
        } else {
            stored
        };
        Ok(Served {
            warning,
            ..Served::from(&*stored)
        })
    }

    /// What a request by digest is answered with: never rewritten.
    pub async fn manifest(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Served, RegistryError> {
        let here = self.authorised(name, Request::Manifest(digest)).await?;
        let storage = self.storage_repository(name)?;
        let stored = match self.store().manifest(&storage, digest).await? {
            Some(stored) => {
                match stored.origin {
                    Origin::Derived => self.inner.usage.note(&storage, digest, self.client),
                    Origin::Upstream => self.used(&storage, digest),
                    Origin::Pushed => {}
                }
                stored
            }
            None => here.manifest_anywhere(name, digest).await?,
        };
        Ok(Served::from(&*stored))
    }

    async fn manifest_anywhere(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Arc<StoredManifest>, RegistryError> {
        let mut search = Search::default();
        for location in self.locations_of(name).await? {
            if let Some(stored) = search.answered(self.manifest_at(&location, digest).await)? {
                return Ok(stored);
            }
        }
        search.end()?;
        Err(RegistryError::unknown(name, digest.clone()))
    }

    /// The manifest that an index leads a client to which takes no index: `linux/amd64` if it is
    /// there, else the first; of several for one machine the one that requires least.
    async fn manifest_of(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        stored: &Arc<StoredManifest>,
        profile: &Composed,
    ) -> Result<Arc<StoredManifest>, RegistryError> {
        let document = self.document(stored).await?;
        let (bytes, provided) = (stored.bytes.len(), profile.provided().clone());
        let shaped = self
            .on_document(bytes, move || match &*document {
                Document::Index(index) => {
                    metahub_resolve::one_per_machine(index.manifests(), &provided).map(Some)
                }
                Document::Manifest(_) => Ok(None),
            })
            .await?;
        let Some(narrowed) = shaped.map_err(|nothing| nothing_fits(name, tag, nothing))? else {
            return Ok(Arc::clone(stored));
        };
        let usual = Platform::linux_amd64();
        let entry = narrowed
            .chosen
            .iter()
            .find(|entry| entry.platform().is_some_and(|p| p.same_machine(&usual)))
            .or(narrowed.chosen.first())
            .ok_or_else(|| RegistryError::unknown(name, tag.clone()))?;
        match self
            .store()
            .manifest(&*self.storage_repository(name)?, entry.digest())
            .await?
        {
            Some(stored) => Ok(stored),
            None => self.manifest_anywhere(name, entry.digest()).await,
        }
    }

    /// What `tag` names under `profile`, in one of the forms that the client takes, and what to
    /// tell it.
    async fn answer(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        profile: &Composed,
        form: Form,
    ) -> Result<(Arc<StoredManifest>, Option<String>), RegistryError> {
        let source = self.source(name, tag).await?;
        let Some(layers) = self.layers_to_add(name, &source, profile).await? else {
            return Ok((source.stored, source.warning));
        };
        let judged = self.judged(&source, profile).await?;
        let storage = self.storage_repository(name)?;
        let work = Derivation {
            registry: self,
            name,
            storage: &storage,
            tag,
            source: &source,
            judged: &judged,
            profile,
            layers: &layers,
            form,
        };
        let (stored, chosen) = self.chosen(&work).await?;
        Ok((stored, joined(source.warning.as_ref(), &chosen.warnings)))
    }

    /// The same with the whole story, which nobody keeps: it is large, and seldom asked for.
    pub(crate) async fn explained(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        profile: &Composed,
        form: Form,
    ) -> Result<Outcome, RegistryError> {
        let source = self.source(name, tag).await?;
        let Some(layers) = self.layers_to_add(name, &source, profile).await? else {
            return Ok(Outcome::Plain(source));
        };
        let judged = self.judged(&source, profile).await?;
        let storage = self.storage_repository(name)?;
        let work = Derivation {
            registry: self,
            name,
            storage: &storage,
            tag,
            source: &source,
            judged: &judged,
            profile,
            layers: &layers,
            form,
        };
        let derived = Box::pin(work.explain()).await?;
        let warning = joined(source.warning.as_ref(), &derived.explanation.warnings);
        Ok(Outcome::Derived(Arc::new(derived), warning))
    }

    /// The layer images that the events of `profile` would add to the source. Nothing where no
    /// event applies, so that the source is served as it is.
    async fn layers_to_add(
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

    /// What an image that a collection or profile names is, before any event.
    pub(crate) async fn document_source(
        &self,
        image: &ImageReference,
    ) -> Result<Option<Source>, RegistryError> {
        self.document_may_name(image.host(), image.name())?;
        self.image_source(image).await
    }

    /// What an image is that somebody names, before any event.
    pub(crate) async fn image_source(
        &self,
        image: &ImageReference,
    ) -> Result<Option<Source>, RegistryError> {
        let mut search = Search::default();
        for location in self.locations_of_image(image).await? {
            let answer = match image.reference() {
                Reference::Tag(tag) => self.tag_at(&location, &tag).await,
                Reference::Digest(digest) => self.digest_at(&location, &digest).await,
            };
            let mut found = search.answered(answer)?;
            if let Some(source) = &mut found {
                source.warn(search.passed_over());
            }
            if found.is_some() {
                return Ok(found);
            }
        }
        search.end().map(|()| None)
    }
}

pub(crate) fn nothing_fits(
    name: &RepositoryName,
    tag: &Tag,
    nothing: metahub_resolve::NothingFits,
) -> RegistryError {
    RegistryError::NothingFits {
        name: name.clone(),
        reference: tag.clone().into(),
        nothing,
    }
}

/// All warnings in one.
fn joined(first: Option<&String>, others: &[String]) -> Option<String> {
    let all: Vec<&str> = first
        .into_iter()
        .chain(others)
        .map(String::as_str)
        .collect();
    (!all.is_empty()).then(|| all.join("; "))
}
