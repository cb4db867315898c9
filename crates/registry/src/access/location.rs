//! Where a name's content may lie: a repository held here, or an upstream's.
//!
//! An upstream's content is kept under `HOST/NAME`, apart from what was pushed here, so that
//! neither ever shadows the other and every login shares one copy.

use metahub_oci::{Host, ImageReference, RepositoryName};
use metahub_upstream::{Problem, Route, UpstreamError, named_host};
use serde::Deserialize;

use crate::{Registry, RegistryError};

/// One place that may hold a repository's content.
#[derive(Clone)]
pub(crate) enum Place {
    /// A repository of this registry.
    Local(RepositoryName),
    /// A repository of an upstream.
    Upstream {
        /// How to ask for it there.
        route: Route,
        /// The repository under which its content is kept here.
        kept: RepositoryName,
    },
}

impl Place {
    /// The repository of the store that holds this place's content.
    pub(crate) fn kept(&self) -> &RepositoryName {
        match self {
            Self::Local(name) => name,
            Self::Upstream { kept, .. } => kept,
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
/// passed over. Its failure is the answer only if no other place has it; else whoever asked is
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
pub(crate) fn kept_name(
    host: &Host,
    name: &RepositoryName,
) -> Result<RepositoryName, RegistryError> {
    format!("{}/{name}", named_host(host))
        .parse()
        .map_err(RegistryError::Name)
}

/// Where a name is looked for first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
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
    pub(crate) async fn places_of(
        &self,
        name: &RepositoryName,
    ) -> Result<Vec<Place>, RegistryError> {
        let local = self.local(name);
        if local.is_some() && self.is_wholly_local(name).await? {
            return Ok(local.into_iter().collect());
        }
        let mut places = self.elsewhere(name)?;
        match (local, self.settings().local) {
            (Some(local), LocalContent::First) => places.insert(0, local),
            (Some(local), LocalContent::Last) => places.push(local),
            (None, _) => {}
        }
        Ok(places)
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
    pub(crate) fn local(&self, name: &RepositoryName) -> Option<Place> {
        self.is_open(name).then(|| Place::Local(name.clone()))
    }

    /// What to say of an answer that an upstream gave for `name`, if that name was pushed to here
    /// and local content comes last: what was pushed is not what is served.
    pub(crate) async fn shadowing(
        &self,
        name: &RepositoryName,
        place: &Place,
    ) -> Result<Option<String>, RegistryError> {
        let Place::Upstream { route, .. } = place else {
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
    pub(crate) fn elsewhere(&self, name: &RepositoryName) -> Result<Vec<Place>, RegistryError> {
        let (host, rest) = self.upstreams().split(name);
        self.upstream_places(host.as_ref(), &rest)
    }

    /// The places of an image as documents name it: with a host only that upstream's, without
    /// one the same as for a client's name.
    pub(crate) async fn places_of_image(
        &self,
        image: &ImageReference,
    ) -> Result<Vec<Place>, RegistryError> {
        match image.host() {
            Some(host) => self.upstream_places(Some(host), image.name()),
            None => self.places_of(image.name()).await,
        }
    }

    /// The upstreams that `name` leads to: those of `host`, or the default ones.
    pub(crate) fn upstream_places(
        &self,
        host: Option<&Host>,
        name: &RepositoryName,
    ) -> Result<Vec<Place>, RegistryError> {
        let place = |route: Route| {
            let kept = self.kept(&route)?;
            let route = self.way(route, &kept)?;
            Ok(Place::Upstream { route, kept })
        };
        self.upstreams()
            .routes(host, name)
            .into_iter()
            .map(place)
            .collect()
    }
}
