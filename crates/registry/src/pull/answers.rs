//! Answers to logins' pulls by tag, and their explanations, reused while nothing changed that they
//! depend on: a pull under a profile then costs no more than that of a pushed image.
//!
//! An answer depends on the documents, on what the tag names, on the images of a collection's
//! entries and the profile's layer images, on what is known about images, and on what is stored.
//! All of that is recorded as numbers when an answer is cached, and compared when it is reused.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metahub_catalog::{Catalog, Composed};
use metahub_oci::{Digest, RepositoryName, Tag};
use metahub_store::StoredManifest;

use crate::Registry;
use crate::access::location::{LocalContent, Location};
use crate::access::repository::Authorised;
use crate::pull::choice::CachedChoice;
use crate::pull::derivation::Derivation;
use crate::pull::outcome::{Chosen, Explained, Form, Held};
use crate::pull::source::{Children, Source};
use crate::pull::standing::{CatalogIdentity, Lookups, Standing};

/// What an answer takes beside its manifest, in bytes, roughly.
const ANSWER: usize = 1024;

/// Recent answers.
#[derive(Default)]
pub(crate) struct Answers {
    found: Lookups<Key, (Arc<StoredManifest>, Arc<Chosen>)>,
    explained: Lookups<Key, Arc<Explained>>,
    /// Counts the findings on which choices depend.
    findings: AtomicU64,
}

/// Everything that decides the answer to a request by tag. Its parts are compared on look-up.
struct Key {
    catalog: CatalogIdentity,
    findings: u64,
    name: RepositoryName,
    tag: Tag,
    profile: Digest,
    form: Form,
    /// Whether an account asked: each notes uses of cached content as its own.
    account: bool,
}

/// A request by tag, and under what it began.
pub(crate) struct AnswerRequest<'a> {
    catalog: Arc<Catalog>,
    findings: u64,
    hash: u64,
    name: &'a RepositoryName,
    tag: &'a Tag,
    profile: &'a Digest,
    form: Form,
    account: bool,
}

impl Answers {
    /// Drops all answers, because of a new finding.
    pub(crate) fn forget(&self) {
        self.findings.fetch_add(1, Ordering::SeqCst);
    }
}

impl AnswerRequest<'_> {
    fn is(&self, key: &Key) -> bool {
        key.catalog.is(&self.catalog)
            && key.findings == self.findings
            && (&key.name, &key.tag, &key.profile) == (self.name, self.tag, self.profile)
            && (key.form, key.account) == (self.form, self.account)
    }

    fn key(&self) -> Key {
        Key {
            catalog: CatalogIdentity::of(&self.catalog),
            findings: self.findings,
            name: self.name.clone(),
            tag: self.tag.clone(),
            profile: self.profile.clone(),
            form: self.form,
            account: self.account,
        }
    }
}

impl Authorised<'_> {
    /// A request whose answer may be cached; `None` where it depends on more than is compared: on
    /// the caller's identity at an upstream, or on a profile's actions before anything is read.
    pub(crate) fn request<'a>(
        &'a self,
        tag: &'a Tag,
        profile: &'a Composed,
        form: Form,
    ) -> Option<AnswerRequest<'a>> {
        let registry = self.registry();
        if registry.caller.has_proven() || metahub_resolve::acts_before(profile) {
            return None;
        }
        let answers = &registry.inner.answers;
        let (name, profile, account) = (self.name(), profile.digest(), registry.client == 0);
        Some(AnswerRequest {
            findings: answers.findings.load(Ordering::SeqCst),
            catalog: registry.catalog(),
            hash: answers.found.hash(&(name, tag, profile, form, account)),
            name,
            tag,
            profile,
            form,
            account,
        })
    }

    /// Caches an answer for as long as nothing changes that it depends on.
    pub(crate) async fn keep_answer(
        &self,
        request: &AnswerRequest<'_>,
        work: &Derivation<'_>,
        answer: &CachedChoice,
    ) {
        let held = &answer.chosen.held;
        let Some(standing) = self.answer_standing(request, work, held).await else {
            return;
        };
        let (stored, chosen) = (Arc::clone(&answer.stored), Arc::clone(&answer.chosen));
        let warnings: usize = chosen.warnings.iter().map(String::len).sum();
        let bytes = ANSWER + stored.bytes.len() + warnings;
        let found = &self.registry().inner.answers.found;
        found.keep(
            request.hash,
            request.key(),
            (stored, chosen),
            standing,
            bytes,
        );
    }

    /// The same for an answer with its explanation.
    pub(crate) async fn keep_explanation(
        &self,
        request: &AnswerRequest<'_>,
        work: &Derivation<'_>,
        explained: &Arc<Explained>,
    ) {
        let held = &explained.held;
        let Some(standing) = self.answer_standing(request, work, held).await else {
            return;
        };
        let bytes = ANSWER + explained.stored.bytes.len() + explained.explanation.size();
        let found = &self.registry().inner.answers.explained;
        found.keep(
            request.hash,
            request.key(),
            Arc::clone(explained),
            standing,
            bytes,
        );
    }

    /// How long a new answer stays valid. `None` if it has a warning that may pass, or if something
    /// has changed meanwhile.
    async fn answer_standing(
        &self,
        request: &AnswerRequest<'_>,
        work: &Derivation<'_>,
        held: &Held,
    ) -> Option<Standing> {
        let (registry, source) = (self.registry(), &work.source);
        let passing = source.warning.is_some() || source.failure.is_some();
        if passing || source.redirected.is_some() || work.judged.has_gaps() {
            return None;
        }
        let here = [self.name(), held.repository.name()];
        // Taken before everything is checked again.
        let standing = Standing::of(here.map(|name| registry.generation(name)));
        let of_source = self.source_standing(request, source).await?;
        let layers = registry.layers_standing(&work.changes)?;
        held.manifest().await.ok()??;
        Some(standing.and(of_source).and(layers))
    }

    /// How long `source` stays valid for a tag.
    async fn source_standing(
        &self,
        request: &AnswerRequest<'_>,
        source: &Source,
    ) -> Option<Standing> {
        let (registry, tag) = (self.registry(), request.tag);
        let Children::At(location) = &source.children else {
            let catalog = &request.catalog;
            let collection = registry.collection_called(catalog, self.name(), tag)?;
            let (found, standing) = registry.collection_standing(catalog, collection)?;
            return is_same(&found, source).then_some(standing);
        };
        // The tag may appear in a location that is searched first.
        let first = match location {
            Location::Local(_) => registry.settings().local == LocalContent::First,
            Location::Upstream(_) => {
                let locations = self.upstream_locations().ok()?;
                locations.first().is_some_and(|first| first.is(location))
            }
        };
        if !first {
            return None;
        }
        let standing = Standing::of([registry.generation(location.storage())]);
        let (time, upstream_tags) = registry.tag_stands(location, tag).await.ok()??;
        let found = self.source(tag).await.ok()?;
        is_same(&found, source).then(|| standing.at_most(time, upstream_tags))
    }
}

impl Registry {
    /// The former answer, if it is still valid.
    pub(crate) fn answered_before(
        &self,
        request: &AnswerRequest<'_>,
    ) -> Option<(Arc<StoredManifest>, Arc<Chosen>)> {
        let found = &self.inner.answers.found;
        let answer = found.get(self, request.hash, |key| request.is(key))?;
        self.counters().derived_known.inc();
        self.counters().answers_standing.inc();
        Some(answer)
    }

    /// The cached answer with its explanation, if it is still valid.
    pub(crate) fn explained_before(&self, request: &AnswerRequest<'_>) -> Option<Arc<Explained>> {
        let found = &self.inner.answers.explained;
        found.get(self, request.hash, |key| request.is(key))
    }
}

/// Whether a source is unchanged.
fn is_same(now: &Source, before: &Source) -> bool {
    let places = match (&now.children, &before.children) {
        (Children::At(now), Children::At(before)) => now.is(before),
        (Children::Each(now), Children::Each(before)) => Arc::ptr_eq(now, before),
        _ => false,
    };
    places
        && now.kind == before.kind
        && now.stored.digest == before.stored.digest
        && now.warning.is_none()
        && now.failure.is_none()
}
