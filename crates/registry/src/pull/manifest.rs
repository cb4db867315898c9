//! Serves manifests: by tag, as the login's profile derives them; by digest, never rewritten.
//!
//! The bytes of an answer by tag depend only on the name, the source's digest, the chosen entries,
//! and the layer images. Those make the key of an outcome, so every replica derives the same bytes,
//! and logins with the same outcome share them however they are worded.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use metahub_catalog::Composed;
use metahub_oci::{Digest, Document, MediaType, Platform, RepositoryName, Tag};
use metahub_resolve::{Before, Request, Step, for_request};
use metahub_store::{Origin, StoredManifest};

use crate::access::location::Search;
use crate::access::pass_through;
use crate::access::repository::{Authorised, Read, Repository};
use crate::demand::got::Got;
use crate::demand::settings::Puller;
use crate::error::{NotAllowed, RegistryError};
use crate::pull::derivation::Derivation;
use crate::pull::outcome::{Chosen, Explained, Form};
use crate::pull::source::Source;

/// The answer to a request for a manifest.
#[derive(Clone, Debug)]
pub struct Served {
    /// The digest of the bytes.
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

/// The forms that a client accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepts {
    /// Indexes and manifests.
    Index,
    /// Only indexes: it gets one even if a single image is left of it.
    IndexOnly,
    /// Only manifests: it gets the one that it would choose from an index.
    ManifestOnly,
}

/// The content that a login gets for a tag, explained.
pub(crate) enum Outcome {
    /// The unchanged source.
    Plain(Source),
    /// Content chosen or derived from it, with a warning for the client.
    Derived(Arc<Explained>, Option<String>),
}

/// The answer to a request by tag.
struct Answered {
    stored: Arc<StoredManifest>,
    /// A warning for the client.
    warning: Option<String>,
    /// The result of the events, if they ran.
    chosen: Option<Arc<Chosen>>,
}

/// A request by tag after `pre-manifest-get`.
struct TagRequest<'p> {
    source: Source,
    /// The profile, reduced to what applies to the name and tag that are read.
    profile: Cow<'p, Composed>,
    /// The actions that were done.
    steps: Vec<Step>,
}

/// The work for a tag.
enum Work<'a> {
    /// No event applies: the source is served unchanged.
    Plain(Source),
    /// The events run.
    Derive(Derivation<'a>),
}

impl Repository<'_, Read> {
    /// Answers a request by tag under `profile`.
    pub async fn tagged(
        &self,
        tag: &Tag,
        profile: &Composed,
        accepts: Accepts,
    ) -> Result<Served, RegistryError> {
        Ok(self.serve(tag, profile, accepts).await?.0)
    }

    /// The same for a pull, which is counted by what the login's machine gets.
    pub async fn pulled(
        &self,
        tag: &Tag,
        profile: &Composed,
        accepts: Accepts,
        puller: &Puller<'_>,
    ) -> Result<Served, RegistryError> {
        let note = |got: &Got| {
            self.registry().note_demand((self.name(), tag), got, puller);
        };
        match self.serve(tag, profile, accepts).await {
            Ok((served, chosen)) => {
                if let Some(got) = chosen.as_deref().and_then(|chosen| chosen.got.as_ref()) {
                    note(got);
                }
                Ok(served)
            }
            Err(error) => {
                if matches!(error.root(), RegistryError::NothingFits { .. })
                    && let Some(got) = Got::nothing(profile)
                {
                    note(&got);
                }
                Err(error)
            }
        }
    }

    async fn serve(
        &self,
        tag: &Tag,
        profile: &Composed,
        accepts: Accepts,
    ) -> Result<(Served, Option<Arc<Chosen>>), RegistryError> {
        let repository = self.authorise(pass_through::Request::Tag(tag)).await?;
        let form = match accepts {
            Accepts::IndexOnly => Form::Index,
            Accepts::Index | Accepts::ManifestOnly => Form::Any,
        };
        let answered = repository.answer(tag, profile, form).await?;
        let stored = answered.stored;
        let stored = if accepts == Accepts::ManifestOnly && stored.media_type.is_index() {
            repository.manifest_of(tag, &stored, profile).await?
        } else {
            stored
        };
        let served = Served {
            warning: answered.warning,
            ..Served::from(&*stored)
        };
        Ok((served, answered.chosen))
    }

    /// Answers a request by digest: never rewritten.
    pub async fn manifest(&self, digest: &Digest) -> Result<Served, RegistryError> {
        let repository = self
            .authorise(pass_through::Request::Manifest(digest))
            .await?;
        let stored = match repository.stored().manifest(digest).await? {
            Some(stored) => {
                let (registry, storage) = (repository.registry(), repository.stored().name());
                match stored.origin {
                    Origin::Derived => registry.used_derived(storage, digest),
                    Origin::Upstream => registry.used(storage, digest),
                    Origin::Pushed => {}
                }
                stored
            }
            None => repository.manifest_anywhere(digest).await?,
        };
        Ok(Served::from(&*stored))
    }
}

impl Authorised<'_> {
    async fn manifest_anywhere(
        &self,
        digest: &Digest,
    ) -> Result<Arc<StoredManifest>, RegistryError> {
        let mut search = Search::default();
        for location in self.locations().await? {
            let found = self.registry().manifest_at(&location, digest).await;
            if let Some(stored) = search.answered(found)? {
                return Ok(stored);
            }
        }
        search.end()?;
        Err(RegistryError::unknown(self.name(), digest.clone()))
    }

    /// The manifest for a client that accepts no index: `linux/amd64` if there is one, else the
    /// first; of several for one machine the one with the fewest requirements.
    async fn manifest_of(
        &self,
        tag: &Tag,
        stored: &Arc<StoredManifest>,
        profile: &Composed,
    ) -> Result<Arc<StoredManifest>, RegistryError> {
        let registry = self.registry();
        let document = registry.document(stored).await?;
        let (bytes, provided) = (stored.bytes.len(), profile.provided().clone());
        let shaped = registry
            .on_document(bytes, move || match &*document {
                Document::Index(index) => {
                    metahub_resolve::one_per_machine(index.manifests(), &provided).map(Some)
                }
                Document::Manifest(_) => Ok(None),
            })
            .await?;
        let shaped =
            shaped.map_err(|nothing| RegistryError::nothing_fits(self.name(), tag, nothing))?;
        let Some(narrowed) = shaped else {
            return Ok(Arc::clone(stored));
        };
        let usual = Platform::linux_amd64();
        let entry = narrowed
            .chosen
            .iter()
            .find(|entry| entry.platform().is_some_and(|p| p.same_machine(&usual)))
            .or(narrowed.chosen.first())
            .ok_or_else(|| RegistryError::unknown(self.name(), tag.clone()))?;
        match self.stored().manifest(entry.digest()).await? {
            Some(stored) => Ok(stored),
            None => self.manifest_anywhere(entry.digest()).await,
        }
    }

    /// The content of `tag` under `profile`, in one of the forms that the client accepts, with a
    /// warning.
    async fn answer(
        &self,
        tag: &Tag,
        profile: &Composed,
        form: Form,
    ) -> Result<Answered, RegistryError> {
        let request = self.request(tag, profile, form);
        if let Some(request) = &request
            && let Some((stored, chosen)) = self.registry().answered_before(request)
        {
            return Ok(Answered {
                stored,
                warning: joined(None, &chosen.warnings),
                chosen: Some(chosen),
            });
        }
        let asked = self.asked(tag, profile).await?;
        let work = match self.work(tag, asked.source, &asked.profile, form).await? {
            Work::Plain(source) => {
                return Ok(Answered {
                    stored: source.stored,
                    warning: source.warning,
                    chosen: None,
                });
            }
            Work::Derive(work) => work,
        };
        let answer = self.registry().chosen(&work).await?;
        // Not for the first pull: a client may invent a login that never comes again.
        if answer.again
            && let Some(request) = &request
        {
            Box::pin(self.keep_answer(request, &work, &answer)).await;
        }
        let warning = joined(work.source.warning.as_ref(), &answer.chosen.warnings);
        Ok(Answered {
            stored: answer.stored,
            warning,
            chosen: Some(answer.chosen),
        })
    }

    /// The same with its explanation.
    pub(crate) async fn explained(
        &self,
        tag: &Tag,
        profile: &Composed,
        form: Form,
    ) -> Result<Outcome, RegistryError> {
        let request = self.request(tag, profile, form);
        if let Some(request) = &request
            && let Some(explained) = self.registry().explained_before(request)
        {
            let warning = joined(None, &explained.explanation.warnings);
            return Ok(Outcome::Derived(explained, warning));
        }
        let asked = self.asked(tag, profile).await?;
        let work = match self.work(tag, asked.source, &asked.profile, form).await? {
            Work::Plain(source) => return Ok(Outcome::Plain(source)),
            Work::Derive(work) => work,
        };
        let mut explained = Box::pin(work.explain()).await?;
        explained.explanation.actions.splice(0..0, asked.steps);
        let explained = Arc::new(explained);
        if let Some(request) = &request {
            Box::pin(self.keep_explanation(request, &work, &explained)).await;
        }
        let warnings = &explained.explanation.warnings;
        let warning = joined(work.source.warning.as_ref(), warnings);
        Ok(Outcome::Derived(explained, warning))
    }

    /// Runs `pre-manifest-get` for `tag`, and returns the source of the resulting tag and the part
    /// of the profile that applies to it.
    async fn asked<'p>(
        &self,
        tag: &Tag,
        profile: &'p Composed,
    ) -> Result<TagRequest<'p>, RegistryError> {
        if !metahub_resolve::acts_before(profile) {
            return Ok(TagRequest {
                source: self.source(tag).await?,
                profile: for_request(profile, &Request::of(self.name(), tag, profile.provided())),
                steps: Vec::new(),
            });
        }
        let (before, steps) = metahub_resolve::before(profile, self.name(), tag);
        let (name, to) = match before {
            Before::Unchanged => (self.name().clone(), tag.clone()),
            Before::Redirected(name, to) => (name, to),
            Before::Denied(message) => return Err(self.denied(tag, profile, message)),
        };
        // Boxed: few are redirected, and its state would make every pull's larger.
        let source = Box::pin(self.redirected(tag, &name, &to)).await?;
        let profile = for_request(profile, &Request::of(&name, &to, profile.provided()));
        Ok(TagRequest {
            source,
            profile,
            steps,
        })
    }

    fn denied(&self, tag: &Tag, login: &Composed, message: String) -> RegistryError {
        let name = self.name().clone();
        self.registry().counters().denied_by_profile.inc();
        tracing::info!(repository = %name, %tag, %login, reason = message, "denied");
        NotAllowed::Profile {
            name,
            tag: tag.clone(),
            message,
        }
        .into()
    }

    /// The source `name:to`, to which `tag` of this repository is redirected.
    async fn redirected(
        &self,
        tag: &Tag,
        name: &RepositoryName,
        to: &Tag,
    ) -> Result<Source, RegistryError> {
        let other = self.elsewhere(name)?;
        let source = match &other {
            Some(other) => other.source(to).await,
            None => self.source(to).await,
        };
        match source {
            Ok(mut source) => {
                source.redirected = other.is_some().then(|| name.clone());
                Ok(source)
            }
            Err(RegistryError::ManifestUnknown { .. } | RegistryError::NameUnknown(_))
                if name != self.name() || to != tag =>
            {
                Err(RegistryError::ManifestUnknown {
                    name: self.name().clone(),
                    reference: tag.clone().into(),
                    hint: format!(
                        ": the profile redirects it to {name}:{to}, and there is no such image"
                    ),
                })
            }
            Err(error) => Err(error),
        }
    }

    async fn work<'a>(
        &'a self,
        tag: &'a Tag,
        source: Source,
        profile: &'a Composed,
        form: Form,
    ) -> Result<Work<'a>, RegistryError> {
        let registry = self.registry();
        let name = source.redirected.as_ref().unwrap_or(self.name());
        let changes = registry.image_actions(name, &source, profile).await;
        let Some(changes) = changes else {
            return Ok(Work::Plain(source));
        };
        let judged = registry.judged(&source, profile).await?;
        Ok(Work::Derive(Derivation {
            repository: self,
            tag,
            source,
            judged,
            profile,
            changes,
            form,
        }))
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
