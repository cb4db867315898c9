//! Reading requests: headers, query and bodies, each bounded before it is believed.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, StatusCode};
use http_body_util::BodyExt;
use metahub_limits::{DocumentBudget, DocumentUse, Reservation};
use metahub_oci::ErrorCode;
use metahub_registry::RegistryError;

use crate::error::HttpError;
use crate::request_body::RequestBody;

/// How much of a refused body is read before the answer.
const DRAINED_BYTES: usize = 16 * 1024 * 1024;
/// Memory for a body, in bytes, before any of it came.
const UNRESERVED: usize = 16 * 1024;
/// How long a large manifest may take to arrive.
const READ_TIME: Duration = Duration::from_secs(60);
/// How long a refused body is read.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// A request header as text, if it is there and is text.
pub(crate) fn header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The pairs of a query string or form, decoded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// Decodes `key=value&…`.
    pub(crate) fn parse(text: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(text).into_owned().collect())
    }

    /// The query of a request.
    pub(crate) fn of(uri: &http::Uri) -> Self {
        uri.query()
            .map(|query| Self::parse(query.as_bytes()))
            .unwrap_or_default()
    }

    /// The first value under `key`.
    pub(crate) fn get(&self, key: &'static str) -> Option<&str> {
        self.all(key).next()
    }

    /// Every value under `key`, in order.
    pub(crate) fn all(&self, key: &'static str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(k, _)| k == key)
            .map(|(_, v)| v.as_str())
    }
}

/// Reads a whole body of at most `limit` bytes. `what` names it in the error.
pub(crate) async fn read(body: RequestBody, limit: usize, what: &str) -> Result<Bytes, HttpError> {
    let announced = http_body::Body::size_hint(&body).lower();
    if announced > limit as u64 {
        drain(body).await;
        return Err(too_large(what, limit));
    }
    // A client that announces much and sends little costs little.
    let room = usize::try_from(announced).unwrap_or(0).min(UNRESERVED);
    collect(body, BytesMut::with_capacity(room), limit, what).await
}

/// The same for a manifest, with memory reserved for it: for the announced length, or else for
/// `limit`. A large one must arrive within [`READ_TIME`], since others wait for its memory.
pub(crate) async fn read_document(
    body: RequestBody,
    limit: usize,
    what: &str,
    documents: &DocumentBudget,
) -> Result<(Bytes, Reservation), HttpError> {
    let hint = http_body::Body::size_hint(&body);
    let announced = hint.exact().unwrap_or(limit as u64);
    if announced.max(hint.lower()) > limit as u64 {
        drain(body).await;
        return Err(too_large(what, limit));
    }
    let memory = documents
        .reserve(DocumentUse::FromClient, announced)
        .await
        .map_err(RegistryError::from)?;
    let room = usize::try_from(hint.lower()).unwrap_or(0);
    let reading = collect(body, BytesMut::with_capacity(room), limit, what);
    let bytes = if memory.bytes() == 0 {
        reading.await?
    } else {
        let read = tokio::time::timeout(READ_TIME, reading).await;
        read.map_err(|_| too_slow(what))??
    };
    Ok((bytes, memory))
}

fn too_large(what: &str, limit: usize) -> HttpError {
    HttpError::code(
        ErrorCode::SizeInvalid,
        format!("{what} is too large: at most {limit} bytes are accepted"),
    )
    .with_status(StatusCode::PAYLOAD_TOO_LARGE)
}

fn too_slow(what: &str) -> HttpError {
    HttpError::code(
        ErrorCode::SizeInvalid,
        format!(
            "{what} did not arrive within {} s. Send it again",
            READ_TIME.as_secs()
        ),
    )
    .with_status(StatusCode::REQUEST_TIMEOUT)
}

async fn collect(
    mut body: RequestBody,
    mut collected: BytesMut,
    limit: usize,
    what: &str,
) -> Result<Bytes, HttpError> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            body.stalled().unwrap_or_else(|| {
                HttpError::code(
                    ErrorCode::SizeInvalid,
                    format!("{what} ended early: {error}"),
                )
                .with_status(StatusCode::BAD_REQUEST)
            })
        })?;
        if let Some(data) = frame.data_ref() {
            if collected.len() + data.len() > limit {
                drain(body).await;
                return Err(too_large(what, limit));
            }
            collected.extend_from_slice(data);
        }
    }
    Ok(collected.freeze())
}

/// Reads and drops the rest of a refused body, within bounds: a client that is still writing would
/// otherwise see a broken connection instead of the answer.
async fn drain(mut body: RequestBody) {
    let reading = async {
        let mut left = DRAINED_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                break;
            }
        }
    };
    // A timeout counts as read: the answer is sent either way.
    let _ = tokio::time::timeout(DRAIN_TIME, reading).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_as_forms_are() {
        let pairs =
            Pairs::parse(b"scope=repository:a:pull&scope=x%2By&account=alice%2Fzen3+y&empty=");
        assert_eq!(
            pairs.all("scope").collect::<Vec<_>>(),
            ["repository:a:pull", "x+y"]
        );
        assert_eq!(pairs.get("account"), Some("alice/zen3 y"));
        assert_eq!(pairs.get("empty"), Some(""));
        assert_eq!(pairs.get("none"), None);
    }
}
