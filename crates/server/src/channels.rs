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

/// What of a name is a prefix that the configuration names. A name that was pushed to here, or
/// that a collection has, is never taken for one below a prefix.
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

/// What is asked for below a prefix is asked for without it, too, to be pulled: clients ask for
/// the name that they were given.
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
    // What is no text names nothing, and is told as that.
    let header = header.map(|value| String::from_utf8_lossy(value.as_bytes()));
    let arrival = Arrival {
        header: header.as_deref().map(str::trim),
        ..*arrival
    };
    authenticator
        .under_arrival(identity, &arrival)
        .map_err(|error| refusal(&error))
}

/// The client's words are the client's fault, and the configuration's the site's.
fn refusal(error: &ChannelError) -> HttpError {
    let message = error.to_string();
    if error.channel == Channel::Header {
        return HttpError::code(ErrorCode::NameInvalid, message);
    }
    tracing::error!(%error, "a login of the configuration cannot be read: nothing is served by it");
    HttpError::code(ErrorCode::Unavailable, message)
}

/// Says of an answer that depends on the login that it depends on `X-Meta-Profile`, too.
pub(crate) fn vary_by_profile_header(headers: &mut HeaderMap) {
    let on_login = headers
        .get(header::VARY)
        .is_some_and(|value| value.as_bytes().starts_with(b"Authorization"));
    if on_login {
        headers.append(header::VARY, HeaderValue::from_static("X-Meta-Profile"));
    }
}
