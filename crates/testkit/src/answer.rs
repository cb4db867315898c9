//! Answers of a fake registry: any status, headers and bytes, and bodies that are truncated or
//! stall.

use std::io;

use ::http::{Response, StatusCode};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;

use crate::http::digest_of;

/// The media type of an image's manifest (image-spec).
pub const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// The body of an answer.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What a fake registry does with a request.
#[derive(Debug)]
pub enum Answer {
    /// Answers.
    Now(Box<Response<Body>>),
    /// Keeps the client waiting, without end.
    Never,
}

/// A part of a body, or an end to it.
#[derive(Clone, Debug)]
pub enum Piece {
    /// These bytes.
    Bytes(Bytes),
    /// The connection is closed early.
    Cut,
    /// Nothing more comes, and the connection stays.
    Stall,
}

impl Answer {
    /// A status and a whole body, whose length is announced.
    #[must_use]
    pub fn new(status: u16, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let length = body.len();
        Self::streamed(status, vec![Piece::Bytes(body)]).header("content-length", length)
    }

    /// A status and a body in pieces, whose length is not announced.
    ///
    /// # Panics
    /// When the status is none.
    #[must_use]
    pub fn streamed(status: u16, pieces: Vec<Piece>) -> Self {
        let frames = stream::iter(pieces).then(|piece| async {
            match piece {
                Piece::Bytes(bytes) => Ok(Frame::data(bytes)),
                Piece::Cut => {
                    // The server writes out what it has when it must wait for more.
                    tokio::task::yield_now().await;
                    Err(io::Error::other("cut by the test"))
                }
                Piece::Stall => std::future::pending().await,
            }
        });
        let mut response = Response::new(UnsyncBoxBody::new(StreamBody::new(frames.boxed())));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        Self::Now(Box::new(response))
    }

    /// An answer made with axum.
    #[must_use]
    pub fn of(response: Response<axum::body::Body>) -> Self {
        let response = response.map(|body| body.map_err(io::Error::other).boxed_unsync());
        Self::Now(Box::new(response))
    }

    /// Adds a header field.
    ///
    /// # Panics
    /// When the value is none that HTTP can carry.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        if let Self::Now(response) = &mut self {
            let value = value.to_string().parse().unwrap();
            response.headers_mut().append(name, value);
        }
        self
    }

    /// A manifest as a sound registry answers it.
    #[must_use]
    pub fn manifest(bytes: &Bytes) -> Self {
        Self::new(200, bytes.clone())
            .header("content-type", MANIFEST_TYPE)
            .header("docker-content-digest", digest_of(bytes))
    }

    /// 404 for a manifest.
    #[must_use]
    pub fn not_found() -> Self {
        let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
        Self::new(404, body).header("content-type", "application/json")
    }

    /// 401 with a challenge.
    #[must_use]
    pub fn challenge(challenge: &str) -> Self {
        let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
        Self::new(401, body).header("www-authenticate", challenge)
    }

    /// 307 to another place.
    #[must_use]
    pub fn redirect(location: &str) -> Self {
        Self::new(307, "").header("location", location)
    }
}
