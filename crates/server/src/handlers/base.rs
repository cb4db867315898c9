//! Endpoints without content: the API's base, health, and the page for a browser.

use http::{Response, StatusCode, header};
use metahub_oci::ErrorCode;
use metahub_store::Store;

use crate::body::Body;
use crate::error::HttpError;
use crate::respond::Answer;
use crate::scrape;

/// end-1, for an authenticated caller.
pub(crate) fn base() -> Response<Body> {
    Answer::new(StatusCode::OK).json(&serde_json::json!({}))
}

/// Liveness: answers while the process serves.
pub(crate) fn health() -> Response<Body> {
    Answer::new(StatusCode::OK)
        .text(header::CONTENT_TYPE, "text/plain")
        .bytes("ok\n".into())
}

/// Readiness: answers while content can also be stored.
pub(crate) fn ready(store: &Store) -> Result<Response<Body>, HttpError> {
    match store.ready() {
        Ok(()) => Ok(health()),
        Err(error) => Err(HttpError::code(ErrorCode::Unavailable, error.to_string())),
    }
}

/// The metrics, as text.
pub(crate) fn metrics(text: String) -> Response<Body> {
    Answer::new(StatusCode::OK)
        .text(header::CONTENT_TYPE, scrape::MEDIA_TYPE)
        .bytes(text.into())
}

/// For people who open the registry's address in a browser.
pub(crate) fn welcome(host: &str) -> Response<Body> {
    let text = format!(
        "MetaHub: module load, moved into the container registry.\n\n\
         docker login {host} -u zen3        any password: zen3 is a public profile\n\
         docker pull {host}/NAME:TAG        yields the image that fits that profile best\n"
    );
    Answer::new(StatusCode::OK)
        .text(header::CONTENT_TYPE, "text/plain; charset=utf-8")
        .bytes(text.into_bytes().into())
}
