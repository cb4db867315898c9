//! Authentication and authorisation of requests: the one place where credentials are read and
//! rights checked.
//!
//! Under `/v2/` a request without credentials is answered 401 with a challenge even where reading
//! is free for all: clients send credentials only when they are challenged, and a login that never
//! arrives would silently yield the image for no hardware at all. A client without credentials gets
//! a token on request.

use std::fmt::Display;
use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use metahub_auth::{
    AuthError, Authenticator, Credentials, Denied, Granted, Identity, Right, Scope,
    bearer_challenge,
};
use metahub_oci::{ErrorCode, RepositoryName};

use crate::error::HttpError;
use crate::forwarded::Origin;

/// Authenticates a request. Without credentials there is no identity, not even an anonymous one.
pub(crate) async fn identify(
    authenticator: &Authenticator,
    headers: &HeaderMap,
    from: IpAddr,
    certificate: &[String],
    origin: &Origin<'_>,
) -> Result<Option<Arc<Identity>>, HttpError> {
    let value = headers
        .get(header::AUTHORIZATION)
        .map(HeaderValue::as_bytes);
    let credentials =
        Credentials::parse(value).map_err(|error| refuse(authenticator, origin, &error))?;
    if matches!(credentials, Credentials::Anonymous) {
        return Ok(None);
    }
    authenticator
        .authenticate_at(&credentials, Some(from), certificate)
        .await
        .map(Some)
        .map_err(|error| refuse(authenticator, origin, &error))
}

/// The answer to invalid credentials.
pub(crate) fn refuse(
    authenticator: &Authenticator,
    origin: &Origin<'_>,
    error: &AuthError,
) -> HttpError {
    let message = error.to_string();
    match error {
        AuthError::TooMany { retry_after } => HttpError::code(ErrorCode::TooManyRequests, message)
            .with_header(
                header::RETRY_AFTER,
                &retry_after.as_secs().max(1).to_string(),
            ),
        AuthError::Unavailable(_) => HttpError::code(ErrorCode::Unavailable, message),
        _ => challenge(
            authenticator,
            origin,
            NO_SCOPES,
            error.challenge_code(),
            message,
        ),
    }
}

/// For a challenge that asks for no scope.
const NO_SCOPES: &[Scope] = &[];

fn challenge(
    authenticator: &Authenticator,
    origin: &Origin<'_>,
    scopes: &[impl Display],
    code: Option<&str>,
    message: String,
) -> HttpError {
    let service = &authenticator.config().service;
    let text = bearer_challenge(&origin.realm(), service, scopes, code);
    HttpError::code(ErrorCode::Unauthorized, message).with_header(header::WWW_AUTHENTICATE, &text)
}

/// The identity, or the challenge.
pub(crate) fn require(
    authenticator: &Authenticator,
    identity: Option<Arc<Identity>>,
    origin: &Origin<'_>,
) -> Result<Arc<Identity>, HttpError> {
    identity.ok_or_else(|| {
        let message = "log in: docker login HOST -u PROFILE, for example zen3".to_owned();
        challenge(authenticator, origin, NO_SCOPES, None, message)
    })
}

/// The identity, if it is an account's and not a profile's alone.
pub(crate) fn require_account(
    authenticator: &Authenticator,
    identity: Option<Arc<Identity>>,
    origin: &Origin<'_>,
) -> Result<(), HttpError> {
    if require(authenticator, identity, origin)?
        .account()
        .is_some()
    {
        return Ok(());
    }
    Err(HttpError::code(
        ErrorCode::Denied,
        "this is for accounts only: log in with the name and password of one",
    ))
}

/// The identity, if it is an admin's who sent a password.
pub(crate) fn require_admin(
    authenticator: &Authenticator,
    identity: Option<Arc<Identity>>,
    origin: &Origin<'_>,
) -> Result<(), HttpError> {
    if require(authenticator, identity, origin)?.may_administer() {
        return Ok(());
    }
    Err(HttpError::code(
        ErrorCode::Denied,
        "this is for admins only: it takes an admin's name and password (a token does not do)",
    ))
}

/// The account, if it may read the documents of the API or, if `changes`, change them.
pub(crate) fn curator(
    authenticator: &Authenticator,
    identity: Option<Arc<Identity>>,
    origin: &Origin<'_>,
    changes: bool,
) -> Result<String, HttpError> {
    let identity = require(authenticator, identity, origin)?;
    let Some(account) = identity.account() else {
        let message = "this is for accounts only: log in with the name and password of one";
        return Err(HttpError::code(ErrorCode::Denied, message));
    };
    if changes && !identity.may_curate() {
        let message = format!(
            "account {account} may not change profiles and collections: it takes a curator's or an \
             admin's name and password (a token does not do)"
        );
        return Err(HttpError::code(ErrorCode::Denied, message));
    }
    Ok(account.to_string())
}

/// Checks that the identity has `right` in `repository`. The result opens the repository.
pub(crate) fn authorize(
    authenticator: &Authenticator,
    identity: Option<Arc<Identity>>,
    origin: &Origin<'_>,
    right: Right,
    repository: &RepositoryName,
) -> Result<(Arc<Identity>, Granted), HttpError> {
    let scopes = [Scope::of(right, repository)];
    // A push does not depend on a profile, so where everyone may push there is no challenge.
    let identity = identity.or_else(|| {
        let nobody = authenticator.anonymous()?;
        (right != Right::Pull && nobody.may(right, repository)).then_some(nobody)
    });
    let Some(identity) = identity else {
        let message = format!("log in, or ask for a token, to {right} {repository}");
        return Err(challenge(authenticator, origin, &scopes, None, message));
    };
    match identity.check(right, repository) {
        Ok(granted) => Ok((identity, granted)),
        Err(denied @ Denied::Role { .. }) => {
            Err(HttpError::code(ErrorCode::Denied, denied.to_string()))
        }
        Err(denied @ Denied::Login { .. }) => Err(challenge(
            authenticator,
            origin,
            &scopes,
            None,
            denied.to_string(),
        )),
        Err(denied @ Denied::Scope(_)) => Err(challenge(
            authenticator,
            origin,
            &scopes,
            Some("insufficient_scope"),
            denied.to_string(),
        )),
    }
}

/// The right to mount a blob of `from` into `into`. A token with the scope of `into` alone is
/// challenged with both scopes; an account that may not read `from` mounts nothing, and its client
/// uploads instead.
pub(crate) fn may_mount(
    authenticator: &Authenticator,
    identity: &Identity,
    origin: &Origin<'_>,
    from: &RepositoryName,
    into: &RepositoryName,
) -> Result<Option<Granted>, HttpError> {
    match identity.check(Right::Pull, from) {
        Ok(granted) => Ok(Some(granted)),
        Err(Denied::Scope(_)) => {
            let scopes = [Scope::of(Right::Push, into), Scope::of(Right::Pull, from)];
            let message = format!("to mount out of {from}, ask for a token that covers it");
            Err(challenge(
                authenticator,
                origin,
                &scopes,
                Some("insufficient_scope"),
                message,
            ))
        }
        Err(_) => Ok(None),
    }
}

/// Authorises the list of repositories. A client without a token for it is challenged with its
/// scope.
pub(crate) fn may_list(
    authenticator: &Authenticator,
    identity: Option<Arc<Identity>>,
    origin: &Origin<'_>,
) -> Result<Arc<Identity>, HttpError> {
    let scopes = [Scope::CATALOG];
    let Some(identity) = identity else {
        let message = "log in, or ask for a token, to list repositories".to_owned();
        return Err(challenge(authenticator, origin, &scopes, None, message));
    };
    if identity.may_list() {
        return Ok(identity);
    }
    if identity.may_be_granted_list() {
        let message = format!(
            "this token is not for that: ask for one with the scope {}",
            Scope::CATALOG
        );
        let code = Some("insufficient_scope");
        return Err(challenge(authenticator, origin, &scopes, code, message));
    }
    Err(
        HttpError::code(ErrorCode::Denied, "this login may not list repositories")
            .with_status(StatusCode::FORBIDDEN),
    )
}
