//! A registry as it looks from far away: requests pass through to a real one, answers come back
//! no faster than a given rate, and every byte of them is counted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode};
use futures_util::stream;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::http::serve;

/// What passed for one path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Passed {
    /// How often it was asked for by `GET`.
    pub gets: u64,
    /// How often by another method.
    pub others: u64,
    /// Bytes of bodies.
    pub bytes: u64,
}

#[derive(Debug)]
struct State {
    registry: String,
    /// Bytes a second of all answers together; none for as fast as it goes.
    rate: Mutex<Option<f64>>,
    /// When the next byte may pass.
    next: Mutex<Option<Instant>>,
    passed: Mutex<BTreeMap<String, Passed>>,
}

/// A running meter.
#[derive(Debug)]
pub struct Meter {
    host: String,
    state: Arc<State>,
    server: JoinHandle<()>,
}

impl Meter {
    /// Starts one on a free port of the loopback, before the registry at `registry`.
    ///
    /// # Panics
    /// When the loopback has no free port.
    #[must_use]
    pub fn start(registry: &str, rate: Option<f64>) -> Self {
        let state = Arc::new(State {
            registry: registry.to_owned(),
            rate: Mutex::new(rate),
            next: Mutex::default(),
            passed: Mutex::default(),
        });
        let served = Arc::clone(&state);
        let app = Router::new().fallback(move |request: Request<Body>| {
            let state = Arc::clone(&served);
            async move {
                pass(state, request).await.unwrap_or_else(|error| {
                    let mut answer = Response::new(Body::from(error.to_string()));
                    *answer.status_mut() = StatusCode::BAD_GATEWAY;
                    answer
                })
            }
        });
        let (host, server) = serve(app);
        Self {
            host,
            state,
            server,
        }
    }

    /// Its `127.0.0.1:PORT`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// From now on answers come at another rate.
    ///
    /// # Panics
    /// Never, unless another thread did.
    pub fn set_rate(&self, rate: Option<f64>) {
        *self.state.rate.lock().expect("no holder panics") = rate;
    }

    /// What passed so far, by path.
    ///
    /// # Panics
    /// Never, unless another thread did.
    #[must_use]
    pub fn passed(&self) -> BTreeMap<String, Passed> {
        self.state.passed.lock().expect("no holder panics").clone()
    }

    /// Bytes of bodies so far, of all paths that `wanted` takes.
    #[must_use]
    pub fn bytes(&self, wanted: impl Fn(&str) -> bool) -> u64 {
        let passed = self.passed();
        let wanted = passed.iter().filter(|(path, _)| wanted(path));
        wanted.map(|(_, passed)| passed.bytes).sum()
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.server.abort();
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn pass(state: Arc<State>, request: Request<Body>) -> Result<Response<Body>, Failure> {
    let stream = tokio::net::TcpStream::connect(&state.registry).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let path = request.uri().path().to_owned();
    let is_get = request.method() == axum::http::Method::GET;
    state.count(&path, |passed| {
        if is_get {
            passed.gets += 1;
        } else {
            passed.others += 1;
        }
    });
    let whole = request
        .uri()
        .path_and_query()
        .map_or(path.as_str(), |whole| whole.as_str());
    let mut forwarded = Request::builder()
        .method(request.method())
        .uri(whole)
        .body(Empty::<bytes::Bytes>::new())?;
    *forwarded.headers_mut() = end_to_end(request.headers());
    forwarded
        .headers_mut()
        .insert("host", state.registry.parse()?);
    let (parts, body) = sender.send_request(forwarded).await?.into_parts();
    let metered = stream::unfold((body, state, path), |(mut body, state, path)| async move {
        let part = match body.frame().await? {
            Ok(frame) => frame.into_data().unwrap_or_default(),
            Err(error) => return Some((Err(error), (body, state, path))),
        };
        state.wait_for(part.len()).await;
        state.count(&path, |passed| passed.bytes += part.len() as u64);
        Some((Ok(part), (body, state, path)))
    });
    let mut answer = Response::new(Body::from_stream(metered));
    *answer.status_mut() = parts.status;
    *answer.headers_mut() = end_to_end(&parts.headers);
    Ok(answer)
}

/// The header fields that are not about one connection.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in ["connection", "transfer-encoding", "keep-alive"] {
        headers.remove(name);
    }
    headers
}

impl State {
    fn count(&self, path: &str, count: impl FnOnce(&mut Passed)) {
        let mut passed = self.passed.lock().expect("no holder panics");
        count(passed.entry(path.to_owned()).or_default());
    }

    /// Waits until so many bytes may pass.
    async fn wait_for(&self, bytes: usize) {
        let Some(rate) = *self.rate.lock().expect("no holder panics") else {
            return;
        };
        #[expect(clippy::cast_precision_loss, reason = "a part of an answer is small")]
        let takes = Duration::from_secs_f64(bytes as f64 / rate);
        let until = {
            let mut next = self.next.lock().expect("no holder panics");
            let until = next.unwrap_or_else(Instant::now).max(Instant::now()) + takes;
            *next = Some(until);
            until
        };
        sleep_until(until).await;
    }
}
