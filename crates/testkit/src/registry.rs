//! A registry whose every answer a test decides, and which records its requests.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use ::http::{HeaderMap, Method, Request};
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

use crate::answer::Answer;
use crate::runtime::runtime;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The method.
    pub method: Method,
    /// The path, as it was written.
    pub path: String,
    /// The query, empty if there is none.
    pub query: String,
    /// The header fields.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// How many requests for the same method and path came before.
    pub before: usize,
}

impl Seen {
    /// A header field, if it is there and text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// `METHOD PATH`.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

type Decide = Arc<dyn Fn(Seen) -> BoxFuture<'static, Answer> + Send + Sync>;

/// The running registry, by HTTP/1 and HTTP/2. It ends with the runtime that it was started on, or
/// when it is stopped.
#[derive(Debug)]
pub struct FakeRegistry {
    /// Where it listens, on the loopback.
    pub address: SocketAddr,
    scheme: &'static str,
    seen: Arc<Mutex<Vec<Seen>>>,
    server: AbortHandle,
}

impl FakeRegistry {
    /// Starts one on the runtime of the test.
    ///
    /// # Panics
    /// When the loopback has no free port.
    pub async fn start(decide: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        Self::run(None, at_once(decide)).await
    }

    /// The same with TLS.
    ///
    /// # Panics
    /// When the loopback has no free port.
    pub async fn start_tls(
        acceptor: TlsAcceptor,
        decide: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::run(Some(acceptor), at_once(decide)).await
    }

    /// Starts one on a [`runtime()`] of its own, for tests that have none.
    ///
    /// # Panics
    /// When the loopback has no free port.
    #[must_use]
    pub fn start_blocking(decide: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        runtime().block_on(Self::run(None, at_once(decide)))
    }

    /// The same, with answers that wait for something before they begin.
    ///
    /// # Panics
    /// When the loopback has no free port.
    #[must_use]
    pub fn start_waiting<F>(decide: impl Fn(Seen) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let decide: Decide = Arc::new(move |seen| decide(seen).boxed());
        runtime().block_on(Self::run(None, decide))
    }

    async fn run(tls: Option<TlsAcceptor>, decide: Decide) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let remembered = Arc::clone(&seen);
        let server = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (tls, seen) = (tls.clone(), Arc::clone(&remembered));
                let decide = Arc::clone(&decide);
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
        Self {
            address,
            scheme,
            seen,
            server: server.abort_handle(),
        }
    }

    /// Its `127.0.0.1:PORT`.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// A URL of it.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// Whether it speaks without TLS.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.scheme == "http"
    }

    /// All requests so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    /// The requests whose path ends with `end`.
    #[must_use]
    pub fn seen_at(&self, end: &str) -> Vec<Seen> {
        let all = self.seen();
        all.into_iter()
            .filter(|seen| seen.path.ends_with(end))
            .collect()
    }

    /// Takes no further connection.
    pub fn stop(&self) {
        self.server.abort();
    }
}

fn at_once(decide: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Decide {
    Arc::new(move |seen| std::future::ready(decide(&seen)).boxed())
}

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
            match decide(request).await {
                Answer::Now(response) => Ok::<_, Infallible>(*response),
                Answer::Never => std::future::pending().await,
            }
        }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    // How a connection ends is the client's matter.
    let _ = builder.serve_connection(stream, service).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Piece;
    use crate::http::get;

    #[test]
    fn it_answers_as_a_test_says_and_remembers_what_it_was_asked() {
        let fake = FakeRegistry::start_blocking(|seen| match (&*seen.path, seen.before) {
            ("/v2/", _) => Answer::challenge("Basic realm=\"x\""),
            ("/twice", 0) => Answer::new(503, ""),
            ("/twice", _) => Answer::new(200, "now"),
            ("/cut", _) => Answer::streamed(200, vec![Piece::Bytes("ab".into()), Piece::Cut])
                .header("content-length", 4),
            _ => Answer::not_found(),
        });
        let host = fake.host();
        let challenge = get(&host, "/v2/").send().expect(401);
        assert_eq!(challenge.header("www-authenticate"), "Basic realm=\"x\"");
        assert_eq!(get(&host, "/twice").send().status, 503);
        assert_eq!(get(&host, "/twice?x=1").send().expect(200).body, b"now");
        let cut = get(&host, "/cut").send();
        assert!(cut.cut && cut.body == b"ab");
        get(&host, "/v2/a/manifests/1")
            .send()
            .expect_error(404, "MANIFEST_UNKNOWN");
        let asked: Vec<(String, usize)> = fake
            .seen_at("twice")
            .iter()
            .map(|seen| (seen.query.clone(), seen.before))
            .collect();
        assert_eq!(asked, [(String::new(), 0), ("x=1".to_owned(), 1)]);
    }
}
