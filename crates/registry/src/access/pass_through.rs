//! Authorises access to cached content of pass-through upstreams: those that are read under each
//! account's own identity.
//!
//! Such content is in storage repositories whose names no client can write. An authorised
//! [`Registry`] reaches exactly one of them, the one for which the upstream has proven the caller's
//! right; no document, no record of a derivation and no mount leads to another.

use std::borrow::Cow;
use std::sync::Arc;

use metahub_oci::{Digest, Host, Reference, RepositoryName};
use metahub_upstream::{Route, UpstreamError, named_host};

use crate::Registry;
use crate::access::location::{UpstreamRepository, storage_name};
use crate::access::upstream_proofs::{Question, UpstreamIdentity, Who, is_refusal};
use crate::error::{NotAllowed, RegistryError};
use crate::provenance::parse_sources;

/// The prefix of these repositories' names, before the host. Clients and documents cannot use such
/// names.
pub(crate) const PASS_THROUGH_PREFIX: &str = "pass-through--";
/// How many manifests that lead to a blob are requested before the blob itself.
const MOST_MANIFESTS: usize = 2;

/// The caller on whose behalf a registry works.
#[derive(Clone, Default)]
pub(crate) enum Caller {
    /// A login without an account, or none.
    #[default]
    Nobody,
    /// An account of this registry.
    Account(Arc<str>),
    /// A caller who proved to an upstream a right to one of its repositories.
    Proven(Arc<Proof>),
    /// The registry itself, for upkeep. Serves no client.
    Itself,
}

/// Proof of the right to read one repository of an upstream.
pub(crate) struct Proof {
    identity: Arc<UpstreamIdentity>,
    /// Its name at the upstream, and the repository of the store that caches it.
    name: RepositoryName,
    storage: RepositoryName,
}

/// A request to a repository.
#[derive(Clone, Copy)]
pub(crate) enum Request<'a> {
    Tag(&'a metahub_oci::Tag),
    /// A manifest, or its referrers.
    Manifest(&'a Digest),
    Blob(&'a Digest),
    Tags,
}

impl Caller {
    fn who(&self) -> Who {
        match self {
            Self::Account(account) => Some(Arc::clone(account)),
            Self::Proven(proof) => proof.identity.who.clone(),
            Self::Nobody | Self::Itself => None,
        }
    }

    /// Whether the caller has a proof for an upstream.
    pub(crate) fn has_proven(&self) -> bool {
        matches!(self, Self::Proven(_))
    }

    /// The key under which requests to the upstream of the repository `storage` may be coalesced:
    /// the account where each is asked under its own identity; `None` where all are asked as the
    /// registry. The key of a caller without an account is empty.
    pub(crate) fn coalescing_key(&self, storage: &RepositoryName) -> Option<Arc<str>> {
        match self {
            Self::Proven(proof) if proof.storage == *storage => {
                Some(proof.identity.who.clone().unwrap_or_default())
            }
            _ => None,
        }
    }
}

/// Whether a storage repository holds content of a pass-through upstream.
fn is_pass_through(repository: &RepositoryName) -> bool {
    repository.as_str().starts_with(PASS_THROUGH_PREFIX)
}

/// The name of a repository for operators: `HOST/NAME`.
pub(crate) fn shown(repository: &RepositoryName) -> Cow<'_, RepositoryName> {
    let named = repository.as_str().strip_prefix(PASS_THROUGH_PREFIX);
    match named.and_then(|name| name.parse().ok()) {
        Some(name) => Cow::Owned(name),
        None => Cow::Borrowed(repository),
    }
}

impl Registry {
    /// The registry as `account` sees it.
    pub(super) fn on_behalf_of(&self, account: &Arc<str>) -> Self {
        self.seen_by(Caller::Account(Arc::clone(account)))
    }

    /// The registry for upkeep.
    pub(crate) fn as_itself(&self) -> Self {
        self.seen_by(Caller::Itself)
    }

    /// The caller's account, if it has one.
    pub(crate) fn account(&self) -> Option<&str> {
        match &self.caller {
            Caller::Account(account) => Some(account),
            Caller::Proven(proof) => proof.identity.who.as_deref(),
            Caller::Nobody | Caller::Itself => None,
        }
    }

    fn seen_by(&self, caller: Caller) -> Self {
        let looks_after = matches!(caller, Caller::Itself);
        Self {
            inner: Arc::clone(&self.inner),
            caller,
            client: if looks_after { 0 } else { self.client },
        }
    }

    /// Checks that clients may push to or change a repository: the content of a pass-through
    /// upstream is that upstream's alone. `tidies`: whether an admin deletes something, which may
    /// also be a copy of an upstream's content.
    ///
    /// # Errors A name that leads to such an upstream, or that does not exist.
    pub(super) fn may_change(
        &self,
        name: &RepositoryName,
        tidies: bool,
    ) -> Result<(), RegistryError> {
        if is_pass_through(name) {
            return Err(RegistryError::NameUnknown(name.clone()));
        }
        match self.pass_through_route(name) {
            Some(route) if !tidies => {
                let (upstream, name) = (route.upstream.host().clone(), name.clone());
                Err(NotAllowed::NotChanged { upstream, name }.into())
            }
            _ => Ok(()),
        }
    }

    /// Whether callers with the right to read `name` here may see it and mount from it.
    pub(crate) fn is_open(&self, name: &RepositoryName) -> bool {
        !is_pass_through(name) && self.pass_through_route(name).is_none()
    }

    /// Whether documents, which are the same for everyone, may name the image of `host` or, without
    /// one, of that name.
    pub(crate) fn document_may_name(
        &self,
        host: Option<&Host>,
        name: &RepositoryName,
    ) -> Result<(), RegistryError> {
        let route = match host {
            Some(host) => self.pass_through_route_at(Some(host), name),
            None => self.pass_through_route(name),
        };
        match route {
            None => Ok(()),
            Some(route) => Err(NotAllowed::Document(route.upstream.host().clone()).into()),
        }
    }

    /// The repository of the store for content fetched and derived under `name`.
    pub(crate) fn storage_repository<'n>(
        &self,
        name: &'n RepositoryName,
    ) -> Result<Cow<'n, RepositoryName>, RegistryError> {
        match self.pass_through_route(name) {
            None => Ok(Cow::Borrowed(name)),
            Some(route) => self.storage_of(&route).map(Cow::Owned),
        }
    }

    /// The repository of the store that caches an upstream's repository.
    pub(crate) fn storage_of(&self, route: &Route) -> Result<RepositoryName, RegistryError> {
        let storage = storage_name(route.upstream.host(), &route.name)?;
        if route.upstream.pass_through().is_none() {
            return Ok(storage);
        }
        format!("{PASS_THROUGH_PREFIX}{storage}")
            .parse()
            .map_err(RegistryError::Name)
    }

    /// The first component of the names of repositories that cache content of `host`.
    pub(crate) fn storage_host(&self, host: &Host) -> String {
        let named = named_host(host);
        let passed_through = self
            .upstreams()
            .configured()
            .any(|one| one.host() == host && one.pass_through().is_some());
        if passed_through {
            format!("{PASS_THROUGH_PREFIX}{named}")
        } else {
            named
        }
    }

    /// The route to an upstream's repository for this caller: that of a pass-through upstream only
    /// if the caller has proven its right.
    pub(super) fn authorised_route(
        &self,
        route: Route,
        storage: &RepositoryName,
    ) -> Result<Route, RegistryError> {
        if route.upstream.pass_through().is_none() {
            // A host could be called like a storage repository of a pass-through upstream.
            return if is_pass_through(storage) {
                Err(RegistryError::NameUnknown(storage.clone()))
            } else {
                Ok(route)
            };
        }
        match &self.caller {
            Caller::Itself => Ok(route),
            Caller::Proven(proof) if proof.storage == *storage => Ok(Route {
                upstream: Arc::clone(&proof.identity.upstream),
                name: route.name,
            }),
            _ => Err(NotAllowed::NotHere(route.upstream.host().clone()).into()),
        }
    }

    /// The route of `name`, if it leads to a pass-through upstream.
    pub(super) fn pass_through_route(&self, name: &RepositoryName) -> Option<Route> {
        if !self.upstreams().pass_through() {
            return None;
        }
        let (host, rest) = self.upstreams().split(name);
        self.pass_through_route_at(host.as_ref(), &rest)
    }

    fn pass_through_route_at(&self, host: Option<&Host>, name: &RepositoryName) -> Option<Route> {
        self.upstreams().pass_through_route(host, name)
    }

    /// The registry for a request to `name`: this one, unless the name leads to a pass-through
    /// upstream. Then the caller must have the right to read it there, and a caller without it gets
    /// the upstream's own answer, whatever is cached here.
    pub(super) async fn authorised(
        &self,
        name: &RepositoryName,
        request: Request<'_>,
    ) -> Result<Cow<'_, Self>, RegistryError> {
        if is_pass_through(name) {
            return Err(RegistryError::NameUnknown(name.clone()));
        }
        let Some(route) = self.pass_through_route(name) else {
            return Ok(Cow::Borrowed(self));
        };
        let storage = self.storage_of(&route)?;
        match &self.caller {
            Caller::Itself => return Ok(Cow::Borrowed(self)),
            Caller::Proven(proof) if proof.storage == storage => return Ok(Cow::Borrowed(self)),
            _ => {}
        }
        // Boxed: asking an upstream would make every pull's state larger.
        Box::pin(self.prove(name, route, storage, request))
            .await
            .map(Cow::Owned)
    }

    async fn prove(
        &self,
        name: &RepositoryName,
        route: Route,
        storage: RepositoryName,
        request: Request<'_>,
    ) -> Result<Self, RegistryError> {
        let identities = &self.inner.upstream_identities;
        let identity = identities.of(&self.caller.who(), &route.upstream).await?;
        if !identity.has_proven(&route.name).await
            && !self.shows(&identity, &route, &storage, request).await?
        {
            return Err(match request {
                Request::Tag(tag) => RegistryError::unknown(name, tag.clone()),
                Request::Manifest(digest) => RegistryError::unknown(name, digest.clone()),
                Request::Blob(digest) => RegistryError::BlobUnknown(name.clone(), digest.clone()),
                Request::Tags => RegistryError::NameUnknown(name.clone()),
            });
        }
        let name = route.name;
        Ok(self.seen_by(Caller::Proven(Arc::new(Proof {
            identity,
            name,
            storage,
        }))))
    }

    /// Whether the upstream gives the caller the requested content, or the source it was derived
    /// from. The cache decides what is requested first, never the answer.
    async fn shows(
        &self,
        identity: &UpstreamIdentity,
        route: &Route,
        storage: &RepositoryName,
        request: Request<'_>,
    ) -> Result<bool, RegistryError> {
        let sources = match request {
            Request::Manifest(digest) => {
                // Fetched content is its own source.
                let stored = self.store().manifest(storage, digest).await?;
                stored.map_or_else(Vec::new, |stored| stored.sources.clone())
            }
            Request::Blob(digest) => self.store().sources_of_blob(storage, digest).await?,
            Request::Tag(_) | Request::Tags => Vec::new(),
        };
        let images = parse_sources(&sources);
        let there = images.filter(|image| {
            image.host() == Some(route.upstream.host()) && *image.name() == route.name
        });
        let direct = match request {
            Request::Tag(tag) => Question::Manifest(tag.clone().into()),
            Request::Manifest(digest) => Question::Manifest(digest.clone().into()),
            Request::Blob(digest) => Question::Blob(digest.clone()),
            Request::Tags => Question::Tags,
        };
        for image in there.take(MOST_MANIFESTS) {
            let Reference::Digest(digest) = image.reference() else {
                continue;
            };
            if matches!(request, Request::Manifest(request) if *request == digest) {
                continue;
            }
            let question = Question::Manifest(Reference::Digest(digest));
            // A refusal keeps its wording for the content that was requested.
            if identity.ask(route, &question).await.unwrap_or(false) {
                return Ok(true);
            }
        }
        identity.ask(route, &direct).await
    }

    /// Passes an upstream's answer on, failures included; a refusal of the caller's own identity
    /// becomes the error of [`note_refusal`](Self::note_refusal).
    pub(crate) async fn note_own_refusal<T>(
        &self,
        from: &UpstreamRepository,
        answer: Result<T, UpstreamError>,
    ) -> Result<Result<T, UpstreamError>, RegistryError> {
        let own = self.caller.coalescing_key(from.storage()).is_some();
        match answer {
            Err(error) if is_refusal(&error) && own => self.note_refusal(from, Err(error)).await,
            answer => Ok(answer),
        }
    }

    /// Passes an upstream's answer on; if it refused the caller's own identity, the caller's proof
    /// is revoked and the error says so.
    pub(crate) async fn note_refusal<T>(
        &self,
        from: &UpstreamRepository,
        answer: Result<T, UpstreamError>,
    ) -> Result<T, RegistryError> {
        match (answer, &self.caller) {
            (Err(error), Caller::Proven(proof))
                if proof.storage == *from.storage() && is_refusal(&error) =>
            {
                proof.identity.refused(&proof.name).await;
                Err(proof.identity.not_allowed(error).into())
            }
            (answer, _) => Ok(answer?),
        }
    }
}
