//! One derivation: `post-manifest-list-get` on an index, then `post-manifest-get` on every child
//! that is left. In steps: decide (what the source holds, and what of it the login gets), look up
//! the outcome, and only if it is new, make its documents and store them.
//! [`manifest`](crate::pull::manifest) decides whether a derivation is needed at all.

use std::sync::Arc;

use metahub_catalog::Composed;
use metahub_oci::{Descriptor, Digest, Document, Manifest, Platform, RepositoryName, Tag};
use metahub_resolve::{Narrowed, NothingFits, UNKNOWN, Verdicts};
use metahub_store::StoredManifest;

use crate::Registry;
use crate::access::location::Location;
use crate::access::repository::Authorised;
use crate::error::RegistryError;
use crate::pull::candidates::{Candidates, Judged};
use crate::pull::explanation::{Explanation, SourceKind};
use crate::pull::image::missing;
use crate::pull::layers::ImageActions;
use crate::pull::outcome::{Chosen, Explained, Form, Held, OUTCOME_VERSION};
use crate::pull::source::{Children, Source, parse};

/// One derivation: a run of the events.
pub(crate) struct Derivation<'a> {
    /// The requested repository, which also holds the derived content.
    pub(crate) repository: &'a Authorised<'a>,
    pub(crate) tag: &'a Tag,
    pub(crate) source: Source,
    /// The candidates.
    pub(crate) judged: Arc<Judged>,
    pub(crate) profile: &'a Composed,
    /// The actions on the images.
    pub(crate) changes: ImageActions<'a>,
    pub(crate) form: Form,
}

/// The decision on what a login gets from a source, before anything is made.
pub(crate) struct Decided {
    pub(crate) choice: Choice,
    /// One verdict for each entry of the source; none if there was no choice.
    pub(crate) verdicts: Verdicts,
    /// The chosen entry for each machine, with its known requirements; empty if there was no
    /// choice.
    pub(crate) chosen: Vec<Descriptor>,
    pub(crate) warnings: Vec<String>,
}

/// The form of what is served.
pub(crate) enum Choice {
    /// The source, as it is.
    Source,
    /// The one image that is left of an index, unchanged.
    Image {
        location: Location,
        stored: Arc<StoredManifest>,
        platform: Option<Platform>,
        requires: Vec<String>,
    },
    /// What is left of an index: its entries as in the source, and as listed.
    Index(Narrowed),
    /// A single image, to be changed by the profile.
    Changed(Manifest),
}

impl Decided {
    fn as_it_is() -> Self {
        Self {
            choice: Choice::Source,
            verdicts: Verdicts::default(),
            chosen: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

impl Derivation<'_> {
    pub(crate) fn registry(&self) -> &Registry {
        self.repository.registry()
    }

    /// A digest over everything that the login's choice depends on.
    pub(crate) fn key(&self) -> Digest {
        // A tuple rather than a document, since every pull by a login with a profile comes here.
        digest_over(&(
            OUTCOME_VERSION,
            self.repository.name().as_str(),
            self.judged.digest.as_str(),
            self.profile.digest().as_str(),
            self.changes.layer_digests(),
            self.form == Form::Index,
            self.source.redirected.as_ref().map(RepositoryName::as_str),
        ))
    }

    /// Chooses, and looks up or makes the outcome.
    pub(crate) async fn run(&self) -> Result<Arc<Chosen>, RegistryError> {
        let decided = self.decide().await?;
        let held = self.held(&decided.choice).await?;
        Ok(Arc::new(Chosen {
            held,
            got: self.got(&decided).await,
            warnings: decided.warnings,
        }))
    }

    /// The same, with its explanation.
    pub(crate) async fn explain(&self) -> Result<Explained, RegistryError> {
        let decided = self.decide().await?;
        let held = self.held(&decided.choice).await?;
        let made = self.make(&decided.choice).await?;
        let stored = held.manifest().await?;
        let stored = stored.ok_or_else(|| self.unknown())?;
        Ok(Explained {
            stored,
            held,
            explanation: Explanation {
                source: self.source.kind,
                source_digest: self.source.stored.digest.clone(),
                entries: decided.verdicts,
                children: made.children,
                added: made.added,
                actions: made.steps,
                warnings: decided.warnings,
            },
        })
    }

    /// The first step: decides what the login gets from the source.
    async fn decide(&self) -> Result<Decided, RegistryError> {
        let decided = self.decide_by(self.registry().document(&self.source.stored).await?);
        decided.await.map_err(|error| {
            if !matches!(error.root(), RegistryError::NothingFits { .. }) {
                return error;
            }
            // An image that could not be read may fit.
            if let Some(failure) = &self.source.failure {
                return RegistryError::Shared(Arc::clone(failure));
            }
            self.registry().counters().nothing_fitted.inc();
            let (name, tag, login) = (self.repository.name(), self.tag, self.profile);
            tracing::warn!(repository = %name, %tag, %login, %error, "nothing fits");
            error
        })
    }

    async fn decide_by(&self, document: Arc<Document>) -> Result<Decided, RegistryError> {
        // A profile that only redirects leaves the content unchanged.
        if let Some(name) = &self.source.redirected
            && self.source.kind != SourceKind::Collection
            && !metahub_resolve::applies(self.profile, name)
        {
            return Ok(Decided::as_it_is());
        }
        match &*document {
            Document::Manifest(manifest) if manifest.is_image() => self.judge(manifest).await,
            // Only what can run is changed.
            Document::Manifest(_) => Ok(Decided::as_it_is()),
            Document::Index(index) => {
                if !self.registry().can_run(&self.source, index).await? {
                    return Ok(Decided::as_it_is());
                }
                let narrowed = self.narrow(document).await?;
                let unknown = narrowed.chosen.iter();
                for _ in unknown.filter(|one| one.annotation(UNKNOWN).is_some()) {
                    self.registry().counters().unknown_served.inc();
                }
                self.choose(narrowed).await
            }
        }
    }

    /// A single image: refused if the hardware cannot run it, as in an index.
    async fn judge(&self, manifest: &Manifest) -> Result<Decided, RegistryError> {
        let (verdicts, warnings) = self.judge_alone(manifest).await?;
        let chosen = self.candidates().await?.alone().cloned();
        let choice = if self.changes.is_empty() {
            Choice::Source
        } else {
            Choice::Changed(manifest.clone())
        };
        Ok(Decided {
            choice,
            verdicts,
            chosen: chosen.into_iter().collect(),
            warnings,
        })
    }

    pub(super) async fn candidates(&self) -> Result<Arc<Candidates>, RegistryError> {
        let (source, profile) = (&self.source, self.profile);
        self.registry()
            .candidates(&self.judged, source, profile)
            .await
    }

    /// The form in which the rest of an index is served.
    async fn choose(&self, narrowed: Narrowed) -> Result<Decided, RegistryError> {
        let untouched = self.changes.is_empty()
            && matches!(self.source.children, Children::At(_))
            && *narrowed.index.digest() == self.source.stored.digest;
        let choice = if untouched {
            Choice::Source
        } else if let Some(image) = self.only_image(&narrowed).await? {
            image
        } else {
            return Ok(Decided {
                verdicts: narrowed.verdicts.clone(),
                chosen: narrowed.chosen.clone(),
                warnings: narrowed.warnings.clone(),
                choice: Choice::Index(narrowed),
            });
        };
        Ok(Decided {
            choice,
            verdicts: narrowed.verdicts,
            chosen: narrowed.chosen,
            warnings: narrowed.warnings,
        })
    }

    /// The image that is left of an index, if it is served itself: it is the only one, nothing is
    /// added to it, and the login states the machine's architecture, so that no client needs an
    /// index to see that the image is not for it. Its publisher signed its own digest.
    async fn only_image(&self, narrowed: &Narrowed) -> Result<Option<Choice>, RegistryError> {
        let [entry] = narrowed.chosen.as_slice() else {
            return Ok(None);
        };
        if self.form == Form::Index || !self.changes.is_empty() || !self.is_of_the_login(entry) {
            return Ok(None);
        }
        let Some(location) = self.source.location_of(entry.digest()) else {
            return Ok(None);
        };
        let Some(stored) = self
            .registry()
            .manifest_at(location, entry.digest())
            .await?
        else {
            return Ok(None);
        };
        Ok(match parse(&stored)? {
            Document::Manifest(manifest) if manifest.is_image() => Some(Choice::Image {
                location: location.clone(),
                stored,
                platform: entry.platform(),
                requires: entry.platform().map(|p| p.features).unwrap_or_default(),
            }),
            _ => None,
        })
    }

    /// Whether an entry is for Linux on the architecture of the CPU that the login names.
    fn is_of_the_login(&self, entry: &Descriptor) -> bool {
        let provided = self.profile.provided();
        let graph = provided.graph();
        entry.platform().is_some_and(|platform| {
            let own = |target| graph.oci_platform(target).architecture == platform.architecture;
            platform.os == "linux" && provided.targets().any(own)
        })
    }

    /// The second step: looks up or makes the outcome.
    async fn held(&self, choice: &Choice) -> Result<Held, RegistryError> {
        let here = |location: &Location, digest: &Digest| Held {
            repository: location.stored().clone(),
            digest: digest.clone(),
        };
        match (choice, &self.source.children) {
            (Choice::Source, Children::At(location)) if self.source.redirected.is_none() => {
                self.registry().counters().derived_known.inc();
                return Ok(here(location, &self.source.stored.digest));
            }
            (
                Choice::Image {
                    location, stored, ..
                },
                Children::At(_),
            ) if self.source.redirected.is_none() => {
                self.registry().counters().derived_known.inc();
                return Ok(here(location, &stored.digest));
            }
            _ => {}
        }
        let unsigned = self.outcome_key(choice);
        let key = self.registry().signed_key(&unsigned);
        let make = async {
            let made = self.make(choice).await?;
            self.store(&unsigned, made).await
        };
        let repository = self.repository.stored();
        let held = self.registry().outcome_of(&key, repository, Box::pin(make));
        let held = match Box::pin(held).await {
            // The upstream may have refused another account, and accept this one.
            Err(error) if error.is_not_allowed() => {
                let made = self.make(choice).await?;
                self.store(&unsigned, made).await?
            }
            held => held?,
        };
        self.registry().bound_derived().await;
        Ok(held)
    }

    /// A digest over everything that decides the bytes of an outcome. It contains no words of a
    /// login: the layers' names come from the catalog.
    fn outcome_key(&self, choice: &Choice) -> Digest {
        let (form, chosen) = match choice {
            Choice::Source => ("source", &self.source.stored.digest),
            Choice::Image { stored, .. } => ("image", &stored.digest),
            Choice::Index(narrowed) => ("index", narrowed.index.digest()),
            Choice::Changed(manifest) => ("changed", manifest.digest()),
        };
        digest_over(&(
            OUTCOME_VERSION,
            self.repository.stored().name().as_str(),
            self.source.stored.digest.as_str(),
            (form, chosen.as_str()),
            self.bases(choice),
            (&self.changes.actions, self.changes.layer_digests()),
        ))
    }

    /// The sources of the outcome, as its annotations name them.
    fn bases(&self, choice: &Choice) -> Vec<String> {
        match (&self.source.children, choice) {
            (Children::At(location), _) => {
                vec![location.image(&self.source.stored.digest).to_string()]
            }
            (Children::Each(_), Choice::Index(narrowed)) => {
                let located = narrowed.chosen.iter().filter_map(|entry| {
                    let location = self.source.location_of(entry.digest())?;
                    Some(location.image(entry.digest()).to_string())
                });
                located.collect()
            }
            (Children::Each(_), _) => Vec::new(),
        }
    }

    pub(super) fn nothing_fits(&self, nothing: NothingFits) -> RegistryError {
        RegistryError::nothing_fits(self.repository.name(), self.tag, nothing)
    }

    pub(crate) fn unknown(&self) -> RegistryError {
        RegistryError::unknown(self.repository.name(), self.tag.clone())
    }

    /// A manifest that the source leads to.
    pub(crate) async fn child_at(
        &self,
        location: &Location,
        digest: &Digest,
    ) -> Result<Document, RegistryError> {
        let found = self.registry().manifest_at(location, digest).await?;
        let found = found.ok_or_else(|| missing(location.storage(), digest))?;
        Ok(parse(&found)?)
    }
}

pub(crate) fn digest_over(inputs: &impl serde::Serialize) -> Digest {
    #[expect(clippy::expect_used, reason = "numbers and texts always have a form")]
    let inputs = serde_json::to_vec(inputs).expect("plain JSON");
    Digest::sha256(&inputs)
}
