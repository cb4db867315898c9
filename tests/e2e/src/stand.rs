//! A server whose every answer a test decides, and which remembers whole requests: for what must
//! be sent to one host and not to another.
//!
//! It knows nothing of registries; `scripted` does.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response};
use tokio::task::JoinHandle;

use crate::http::{digest_of, serve};

/// As much of a request's body as is read.
const LARGEST: usize = 64 * 1024;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// `METHOD PATH?QUERY`.
    pub line: String,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body, as text.
    pub body: String,
}

impl Asked {
    /// A header field's value, or nothing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// A running server.
#[derive(Debug)]
pub struct Stand {
    host: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    server: JoinHandle<()>,
}

impl Stand {
    /// Starts one on a free port of the loopback.
    ///
    /// # Panics
    /// When the loopback has no free port.
    #[must_use]
    pub fn start(decide: impl Fn(&Asked) -> Response<Body> + Send + Sync + 'static) -> Self {
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let (seen, decide) = (Arc::clone(&asked), Arc::new(decide));
        let app = Router::new().fallback(move |request: Request<Body>| {
            let (seen, decide) = (Arc::clone(&seen), Arc::clone(&decide));
            async move {
                let (head, body) = request.into_parts();
                let body = axum::body::to_bytes(body, LARGEST).await;
                let one = Asked {
                    line: format!("{} {}", head.method, head.uri),
                    headers: head.headers,
                    body: String::from_utf8_lossy(&body.unwrap_or_default()).into_owned(),
                };
                seen.lock().expect("no handler panics").push(one.clone());
                decide(&one)
            }
        });
        let (host, server) = serve(app);
        Self {
            host,
            asked,
            server,
        }
    }

    /// Its `127.0.0.1:PORT`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The requests so far.
    ///
    /// # Panics
    /// Never in practice: only if `decide` panicked.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no handler panics").clone()
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// An answer with a status and a header field, and a body of its own words.
///
/// # Panics
/// When the status or the field is none.
#[must_use]
pub fn reply(status: u16, name: &str, value: &str) -> Response<Body> {
    Response::builder()
        .status(status)
        .header(name, value)
        .body(Body::from("{}"))
        .expect("status and field are valid")
}

/// An answer with content, as registries give it.
///
/// # Panics
/// When the media type is none.
#[must_use]
pub fn content(media_type: &str, bytes: &[u8]) -> Response<Body> {
    Response::builder()
        .header("Content-Type", media_type)
        .header("Docker-Content-Digest", digest_of(bytes))
        .body(Body::from(bytes.to_vec()))
        .expect("the media type is a header value")
}
