//! Where a name's content may lie: a repository held here, or an upstream's.
//!
//! An upstream's content is kept under `HOST/NAME`, apart from what was pushed here, so that
//! neither ever shadows the other and every login shares one copy.

use metahub_oci::{Host, ImageReference, RepositoryName};
use metahub_upstream::{Problem, Route, UpstreamError};

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
/// passed over. Its failure is the answer only if no other place has it.
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

    /// The end of a search that found nothing.
    pub(crate) fn end(self) -> Result<(), RegistryError> {
        self.failure.map_or(Ok(()), Err)
    }
}

/// Whether nobody was asked, because this registry is told to stay offline.
pub(crate) fn is_offline(error: &UpstreamError) -> bool {
    *error.problem() == Problem::Offline
}

/// The name under which content of `name` at `host` is kept. Ports are spelled with `_`, since
/// repository names have no colon.
pub(crate) fn kept_name(
    host: &Host,
    name: &RepositoryName,
) -> Result<RepositoryName, RegistryError> {
    let host = host.as_str().replace(':', "_").replace(['[', ']'], "");
    format!("{host}/{name}")
        .parse()
        .map_err(RegistryError::Name)
}

impl Registry {
    /// The places of the repository that clients call `name`, first to last: what was pushed here,
    /// then the upstream that the name itself names (`quay.io/x/y`) or the default one.
    pub(crate) fn places_of(&self, name: &RepositoryName) -> Result<Vec<Place>, RegistryError> {
        let mut places = vec![Place::Local(name.clone())];
        places.extend(self.elsewhere(name)?);
        Ok(places)
    }

    /// The places of that repository after this registry itself.
    pub(crate) fn elsewhere(&self, name: &RepositoryName) -> Result<Vec<Place>, RegistryError> {
        let (host, rest) = self.upstreams().split(name);
        self.upstream_places(host.as_ref(), &rest)
    }

    /// The places of an image as documents name it: with a host only that upstream's, without
    /// one the same as for a client's name.
    pub(crate) fn places_of_image(
        &self,
        image: &ImageReference,
    ) -> Result<Vec<Place>, RegistryError> {
        match image.host() {
            Some(host) => self.upstream_places(Some(host), image.name()),
            None => self.places_of(image.name()),
        }
    }

    /// Whether nobody is asked after `place`: a name that somebody pushed to is wholly local, so
    /// that what is missing there is never filled in by a stranger's repository of the same name.
    pub(crate) async fn ends_at(&self, place: &Place) -> Result<bool, RegistryError> {
        match place {
            Place::Local(name) => Ok(self.store().was_pushed(name).await?),
            Place::Upstream { .. } => Ok(false),
        }
    }

    fn upstream_places(
        &self,
        host: Option<&Host>,
        name: &RepositoryName,
    ) -> Result<Vec<Place>, RegistryError> {
        let place = |route: Route| {
            let kept = kept_name(route.upstream.host(), &route.name)?;
            Ok(Place::Upstream { route, kept })
        };
        self.upstreams()
            .routes(host, name)
            .into_iter()
            .map(place)
            .collect()
    }
}
