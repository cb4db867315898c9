//! The properties of a request besides its login by which a profile may be chosen: the first
//! components of the repository's name, the requested host, a header, a certificate, an address.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, header};
use metahub_auth::{
    Actions, Arrival, Authenticator, Channel, ChannelError, Identity, PROFILE_HEADER, ProfilesBy,
    Scope,
};
use metahub_oci::{ErrorCode, RepositoryName};
use metahub_registry::Registry;

use crate::error::HttpError;

/// A name below a prefix that chooses a profile.
pub(crate) struct Below {
    pub(crate) prefix: RepositoryName,
    /// The name without it.
    pub(crate) rest: RepositoryName,
}

/// The configured prefix of a name, and the rest. A local name, or a collection's, is never split.
pub(crate) async fn below_prefix(
    maps: &ProfilesBy,
    registry: &Registry,
    name: &RepositoryName,
) -> Result<Option<Below>, HttpError> {
    let Some((prefix, rest)) = maps.prefix_of(name) else {
        return Ok(None);
    };
    if registry.is_named_here(name).await? {
        return Ok(None);
    }
    let prefix = prefix.clone();
    Ok(Some(Below { prefix, rest }))
}

/// Refuses a push to a new name below a prefix, which nobody could pull.
pub(crate) async fn refuse_push_below(
    maps: &ProfilesBy,
    registry: &Registry,
    name: &RepositoryName,
) -> Result<(), HttpError> {
    match below_prefix(maps, registry, name).await? {
        None => Ok(()),
        Some(Below { prefix, rest }) => {
            let message = format!(
                "names below {prefix}/ choose a profile for pulls (profiles_by.path in the \
                 registry's configuration): push to {rest} instead"
            );
            Err(HttpError::code(ErrorCode::NameInvalid, message))
        }
    }
}

/// Adds scopes without the prefix to those with one, for pulling: clients request the name that
/// they were given.
pub(crate) fn scopes_without_prefix(maps: &ProfilesBy, asked: &mut Vec<Scope>) {
    let below: Vec<Scope> = asked
        .iter()
        .filter_map(|scope| {
            let (_, repository) = maps.prefix_of(&scope.repository)?;
            Some(Scope {
                repository,
                actions: Actions::PULL,
            })
        })
        .collect();
    asked.extend(below);
}

/// The identity under the profile that the request shows, where its own login names no hardware.
pub(crate) fn profiled(
    authenticator: &Authenticator,
    headers: &HeaderMap,
    arrival: &Arrival<'_>,
    identity: Arc<Identity>,
) -> Result<Arc<Identity>, HttpError> {
    let header = headers.get(PROFILE_HEADER);
    // A header that is no text is reported as naming nothing.
    let header = header.map(|value| String::from_utf8_lossy(value.as_bytes()));
    let arrival = Arrival {
        header: header.as_deref().map(str::trim),
        ..*arrival
    };
    authenticator
        .under_arrival(identity, &arrival)
        .map_err(|error| refusal(&error))
}

/// An error in the client's selectors is the client's, one in the configuration the site's.
fn refusal(error: &ChannelError) -> HttpError {
    let message = error.to_string();
    if error.channel == Channel::Header {
        return HttpError::code(ErrorCode::NameInvalid, message);
    }
    tracing::error!(%error, "a login of the configuration cannot be read: nothing is served by it");
    HttpError::code(ErrorCode::Unavailable, message)
}

/// Adds `X-Meta-Profile` to the `Vary` header of an answer that depends on the login.
pub(crate) fn vary_by_profile_header(headers: &mut HeaderMap) {
    let on_login = headers
        .get(header::VARY)
        .is_some_and(|value| value.as_bytes().starts_with(b"Authorization"));
    if on_login {
        headers.append(header::VARY, HeaderValue::from_static("X-Meta-Profile"));
    }
}
