//! Where a name's content may lie: a repository held here, or an upstream's.
//!
//! An upstream's content is kept under `HOST/NAME`, apart from what was pushed here, so that
//! neither ever shadows the other and every login shares one copy.

use metahub_oci::{Host, ImageReference, RepositoryName};
use metahub_upstream::{Problem, Route, UpstreamError, named_host};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{Registry, RegistryError};

/// One place that may hold a repository's content.
#[derive(Clone)]
pub(crate) enum Location {
    /// A repository of this registry.
    Local(RepositoryName),
    /// A repository of an upstream.
    Upstream {
        /// How to ask for it there.
        route: Route,
        /// The repository under which its content is kept here.
        storage: RepositoryName,
    },
}

impl Location {
    /// The repository of the store that holds this place's content.
    pub(crate) fn storage(&self) -> &RepositoryName {
        match self {
            Self::Local(name) => name,
            Self::Upstream { storage, .. } => storage,
        }
    }
}

/// What an upstream has. A registry that is told to stay offline has what it keeps, and nothing
/// else is there; that is no failure.
pub(crate) fn there<T>(
    answer: Result<Option<T>, UpstreamError>,
) -> Result<Option<T>, UpstreamError> {
    match answer {
        Err(error) if is_offline(&error) => Ok(None),
        answer => answer,
    }
}

/// A search through one place after another: the first that has it wins, and one that fails is
/// passed over. Its failure is the answer only if no other place has it; else the caller is
/// told of it.
#[derive(Default)]
pub(crate) struct Search {
    failure: Option<RegistryError>,
}

impl Search {
    /// What one place answered; nothing if its upstream failed.
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

    /// What to say of a place that was passed over before another one had it.
    pub(crate) fn passed_over(&self) -> Option<String> {
        let failure = self.failure.as_ref()?;
        Some(format!("passed over: {failure}"))
    }

    /// The end of a search that found nothing.
    pub(crate) fn end(self) -> Result<(), RegistryError> {
        self.failure.map_or(Ok(()), Err)
    }
}

/// Whether nobody was asked, because this registry is told to stay offline.
pub(crate) fn is_offline(error: &UpstreamError) -> bool {
    *error.problem() == Problem::Offline
}

/// The name by which clients ask for `name` at `host`, and under which its content is kept unless
/// it is read under each account's own identity (see `enter`).
pub(crate) fn storage_name(
    host: &Host,
    name: &RepositoryName,
) -> Result<RepositoryName, RegistryError> {
    format!("{}/{name}", named_host(host))
        .parse()
        .map_err(RegistryError::Name)
}

/// Where a name is looked for first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LocalContent {
    /// Among what was pushed here: who pushed to a name has it to themselves.
    #[default]
    First,
    /// At the name's upstreams: what was pushed here is what they do not have.
    Last,
}

impl Registry {
    /// The places of the repository that clients call `name`, first to last: what was pushed here,
    /// and the upstreams that the name itself names (`quay.io/x/y`) or the default ones. A local
    /// name has no other place, unless the configuration says that local content comes last:
    /// what is missing there is never filled in by a stranger's repository of the same name.
    pub(crate) async fn locations_of(
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

    /// Whether nothing of any upstream is found under `name`, which may be pushed to here.
    pub(crate) async fn is_wholly_local(
        &self,
        name: &RepositoryName,
    ) -> Result<bool, RegistryError> {
        Ok(self.settings().local == LocalContent::First && self.store().was_pushed(name).await?)
    }

    /// The place of what was pushed here under that name, if any may be: not where it leads to an
    /// upstream that is read under each account's own identity.
    pub(crate) fn local(&self, name: &RepositoryName) -> Option<Location> {
        self.is_open(name).then(|| Location::Local(name.clone()))
    }

    /// What to say of an answer that an upstream gave for `name`, if that name was pushed to here
    /// and local content comes last: what was pushed is not what is served.
    pub(crate) async fn shadowing(
        &self,
        name: &RepositoryName,
        location: &Location,
    ) -> Result<Option<String>, RegistryError> {
        let Location::Upstream { route, .. } = location else {
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

    /// The places of that repository after this registry itself.
    pub(crate) fn upstream_locations_of(
        &self,
        name: &RepositoryName,
    ) -> Result<Vec<Location>, RegistryError> {
        let (host, rest) = self.upstreams().split(name);
        self.upstream_locations(host.as_ref(), &rest)
    }

    /// The places of an image as documents name it: with a host only that upstream's, without
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

    /// The upstreams that `name` leads to: those of `host`, or the default ones.
    pub(crate) fn upstream_locations(
        &self,
        host: Option<&Host>,
        name: &RepositoryName,
    ) -> Result<Vec<Location>, RegistryError> {
        let location = |route: Route| {
            let storage = self.storage_of(&route)?;
            let route = self.authorised_route(route, &storage)?;
            Ok(Location::Upstream { route, storage })
        };
        self.upstreams()
            .routes(host, name)
            .into_iter()
            .map(location)
            .collect()
    }
}
