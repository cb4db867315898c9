//! What a request shows beside its login, by which a profile may be chosen: the first components
//! of the repository's name, the host that was asked, a header, a certificate, an address.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, header};
use metahub_auth::{Actions, ProfilesBy, Scope};
use metahub_auth::{
    Arrival, Authenticator, Channel, ChannelError, Identity, PROFILE_HEADER, Right,
};
use metahub_oci::{ErrorCode, RepositoryName};
use metahub_registry::Registry;

use crate::error::HttpError;
use crate::route::Route;

/// A route without the prefix by which its repository's name chooses a profile.
pub(crate) struct WithoutPrefix {
    pub(crate) route: Route,
    pub(crate) prefix: RepositoryName,
}

/// Takes the prefix off a repository's name, if it has one that the configuration names. A name
/// that was pushed to here, or that a collection has, is never taken for one below a prefix.
pub(crate) async fn without_prefix(
    maps: &ProfilesBy,
    registry: &Registry,
    route: &Route,
) -> Result<Option<WithoutPrefix>, HttpError> {
    let Route::In(name, operation) = route else {
        return Ok(None);
    };
    let Some((prefix, rest)) = maps.prefix_of(name) else {
        return Ok(None);
    };
    if registry.is_named_here(name).await? {
        return Ok(None);
    }
    if operation.right() != Right::Pull {
        let message = format!(
            "names below {prefix}/ choose a profile for pulls (profiles_by.path in the registry's \
             configuration): push to {rest} instead"
        );
        return Err(HttpError::code(ErrorCode::NameInvalid, message));
    }
    Ok(Some(WithoutPrefix {
        route: Route::In(rest, operation.clone()),
        prefix: prefix.clone(),
    }))
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
