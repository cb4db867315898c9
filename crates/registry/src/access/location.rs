//! The locations of a name's content: a local repository, or an upstream's.
//!
//! An upstream's content is cached under `HOST/NAME`, apart from pushed content, so that neither
//! ever shadows the other and every login shares one copy.

use std::sync::Arc;

use metahub_oci::{Digest, Host, ImageReference, Reference, RepositoryName};
use metahub_store::Generation;
use metahub_upstream::{Route, Upstream, UpstreamError, named_host};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::Registry;
use crate::access::stored::StoredRepository;
use crate::error::{RegistryError, is_offline};

/// A location of a repository's content, with read access granted: only `access` makes its parts.
#[derive(Clone)]
pub(crate) enum Location {
    /// A repository of this registry.
    Local(StoredRepository),
    /// A repository of an upstream.
    Upstream(UpstreamRepository),
}

/// A repository of an upstream that the caller may read, and what is cached from it.
#[derive(Clone)]
pub(crate) struct UpstreamRepository {
    route: Route,
    stored: StoredRepository,
}

impl Location {
    /// Whether both are the same location.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Local(a), Self::Local(b)) => a.name() == b.name(),
            (Self::Upstream(a), Self::Upstream(b)) => a.storage() == b.storage(),
            _ => false,
        }
    }
}

impl UpstreamRepository {
    /// The upstream, with the identity for requests to it.
    pub(crate) fn upstream(&self) -> &Arc<Upstream> {
        &self.route.upstream
    }

    /// The repository's name at the upstream.
    pub(crate) fn name(&self) -> &RepositoryName {
        &self.route.name
    }

    /// Its route at the upstream.
    pub(crate) fn route(&self) -> &Route {
        &self.route
    }

    /// The repository of the store that caches it.
    pub(crate) fn stored(&self) -> &StoredRepository {
        &self.stored
    }

    /// What the store calls that.
    pub(crate) fn storage(&self) -> &RepositoryName {
        self.stored.name()
    }
}

impl Location {
    /// The repository of the store that holds the content of this location.
    pub(crate) fn stored(&self) -> &StoredRepository {
        match self {
            Self::Local(stored) => stored,
            Self::Upstream(upstream) => &upstream.stored,
        }
    }

    /// What the store calls that.
    pub(crate) fn storage(&self) -> &RepositoryName {
        self.stored().name()
    }

    /// How documents and records name a manifest of this location.
    pub(crate) fn image(&self, digest: &Digest) -> ImageReference {
        self.named(Reference::Digest(digest.clone()))
    }

    /// The same for a tag or a digest.
    pub(crate) fn named(&self, reference: Reference) -> ImageReference {
        match self {
            Self::Local(stored) => ImageReference::new(None, stored.name().clone(), reference),
            Self::Upstream(UpstreamRepository { route, .. }) => ImageReference::new(
                Some(route.upstream.host().clone()),
                route.name.clone(),
                reference,
            ),
        }
    }
}

/// Maps `Offline` to `None`: an offline registry serves its cache, and anything else is absent,
/// which is no failure.
pub(crate) fn there<T>(
    answer: Result<Option<T>, UpstreamError>,
) -> Result<Option<T>, UpstreamError> {
    match answer {
        Err(error) if is_offline(&error) => Ok(None),
        answer => answer,
    }
}

/// A search through locations in order: the first hit wins, and a failing location is skipped. Its
/// failure is the answer only if no other location has a hit; else it becomes a warning.
#[derive(Default)]
pub(crate) struct Search {
    failure: Option<RegistryError>,
}

impl Search {
    /// The answer of one location; `None` if its upstream failed.
    pub(crate) fn answered<T>(
        &mut self,
        answer: Result<Option<T>, RegistryError>,
    ) -> Result<Option<T>, RegistryError> {
        match answer {
            Err(error) if error.is_upstreams() => {
                self.failure.get_or_insert(error);
                Ok(None)
            }
            answer => answer,
        }
    }

    /// The warning about a location that was skipped before another one had a hit.
    pub(crate) fn passed_over(&self) -> Option<String> {
        let failure = self.failure.as_ref()?;
        Some(format!("passed over: {failure}"))
    }

    /// The end of a search that found nothing.
    pub(crate) fn end(self) -> Result<(), RegistryError> {
        self.failure.map_or(Ok(()), Err)
    }
}

/// The name by which clients ask for `name` at `host`, and under which its content is cached unless
/// it is read under each account's own identity (see `pass_through`).
pub(crate) fn storage_name(
    host: &Host,
    name: &RepositoryName,
) -> Result<RepositoryName, RegistryError> {
    format!("{}/{name}", named_host(host))
        .parse()
        .map_err(RegistryError::Name)
}

/// Which locations of a name are searched first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LocalContent {
    /// Pushed content: a name that was pushed to has no other location.
    #[default]
    First,
    /// Upstreams: pushed content is used only for what they do not have.
    Last,
}

impl Registry {
    /// The locations of the repository that clients call `name`, in search order: pushed content,
    /// and the upstream that the name contains (`quay.io/x/y`) or the default ones. A local name
    /// has no other location, unless the configuration says that local content comes last: what is
    /// missing there is never filled in by a stranger's repository of the same name.
    pub(super) async fn locations_of(
        &self,
        name: &RepositoryName,
    ) -> Result<Vec<Location>, RegistryError> {
        let local = self.local(name);
        if local.is_some() && self.is_wholly_local(name).await? {
            return Ok(local.into_iter().collect());
        }
        let mut locations = self.upstream_locations_of(name)?;
        match (local, self.settings().local) {
            (Some(local), LocalContent::First) => locations.insert(0, local),
            (Some(local), LocalContent::Last) => locations.push(local),
            (None, _) => {}
        }
        Ok(locations)
    }

    /// The same for operators, who use the names of clients.
    pub(crate) async fn locations_called(
        &self,
        name: &RepositoryName,
    ) -> Result<Vec<Location>, RegistryError> {
        self.as_itself().locations_of(name).await
    }

    /// Whether `name`, which may be pushed to here, has no upstream location.
    pub(crate) async fn is_wholly_local(
        &self,
        name: &RepositoryName,
    ) -> Result<bool, RegistryError> {
        Ok(self.settings().local == LocalContent::First && self.store().was_pushed(name).await?)
    }

    /// The location of content that was pushed under that name; `None` if it leads to a
    /// pass-through upstream, so that nothing can be pushed.
    pub(super) fn local(&self, name: &RepositoryName) -> Option<Location> {
        self.is_open(name)
            .then(|| Location::Local(StoredRepository::new(self.store(), name.clone())))
    }

    /// The warning about an upstream's answer for `name` if that name was pushed to and local
    /// content comes last: the pushed content is shadowed.
    pub(crate) async fn shadowing(
        &self,
        name: &RepositoryName,
        location: &Location,
    ) -> Result<Option<String>, RegistryError> {
        let Location::Upstream(UpstreamRepository { route, .. }) = location else {
            return Ok(None);
        };
        if self.settings().local == LocalContent::First || !self.store().was_pushed(name).await? {
            return Ok(None);
        }
        let host = route.upstream.host();
        tracing::warn!(repository = %name, upstream = %host, "the upstream comes before what was pushed");
        Ok(Some(format!(
            "this is {}/{}, not what was pushed here as {name}: local content comes last",
            host, route.name
        )))
    }

    /// The upstream locations of that repository.
    pub(super) fn upstream_locations_of(
        &self,
        name: &RepositoryName,
    ) -> Result<Vec<Location>, RegistryError> {
        let (host, rest) = self.upstreams().split(name);
        self.upstream_locations(host.as_ref(), &rest)
    }

    /// The generation of the content stored under a name. Take it before reading that content.
    pub(crate) fn generation(&self, storage: &RepositoryName) -> Generation {
        self.store().generation(storage)
    }

    /// Whether nothing that leads to an image changed since.
    pub(crate) fn is_current(&self, generation: Generation) -> bool {
        self.store().is_current(generation)
    }

    /// The locations of an image as documents name it: with a host only that upstream's, without
    /// one the same as for a client's name.
    pub(crate) async fn locations_of_image(
        &self,
        image: &ImageReference,
    ) -> Result<Vec<Location>, RegistryError> {
        match image.host() {
            Some(host) => self.upstream_locations(Some(host), image.name()),
            None => self.locations_of(image.name()).await,
        }
    }

    /// The repository for an image of `host` from an imported bundle: the one in which a pull of
    /// that name looks, if that name can be pulled here.
    pub(crate) fn stored_for_import(
        &self,
        host: &Host,
        name: &RepositoryName,
    ) -> Result<StoredRepository, RegistryError> {
        let locations = self.as_itself().upstream_locations(Some(host), name)?;
        match locations.first() {
            Some(location) => Ok(location.stored().clone()),
            None => Ok(StoredRepository::new(
                self.store(),
                storage_name(host, name)?,
            )),
        }
    }

    /// The upstreams that `name` leads to: those of `host`, or the default ones.
    fn upstream_locations(
        &self,
        host: Option<&Host>,
        name: &RepositoryName,
    ) -> Result<Vec<Location>, RegistryError> {
        let location = |route: Route| {
            let storage = self.storage_of(&route)?;
            let route = self.authorised_route(route, &storage)?;
            let stored = StoredRepository::new(self.store(), storage);
            Ok(Location::Upstream(UpstreamRepository { route, stored }))
        };
        self.upstreams()
            .routes(host, name)
            .into_iter()
            .map(location)
            .collect()
    }
}

#[cfg(test)]
impl UpstreamRepository {
    /// The repository `team/app` of an upstream at `url`, and a registry before it.
    pub(crate) async fn for_tests(url: &str) -> (Registry, Self) {
        let upstream = metahub_upstream::UpstreamConfig {
            url: Some(url.parse().unwrap()),
            plain_http: true,
            ..metahub_upstream::UpstreamConfig::new("up.test".parse().unwrap())
        };
        let upstreams = metahub_upstream::Upstreams::new(&metahub_upstream::UpstreamsConfig {
            upstreams: vec![upstream],
            ..metahub_upstream::UpstreamsConfig::default()
        });
        let catalog = metahub_catalog::Catalog::from_documents::<&str, &str>(&[]);
        let catalog = tokio::sync::watch::Sender::new(Arc::new(catalog.catalog));
        let store = metahub_store::Store::temporary().await.unwrap();
        let (upstreams, settings) = (upstreams.unwrap(), crate::Settings::default());
        let registry = Registry::new(store, upstreams, catalog.subscribe(), settings);
        let image = "up.test/team/app:1".parse().unwrap();
        let locations = registry.as_itself().locations_of_image(&image).await;
        match locations.unwrap().remove(0) {
            Location::Upstream(repository) => (registry, repository),
            Location::Local(_) => unreachable!("an upstream is named"),
        }
    }
}
