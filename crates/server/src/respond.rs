//! Builds answers: the headers that belong together, set in one place.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use metahub_oci::{Digest, MediaType};
use serde::Serialize;

use crate::body::Body;
use crate::error::{HttpError, Parts};

/// `Docker-Content-Digest`, which the distribution specification requires where content has one.
pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// Longest text of a warning. The specification allows 4096 bytes of warnings in one answer.
const MAX_WARNING: usize = 4000;
/// Headers of most answers, hyper's own with them.
const HEADERS: usize = 12;

impl HttpError {
    /// The answer, with the specification's error body.
    pub(crate) fn into_response(self) -> Response<Body> {
        let Parts {
            status,
            code,
            message,
            detail,
            headers: more,
        } = self.into_parts();
        let body = serde_json::json!({
            "errors": [{ "code": code, "message": message, "detail": detail }]
        });
        let mut response = Response::new(Body::from(Bytes::from(body.to_string())));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        for (name, value) in more {
            headers.append(name, value);
        }
        response
    }
}

/// An answer being built.
pub(crate) struct Answer(Response<Body>);

impl Answer {
    pub(crate) fn new(status: StatusCode) -> Self {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        // Grown once, to what most answers have.
        response.headers_mut().reserve(HEADERS);
        Self(response)
    }

    pub(crate) fn status(mut self, status: StatusCode) -> Self {
        *self.0.status_mut() = status;
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers_mut().insert(name, value);
        self
    }

    /// A header from text. Text that is no header value is left out: it can only come from
    /// content that clients named themselves.
    pub(crate) fn text(self, name: HeaderName, value: &str) -> Self {
        match HeaderValue::from_str(value) {
            Ok(value) => self.header(name, value),
            Err(_) => self,
        }
    }

    pub(crate) fn digest(self, digest: &Digest) -> Self {
        self.text(CONTENT_DIGEST, digest.as_str())
    }

    /// The digest of the content that is answered with, which is its entity tag too.
    pub(crate) fn content(self, digest: &Digest) -> Self {
        let text = digest.as_str();
        // Both from one piece of memory.
        let mut tag = BytesMut::with_capacity(text.len() + 2);
        tag.put_u8(b'"');
        tag.put_slice(text.as_bytes());
        tag.put_u8(b'"');
        let tag = tag.freeze();
        let bare = tag.slice(1..=text.len());
        match (
            HeaderValue::from_maybe_shared(bare),
            HeaderValue::from_maybe_shared(tag),
        ) {
            (Ok(bare), Ok(tag)) => self.header(CONTENT_DIGEST, bare).header(header::ETAG, tag),
            _ => self,
        }
    }

    /// A warning for the client's user, as the distribution specification defines it
    /// (`spec.md#warnings`): code 299, no agent, few bytes.
    pub(crate) fn warning(self, warning: Option<&str>) -> Self {
        let Some(warning) = warning else { return self };
        let printable = |c: &char| (' '..='~').contains(c) && *c != '"' && *c != '\\';
        let words: String = warning
            .chars()
            .filter(printable)
            .take(MAX_WARNING)
            .collect();
        self.text(header::WARNING, &format!("299 - \"{words}\""))
    }

    pub(crate) fn location(self, location: &str) -> Self {
        self.text(header::LOCATION, location)
    }

    pub(crate) fn media_type(self, media_type: &MediaType) -> Self {
        const USUAL: [&str; 4] = [
            MediaType::OCI_INDEX,
            MediaType::OCI_MANIFEST,
            MediaType::DOCKER_LIST,
            MediaType::DOCKER_MANIFEST,
        ];
        let text = media_type.as_str();
        match USUAL.into_iter().find(|usual| *usual == text) {
            Some(usual) => self.header(header::CONTENT_TYPE, HeaderValue::from_static(usual)),
            None => self.text(header::CONTENT_TYPE, text),
        }
    }

    /// Content requested by digest never changes; the right to read it may, so no shared cache.
    pub(crate) fn immutable(self) -> Self {
        self.header(
            header::CACHE_CONTROL,
            HeaderValue::from_static("private, max-age=31536000, immutable"),
        )
    }

    /// The answer for a tag depends on the caller and on the accepted media types.
    pub(crate) fn depends_on_login(self) -> Self {
        self.header(
            header::CACHE_CONTROL,
            HeaderValue::from_static("private, no-cache"),
        )
        .header(
            header::VARY,
            HeaderValue::from_static("Authorization, Accept"),
        )
    }

    pub(crate) fn body(mut self, body: Body) -> Response<Body> {
        *self.0.body_mut() = body;
        self.0
    }

    pub(crate) fn bytes(self, bytes: Bytes) -> Response<Body> {
        self.body(Body::from(bytes))
    }

    pub(crate) fn empty(self) -> Response<Body> {
        self.body(Body::empty())
    }

    /// The answer to `HEAD` for content of `length` bytes.
    pub(crate) fn head(self, length: u64) -> Response<Body> {
        self.header(header::CONTENT_LENGTH, HeaderValue::from(length))
            .empty()
    }

    pub(crate) fn json<T: Serialize>(self, value: &T) -> Response<Body> {
        let bytes = serde_json::to_vec(value).unwrap_or_default();
        self.text(header::CONTENT_TYPE, "application/json")
            .bytes(bytes.into())
    }
}

/// Whether an `If-None-Match` (or `If-Range`) header names the entity tag of `digest`.
pub(crate) fn matches_etag(header: Option<&str>, digest: &Digest) -> bool {
    let Some(header) = header else { return false };
    header.split(',').map(str::trim).any(|tag| {
        let tag = tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"');
        tag == "*" || tag == digest.as_str()
    })
}
