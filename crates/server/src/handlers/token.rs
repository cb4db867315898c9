//! The token endpoint, as the distribution project's token specification describes it, with the
//! form posts of OAuth 2 beside it (containerd tries those first).

use std::sync::Arc;

use http::{HeaderValue, Method, Response, StatusCode, header};
use metahub_auth::{Authenticator, Credentials, Identity, Scope};
use metahub_oci::ErrorCode;

use crate::access::{identify, refuse};
use crate::body::Body;
use crate::call::Call;
use crate::channels;
use crate::error::HttpError;
use crate::request::Pairs;
use crate::respond::Answer;

/// Largest form accepted, in bytes.
pub(crate) const MAX_FORM_BYTES: usize = 64 * 1024;

/// Issues a token for the requested scopes that are granted. No refresh token is issued: a client
/// would post it in place of the user name, which carries the profile.
pub(crate) async fn issue(
    authenticator: &Authenticator,
    call: &Call<'_>,
    form: &[u8],
) -> Result<Response<Body>, HttpError> {
    let (origin, query) = (&call.origin, &call.query);
    let is_post = call.head.method == Method::POST;
    let form = if is_post {
        Pairs::parse(form)
    } else {
        Pairs::default()
    };
    let scopes = || query.all("scope").chain(form.all("scope"));
    let mut asked = Scope::parse_all(scopes());
    channels::scopes_without_prefix(&authenticator.config().profiles_by, &mut asked);
    let catalog = Scope::asks_for_catalog(scopes());
    let identity = if is_post {
        by_form(authenticator, call, &form).await?
    } else {
        by_header(authenticator, call).await?
    };
    let identity = match identity {
        Some(identity) => identity,
        None => by(authenticator, call, &Credentials::Anonymous).await?,
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

/// Authenticates these credentials, on this connection.
async fn by(
    authenticator: &Authenticator,
    call: &Call<'_>,
    credentials: &Credentials,
) -> Result<Arc<Identity>, HttpError> {
    authenticator
        .authenticate_at(credentials, Some(call.client), call.certificate)
        .await
        .map_err(|error| refuse(authenticator, &call.origin, &error))
}

async fn by_header(
    authenticator: &Authenticator,
    call: &Call<'_>,
) -> Result<Option<Arc<Identity>>, HttpError> {
    let (headers, from) = (&call.head.headers, call.client);
    identify(authenticator, headers, from, call.certificate, &call.origin).await
}

async fn by_form(
    authenticator: &Authenticator,
    call: &Call<'_>,
    form: &Pairs,
) -> Result<Option<Arc<Identity>>, HttpError> {
    match form.get("grant_type") {
        Some("password") => {
            let (user, password) = (form.get("username"), form.get("password"));
            let credentials =
                Credentials::basic(user.unwrap_or_default(), password.unwrap_or_default())
                    .map_err(|error| refuse(authenticator, &call.origin, &error))?;
            if matches!(credentials, Credentials::Anonymous) {
                return Ok(None);
            }
            by(authenticator, call, &credentials).await.map(Some)
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
        None => by_header(authenticator, call).await,
    }
}
