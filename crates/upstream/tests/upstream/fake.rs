//! A registry whose every answer a test decides, and which remembers what it was asked.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use metahub_oci::{Digest, MediaType, Reference, RepositoryName};
use metahub_upstream::{
    Credentials, RetryPolicy, Timeouts, Upstream, UpstreamConfig, Upstreams, UpstreamsConfig,
};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// How many requests for the same method and path came before.
    pub(crate) before: usize,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What the fake does with a request.
pub(crate) enum Answer {
    Now(Box<Response<Body>>),
    Never,
}

impl Answer {
    pub(crate) fn new(status: u16, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let length = body.len();
        Self::streamed(status, vec![Piece::Bytes(body)]).header("content-length", length)
    }

    pub(crate) fn streamed(status: u16, pieces: Vec<Piece>) -> Self {
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

    pub(crate) fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        if let Self::Now(response) = &mut self {
            let value = value.to_string().parse().unwrap();
            response.headers_mut().append(name, value);
        }
        self
    }

    /// A manifest as a sound registry answers it.
    pub(crate) fn manifest(bytes: &Bytes) -> Self {
        Self::new(200, bytes.clone())
            .header("content-type", MediaType::OCI_MANIFEST)
            .header("docker-content-digest", Digest::sha256(bytes))
    }

    pub(crate) fn not_found() -> Self {
        let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
        Self::new(404, body).header("content-type", "application/json")
    }

    /// 401 with a challenge.
    pub(crate) fn challenge(challenge: &str) -> Self {
        let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
        Self::new(401, body).header("www-authenticate", challenge)
    }

    pub(crate) fn redirect(location: &str) -> Self {
        Self::new(307, "").header("location", location)
    }
}

/// A part of a body, or an end to it.
pub(crate) enum Piece {
    Bytes(Bytes),
    Cut,
    Stall,
}

/// The running registry. It ends with the test's runtime.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    scheme: &'static str,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Fake {
    pub(crate) async fn start(decide: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        Self::run(None, decide).await
    }

    pub(crate) async fn start_tls(
        acceptor: TlsAcceptor,
        decide: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::run(Some(acceptor), decide).await
    }

    async fn run(
        tls: Option<TlsAcceptor>,
        decide: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self {
            address: listener.local_addr().unwrap(),
            scheme: if tls.is_some() { "https" } else { "http" },
            seen: Arc::default(),
        };
        let decide: Decide = Arc::new(decide);
        let seen = Arc::clone(&fake.seen);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (tls, seen, decide) = (tls.clone(), Arc::clone(&seen), Arc::clone(&decide));
                tokio::spawn(async move {
                    match tls {
                        None => serve(TokioIo::new(stream), seen, decide).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(TokioIo::new(stream), seen, decide).await;
                            }
                        }
                    }
                });
            }
        });
        fake
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    /// The requests whose path ends with `end`.
    pub(crate) fn seen_at(&self, end: &str) -> Vec<Seen> {
        let all = self.seen();
        all.into_iter()
            .filter(|seen| seen.path.ends_with(end))
            .collect()
    }

    /// The configuration of an upstream at this registry, impatient as tests are.
    pub(crate) fn config(&self) -> UpstreamConfig {
        UpstreamConfig {
            plain_http: self.scheme == "http",
            default: true,
            retry: RetryPolicy {
                first_wait: Duration::from_millis(5),
                patience: Duration::from_secs(5),
                ..RetryPolicy::default()
            },
            ..UpstreamConfig::new(self.address.to_string().parse().unwrap())
        }
    }

    /// An anonymous upstream at this registry.
    pub(crate) fn upstream(&self) -> Arc<Upstream> {
        upstream(self.config())
    }

    /// An upstream at this registry that knows us as alice.
    pub(crate) fn upstream_of_alice(&self) -> Arc<Upstream> {
        upstream(UpstreamConfig {
            given_credentials: Some(alice()),
            ..self.config()
        })
    }

    /// An upstream at this registry that gives up on stalls quickly.
    pub(crate) fn hasty_upstream(&self) -> Arc<Upstream> {
        upstream(UpstreamConfig {
            timeouts: Timeouts {
                answer: Duration::from_millis(300),
                between_bytes: Duration::from_millis(300),
                ..Timeouts::default()
            },
            ..self.config()
        })
    }
}

type Decide = Arc<dyn Fn(&Seen) -> Answer + Send + Sync>;

async fn serve<S>(stream: TokioIo<S>, seen: Arc<Mutex<Vec<Seen>>>, decide: Decide)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let (seen, decide) = (Arc::clone(&seen), Arc::clone(&decide));
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let path = head.uri.path().to_owned();
            let request = {
                let mut all = seen.lock();
                let same = |one: &&Seen| one.path == path && one.method == head.method;
                let request = Seen {
                    before: all.iter().filter(same).count(),
                    method: head.method,
                    query: head.uri.query().unwrap_or("").to_owned(),
                    path,
                    headers: head.headers,
                    body,
                };
                all.push(request.clone());
                request
            };
            match decide(&request) {
                Answer::Now(response) => Ok::<_, Infallible>(*response),
                Answer::Never => std::future::pending().await,
            }
        }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    // How a connection ends is the client's matter.
    let _ = builder.serve_connection(stream, service).await;
}

pub(crate) fn upstream(config: UpstreamConfig) -> Arc<Upstream> {
    let all = Upstreams::new(&UpstreamsConfig {
        upstreams: vec![config],
        ..UpstreamsConfig::default()
    });
    let route = all.unwrap().route(None, &name("a/b")).unwrap();
    route.upstream
}

pub(crate) const PASSWORD: &str = "hunter2-secret";

pub(crate) fn alice() -> Credentials {
    Credentials::password("alice", PASSWORD.to_owned())
}

/// `Basic` of alice and her password.
pub(crate) const ALICE_BASIC: &str = "Basic YWxpY2U6aHVudGVyMi1zZWNyZXQ=";

pub(crate) fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

pub(crate) fn tag(text: &str) -> Reference {
    Reference::Tag(text.parse().unwrap())
}

/// A small sound manifest.
pub(crate) fn manifest() -> Bytes {
    let config = Digest::sha256(b"{}");
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"{}","digest":"{config}","size":2}},"layers":[]}}"#,
        MediaType::OCI_MANIFEST,
        MediaType::OCI_CONFIG,
    );
    Bytes::from(text)
}
