//! An upstream registry that misbehaves on command: it lies, cuts, stalls, answers HTML.
//!
//! In memory, read-only, one repository. Without a fault it is an ordinary registry.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::http::{digest_of, runtime};

/// The type of the image's manifest.
pub const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// What goes wrong, for requests to whose path it is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Sends other bytes of the same length under the digest asked for.
    OtherBytes,
    /// Sends half of what it announced, then closes the connection.
    Cut,
    /// Sends half, then nothing more, without closing.
    StallInside,
    /// Takes the request and never answers.
    Silence,
    /// Answers 200 with a page of HTML, as captive portals do.
    Html,
    /// Answers 500 with HTML.
    ServerError,
    /// Answers 429 without end.
    TooMany,
    /// Answers with a manifest that never ends.
    Endless,
    /// Claims another digest in `Docker-Content-Digest` than the bytes have.
    WrongDigestHeader,
    /// Answers 200 with JSON that is not a manifest.
    NotAManifest,
}

#[derive(Debug)]
struct State {
    content: HashMap<String, (String, Bytes)>,
    faults: Mutex<HashMap<String, Fault>>,
    asked: Mutex<Vec<String>>,
}

/// A running misbehaving registry.
#[derive(Debug)]
pub struct Faulty {
    host: String,
    state: Arc<State>,
    server: JoinHandle<()>,
    /// The image that it holds.
    pub image: Image,
}

/// The one image that a [`Faulty`] holds: `team/app:1.0`.
#[derive(Debug, Clone)]
pub struct Image {
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// The config's bytes.
    pub config: Vec<u8>,
    /// The layer's bytes (a gzip stream).
    pub layer: Vec<u8>,
}

impl Image {
    /// The manifest's path under its tag.
    pub const TAG: &'static str = "/v2/team/app/manifests/1.0";

    /// An image of one layer of about 200 kB that does not compress.
    #[must_use]
    pub fn new() -> Self {
        // Not a tar stream: no server has a reason to look inside a layer that it passes on.
        let mut layer = Vec::with_capacity(200_000);
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        while layer.len() < 200_000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            layer.extend(state.to_le_bytes());
        }
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": { "type": "layers", "diff_ids": [digest_of(&layer)] },
        });
        let config = serde_json::to_vec(&config).expect("it is plain JSON");
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": digest_of(&config),
                "size": config.len(),
            },
            "layers": [{
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": digest_of(&layer),
                "size": layer.len(),
            }],
        });
        let manifest = serde_json::to_vec(&manifest).expect("it is plain JSON");
        Self {
            manifest,
            config,
            layer,
        }
    }

    /// The path of one of its blobs.
    #[must_use]
    pub fn blob(bytes: &[u8]) -> String {
        format!("/v2/team/app/blobs/{}", digest_of(bytes))
    }

    /// The manifest's path under its digest.
    #[must_use]
    pub fn by_digest(&self) -> String {
        format!("/v2/team/app/manifests/{}", digest_of(&self.manifest))
    }
}

impl Default for Image {
    fn default() -> Self {
        Self::new()
    }
}

impl Faulty {
    /// Starts it on a free port of the loopback, without any fault.
    ///
    /// # Panics
    /// When the loopback has no free port.
    #[must_use]
    pub fn start() -> Self {
        let image = Image::new();
        let octets = "application/octet-stream".to_owned();
        let manifest = (
            MANIFEST_TYPE.to_owned(),
            Bytes::from(image.manifest.clone()),
        );
        let content = HashMap::from([
            (Image::TAG.to_owned(), manifest.clone()),
            (image.by_digest(), manifest),
            (
                Image::blob(&image.config),
                (octets.clone(), Bytes::from(image.config.clone())),
            ),
            (
                Image::blob(&image.layer),
                (octets, Bytes::from(image.layer.clone())),
            ),
        ]);
        let state = Arc::new(State {
            content,
            faults: Mutex::default(),
            asked: Mutex::default(),
        });
        let served = Arc::clone(&state);
        let app = Router::new().fallback(move |request: Request<Body>| {
            let state = Arc::clone(&served);
            let line = format!("{} {}", request.method(), request.uri().path());
            async move { answer(&state, line).await }
        });
        let (host, server) = runtime().block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
                .await
                .expect("a port is free");
            let host = listener.local_addr().expect("it is bound").to_string();
            let server = tokio::spawn(async move {
                let _ = axum::serve(listener, app).await;
            });
            (host, server)
        });
        Self {
            host,
            state,
            server,
            image,
        }
    }

    /// Its `127.0.0.1:PORT`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// From now on requests for `path` go wrong.
    ///
    /// # Panics
    /// Never in practice: only if a request handler panicked.
    pub fn break_path(&self, path: &str, fault: Fault) {
        self.state
            .faults
            .lock()
            .expect("no handler panics")
            .insert(path.to_owned(), fault);
    }

    /// From now on nothing goes wrong.
    ///
    /// # Panics
    /// Never in practice: only if a request handler panicked.
    pub fn mend(&self) {
        self.state.faults.lock().expect("no handler panics").clear();
    }

    /// How often a path was asked for with `GET`.
    ///
    /// # Panics
    /// Never in practice: only if a request handler panicked.
    #[must_use]
    pub fn times_asked(&self, path: &str) -> usize {
        let asked = self.state.asked.lock().expect("no handler panics");
        asked
            .iter()
            .filter(|one| *one == &format!("GET {path}"))
            .count()
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// An address on which nothing listens.
///
/// # Panics
/// When the loopback has no free port.
#[must_use]
pub fn dead_host() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound").to_string()
}

async fn answer(state: &State, line: String) -> Response<Body> {
    let path = line.split_once(' ').map_or("", |(_, path)| path).to_owned();
    let path = path.as_str();
    state.asked.lock().expect("no handler panics").push(line);
    if path == "/v2/" {
        return reply(StatusCode::OK, "application/json", Body::from("{}"));
    }
    let Some((media_type, bytes)) = state.content.get(path) else {
        let error = json!({"errors": [{"code": "NAME_UNKNOWN", "message": "no such thing here"}]});
        return reply(
            StatusCode::NOT_FOUND,
            "application/json",
            Body::from(error.to_string()),
        );
    };
    let fault = state
        .faults
        .lock()
        .expect("no handler panics")
        .get(path)
        .cloned();
    let half = bytes.slice(..bytes.len() / 2);
    let (status, media_type, body) = match fault {
        None => (
            StatusCode::OK,
            media_type.as_str(),
            Body::from(bytes.clone()),
        ),
        Some(Fault::OtherBytes) => (
            StatusCode::OK,
            media_type.as_str(),
            Body::from(other(bytes)),
        ),
        Some(Fault::WrongDigestHeader) => {
            let mut response = reply(StatusCode::OK, media_type, Body::from(bytes.clone()));
            let wrong = digest_of(b"something else")
                .parse()
                .expect("a digest is a header value");
            response
                .headers_mut()
                .insert("docker-content-digest", wrong);
            return response;
        }
        Some(Fault::Cut) => {
            // One turn between the two, or the server drops the first half with the second.
            let cut = stream::once(async {
                tokio::task::yield_now().await;
                Err(std::io::Error::other("cut on purpose"))
            });
            let body = Body::from_stream(stream::iter([Ok(half)]).chain(cut));
            return announced(media_type, bytes.len(), body);
        }
        Some(Fault::StallInside) => {
            let body = stream::iter([Ok::<_, Infallible>(half)]).chain(stream::pending());
            return announced(media_type, bytes.len(), Body::from_stream(body));
        }
        Some(Fault::Silence) => std::future::pending().await,
        Some(Fault::Html) => (StatusCode::OK, "text/html", Body::from(HTML)),
        Some(Fault::ServerError) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "text/html",
            Body::from(HTML),
        ),
        Some(Fault::TooMany) => (
            StatusCode::TOO_MANY_REQUESTS,
            "text/plain",
            Body::from("slow"),
        ),
        Some(Fault::Endless) => {
            let blanks = stream::repeat(Ok::<_, Infallible>(Bytes::from_static(&[b' '; 65536])));
            (
                StatusCode::OK,
                media_type.as_str(),
                Body::from_stream(blanks),
            )
        }
        Some(Fault::NotAManifest) => (
            StatusCode::OK,
            media_type.as_str(),
            Body::from("{\"schemaVersion\": 2}"),
        ),
    };
    reply(status, media_type, body)
}

const HTML: &str = "<!DOCTYPE html><html><body><h1>Please log in to the Wi-Fi</h1></body></html>";

fn reply(status: StatusCode, media_type: &str, body: Body) -> Response<Body> {
    Response::builder()
        .status(status)
        .header("Content-Type", media_type)
        .body(body)
        .expect("status and media type are valid")
}

fn announced(media_type: &str, length: usize, body: Body) -> Response<Body> {
    Response::builder()
        .header("Content-Type", media_type)
        .header("Content-Length", length)
        .body(body)
        .expect("media type and length are valid")
}

fn other(bytes: &Bytes) -> Bytes {
    let mut other = bytes.to_vec();
    if let Some(last) = other.last_mut() {
        *last ^= 1;
    }
    Bytes::from(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::get;

    #[test]
    fn without_a_fault_it_serves_the_image_by_tag_and_by_digest() {
        let upstream = Faulty::start();
        let image = upstream.image.clone();
        assert_eq!(
            get(upstream.host(), Image::TAG).send().expect(200).body,
            image.manifest
        );
        assert_eq!(
            get(upstream.host(), &image.by_digest())
                .send()
                .expect(200)
                .body,
            image.manifest
        );
        let blob = get(upstream.host(), &Image::blob(&image.layer))
            .send()
            .expect(200);
        assert!(!blob.cut && blob.body == image.layer);
        assert_eq!(upstream.times_asked(Image::TAG), 1);
        get(upstream.host(), "/v2/team/other/manifests/1.0")
            .send()
            .expect(404);
    }

    #[test]
    fn a_fault_is_seen_until_it_is_mended() {
        let upstream = Faulty::start();
        let path = Image::blob(&upstream.image.layer);
        upstream.break_path(&path, Fault::Cut);
        assert!(get(upstream.host(), &path).send().expect(200).cut);
        upstream.break_path(&path, Fault::OtherBytes);
        let lie = get(upstream.host(), &path).send().expect(200).body;
        assert!(lie.len() == upstream.image.layer.len() && lie != upstream.image.layer);
        upstream.mend();
        assert_eq!(
            get(upstream.host(), &path).send().expect(200).body,
            upstream.image.layer
        );
    }
}
