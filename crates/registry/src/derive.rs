//! What a login gets for a tag: the events of its profile run once for each source, and what
//! they derive is stored, found again by what it was derived from, and never changes.
//!
//! The result depends only on the name, the source's digest, the profile's digest and the layer
//! images' digests. Those four make the key, so every replica derives the same bytes and nothing
//! is computed twice.

use std::sync::Arc;

use bytes::Bytes;
use metahub_catalog::Composed;
use metahub_oci::{
    Digest, Document, ImageReference, MediaType, Platform, Reference, RepositoryName, Tag,
};
use metahub_store::{Origin, StoredManifest};
use moka::future::Cache;

use crate::candidates::Judged;
use crate::derivation::Derivation;
use crate::enter::Wanted;
use crate::place::Search;
use crate::source::{Source, parse};
use crate::{Explanation, Registry, RegistryError, SourceKind};

/// The form in which the records of derivations are kept; a new form derives anew.
const RECORD_VERSION: u32 = 3;

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
    /// Only manifests: it gets the one that an index would lead it to.
    ManifestOnly,
}

/// Content derived for a key, with its story.
#[derive(Debug)]
pub(crate) struct Derived {
    pub(crate) stored: Arc<StoredManifest>,
    pub(crate) explanation: Explanation,
}

/// What a login gets for a tag, before the client's `Accept` is looked at.
pub(crate) enum Outcome {
    /// The source as it is.
    Plain(Source),
    /// Something derived from it.
    Derived(Arc<Derived>, Option<String>),
}

/// Derivations found or made lately. Many requests for one key make one derivation.
pub(crate) struct Derivations(Cache<Digest, Arc<Derived>>);

impl Derivations {
    pub(crate) fn new() -> Self {
        let weigh = |_: &Digest, derived: &Arc<Derived>| {
            // Explanations are larger than what they explain; eight times is a fair guess.
            u32::try_from(derived.stored.bytes.len().saturating_mul(8)).unwrap_or(u32::MAX)
        };
        Self(
            Cache::builder()
                .weigher(weigh)
                .max_capacity(16 * 1024 * 1024)
                .build(),
        )
    }
}

impl Registry {
    /// Forgets what was derived lately: the store says what still stands.
    pub(crate) fn forget_derivations(&self) {
        self.inner.derivations.0.invalidate_all();
    }
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
        let here = self.enter(name, Wanted::Tag(tag)).await?;
        let (stored, warning) = match here.outcome(name, tag, profile).await? {
            Outcome::Plain(source) => (source.stored, source.warning),
            Outcome::Derived(derived, warning) => {
                self.used(&*self.home(name)?, &derived.stored.digest);
                (Arc::clone(&derived.stored), warning)
            }
        };
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
        let here = self.enter(name, Wanted::Manifest(digest)).await?;
        let home = self.home(name)?;
        let stored = match self.store().manifest(&home, digest).await? {
            Some(stored) => {
                if stored.origin != Origin::Pushed {
                    self.used(&home, digest);
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
        for place in self.places_of(name).await? {
            if let Some(stored) = search.answered(self.manifest_at(&place, digest).await)? {
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
        let Document::Index(index) = parse(stored)? else {
            return Ok(Arc::clone(stored));
        };
        let narrowed = metahub_resolve::one_per_machine(index.manifests(), profile.provided())
            .map_err(|nothing| nothing_fits(name, tag, nothing))?;
        let usual = Platform::linux_amd64();
        let entry = narrowed
            .chosen
            .iter()
            .find(|entry| entry.platform().is_some_and(|p| p.same_machine(&usual)))
            .or(narrowed.chosen.first())
            .ok_or_else(|| RegistryError::unknown(name, tag.clone()))?;
        match self
            .store()
            .manifest(&*self.home(name)?, entry.digest())
            .await?
        {
            Some(stored) => Ok(stored),
            None => self.manifest_anywhere(name, entry.digest()).await,
        }
    }

    /// Runs the events of `profile` on what `tag` names, or finds what they gave before.
    pub(crate) async fn outcome(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        profile: &Composed,
    ) -> Result<Outcome, RegistryError> {
        let source = self.source(name, tag).await?;
        if source.kind != SourceKind::Collection && !metahub_resolve::applies(profile, name) {
            return Ok(Outcome::Plain(source));
        }
        let layers = self.layer_images(name, profile).await?;
        let judged = self.judged(&source, profile).await?;
        let key = key(name, &judged, profile, &layers);
        let mut warnings: Vec<String> = source.warning.iter().cloned().collect();
        let derivations = &self.inner.derivations.0;
        let derived = match derivations.get(&key).await {
            Some(derived) => {
                self.counters().derived_known.one_more();
                derived
            }
            // Boxed: deriving keeps whole documents at hand, and a warm pull should not carry
            // room for them.
            None => {
                let work = |source| {
                    let judged = &judged;
                    Box::pin(self.find_or_derive(&key, name, tag, source, judged, profile, &layers))
                };
                match derivations
                    .try_get_with(key.clone(), work(source.clone()))
                    .await
                {
                    Ok(derived) => derived,
                    // What an upstream refused to another account it may give to this one.
                    Err(error) if error.is_not_allowed() => work(source).await?,
                    Err(error) => return Err(RegistryError::Shared(error)),
                }
            }
        };
        warnings.extend(derived.explanation.warnings.iter().cloned());
        let warning = (!warnings.is_empty()).then(|| warnings.join("; "));
        Ok(Outcome::Derived(derived, warning))
    }

    #[expect(clippy::too_many_arguments, reason = "what a derivation is made of")]
    async fn find_or_derive(
        &self,
        key: &Digest,
        name: &RepositoryName,
        tag: &Tag,
        source: Source,
        judged: &Judged,
        profile: &Composed,
        layers: &[LayerImage],
    ) -> Result<Arc<Derived>, RegistryError> {
        let home = self.home(name)?;
        if let Some(known) = self.store().derived(key).await?
            && let Ok(explanation) = serde_json::from_value(known.record.clone())
            && let Some(stored) = self.store().manifest(&home, &known.digest).await?
        {
            self.counters().derived_known.one_more();
            return Ok(Arc::new(Derived {
                stored,
                explanation,
            }));
        }
        let candidates = self.candidates(judged, &source, profile).await?;
        let work = Derivation {
            registry: self,
            name,
            home: &home,
            tag,
            source: &source,
            candidates: &candidates,
            profile,
            layers,
        };
        let derived = work.run().await.map_err(|error| {
            if !matches!(error.root(), RegistryError::NothingFits { .. }) {
                return error;
            }
            if let Some(failure) = &source.failure {
                return RegistryError::Shared(Arc::clone(failure));
            }
            self.counters().nothing_fitted.one_more();
            tracing::warn!(repository = %name, %tag, login = %profile, %error, "nothing fits");
            error
        })?;
        self.counters().derived_made.one_more();
        let record = serde_json::to_value(&derived.explanation).unwrap_or_default();
        self.store()
            .put_derived(key, &home, &derived.stored.digest, &record)
            .await?;
        tracing::info!(
            repository = %name, %tag, profile = %profile, digest = %derived.stored.digest,
            "derived"
        );
        Ok(Arc::new(derived))
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
        for place in self.places_of_image(image).await? {
            let answer = match image.reference() {
                Reference::Tag(tag) => self.tag_at(&place, &tag).await,
                Reference::Digest(digest) => self.digest_at(&place, &digest).await,
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

/// What a derivation depends on, as one digest.
fn key(
    name: &RepositoryName,
    judged: &Judged,
    profile: &Composed,
    layers: &[LayerImage],
) -> Digest {
    let layers: Vec<&str> = layers
        .iter()
        .map(|l| l.source.stored.digest.as_str())
        .collect();
    // A tuple, since every pull by a login with a profile comes by here: no document is built.
    let inputs = (
        RECORD_VERSION,
        name.as_str(),
        judged.digest.as_str(),
        profile.digest().as_str(),
        layers,
    );
    #[expect(clippy::expect_used, reason = "numbers and texts always have a form")]
    let inputs = serde_json::to_vec(&inputs).expect("plain JSON");
    Digest::sha256(&inputs)
}
