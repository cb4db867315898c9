//! Reading requests: headers, query and bodies, each bounded before it is believed.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, StatusCode};
use http_body_util::BodyExt;
use metahub_oci::ErrorCode;

use crate::error::HttpError;
use crate::request_body::RequestBody;

/// How much of a refused body is read before the answer.
const DRAINED_BYTES: usize = 16 * 1024 * 1024;
/// How long it is read.
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
    let too_large = || {
        HttpError::code(
            ErrorCode::SizeInvalid,
            format!("{what} is too large: at most {limit} bytes are accepted"),
        )
        .with_status(StatusCode::PAYLOAD_TOO_LARGE)
    };
    let announced = http_body::Body::size_hint(&body).lower();
    if announced > limit as u64 {
        drain(body).await;
        return Err(too_large());
    }
    let mut collected = BytesMut::with_capacity(usize::try_from(announced).unwrap_or(0));
    let mut body = body;
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
                return Err(too_large());
            }
            collected.extend_from_slice(data);
        }
    }
    Ok(collected.freeze())
}

/// Reads and forgets the rest of a body that is refused, within bounds: a client that is still
/// writing would otherwise see a broken connection instead of the answer.
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
    // Out of time is as good as read: the answer goes out either way.
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
