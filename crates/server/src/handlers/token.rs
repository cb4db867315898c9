//! The token endpoint, as the distribution project's token specification describes it, with the
//! form posts of OAuth 2 beside it (containerd tries those first).

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use metahub_auth::{AuthError, Authenticator, Credentials, Identity, Scope};
use metahub_oci::ErrorCode;

use crate::access::{identify, refuse};
use crate::body::Body;
use crate::channels;
use crate::error::HttpError;
use crate::forwarded::Origin;
use crate::request::Pairs;
use crate::respond::Answer;

/// Largest form accepted, in bytes.
pub(crate) const MAX_FORM_BYTES: usize = 64 * 1024;

/// Issues a token for what was asked and is granted. No refresh token is issued: a client would
/// post it in place of the user name, which carries the profile.
pub(crate) async fn issue(
    authenticator: &Authenticator,
    method: &Method,
    headers: &HeaderMap,
    query: &Pairs,
    form: Bytes,
    from: IpAddr,
    origin: &Origin<'_>,
) -> Result<Response<Body>, HttpError> {
    let form = if method == Method::POST {
        Pairs::parse(&form)
    } else {
        Pairs::default()
    };
    let scopes = || query.all("scope").chain(form.all("scope"));
    let mut asked = Scope::parse_all(scopes());
    channels::scopes_without_prefix(&authenticator.config().profiles_by, &mut asked);
    let catalog = Scope::asks_for_catalog(scopes());
    let identity = if method == Method::POST {
        by_form(authenticator, headers, &form, from, origin).await?
    } else {
        identify(authenticator, headers, from, origin).await?
    };
    let identity = match identity {
        Some(identity) => identity,
        None => authenticator
            .anonymous()
            .ok_or_else(|| refuse(authenticator, origin, &AuthError::LoginRequired))?,
    };
    let issued = authenticator
        .issue_for(&identity, &asked, catalog)
        .map_err(|error| refuse(authenticator, origin, &error))?;
    let answer = Answer::new(StatusCode::OK)
        .header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let remarks = identity.profile().remarks();
    let answer = match remarks {
        [] => answer,
        remarks => answer.warning(Some(&remarks.join("; "))),
    };
    Ok(answer.json(&issued))
}

async fn by_form(
    authenticator: &Authenticator,
    headers: &HeaderMap,
    form: &Pairs,
    from: IpAddr,
    origin: &Origin<'_>,
) -> Result<Option<Arc<Identity>>, HttpError> {
    match form.get("grant_type") {
        Some("password") => {
            let (user, password) = (form.get("username"), form.get("password"));
            let credentials =
                Credentials::basic(user.unwrap_or_default(), password.unwrap_or_default())
                    .map_err(|error| refuse(authenticator, origin, &error))?;
            if matches!(credentials, Credentials::Anonymous) {
                return Ok(None);
            }
            authenticator
                .authenticate(&credentials, Some(from))
                .await
                .map(Some)
                .map_err(|error| refuse(authenticator, origin, &error))
        }
        // containerd falls back to GET with Basic on 400.
        Some(other) => Err(HttpError::code(
            ErrorCode::Unsupported,
            format!(
                "grant_type={}: expected password. No refresh tokens are issued here",
                other.chars().take(40).collect::<String>()
            ),
        )
        .with_status(StatusCode::BAD_REQUEST)),
        None => identify(authenticator, headers, from, origin).await,
    }
}
