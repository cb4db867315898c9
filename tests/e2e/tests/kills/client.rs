//! One connection of a client that survives its server's death: every request ends in an answer
//! that is whole, or in nothing.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use tokio::sync::watch;

/// How long an answer of a server that lives may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long clients may take to learn that a server is gone. Now and then one never does: hyper
/// forgets a request that it was given in the very moment in which its connection ended
/// (hyperium/hyper#4122).
pub(crate) const NEWS: Duration = Duration::from_secs(5);

/// A client and its connection, if it has one.
pub(crate) struct Client {
    host: String,
    sender: Option<SendRequest<Full<Bytes>>>,
    /// Says when the server is known to be gone.
    gone: watch::Receiver<bool>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Nothing of it came.
    Nothing,
    /// It began and broke off, and the client could tell.
    Cut,
    /// The server is gone, and the client was not told.
    Unheard,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}

impl Client {
    pub(crate) fn new(host: &str, gone: watch::Receiver<bool>) -> Self {
        Self {
            host: host.to_owned(),
            sender: None,
            gone,
        }
    }

    /// One whose server lives as long as it.
    pub(crate) fn of_living(host: &str) -> Self {
        Self::new(host, watch::channel(false).1)
    }

    /// Sends a request and reads the whole answer, whatever it is.
    ///
    /// # Panics
    /// When a server that lives neither answers nor ends the connection.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Reply, Lost> {
        let mut gone = self.gone.clone();
        let outcome = tokio::select! {
            outcome = self.exchange(method, path, headers, body) => outcome,
            Ok(_) = gone.wait_for(|gone| *gone) => Err(Lost::Unheard),
            () = tokio::time::sleep(PATIENCE) => panic!("{method} {path}: nothing for {PATIENCE:?}"),
        };
        if outcome.is_err() {
            self.sender = None;
        }
        outcome
    }

    async fn exchange(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Reply, Lost> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("Host", &self.host)
            // Whoever has no account is asked for a login unless it shows that it has none.
            .header("Authorization", metahub_e2e::http::basic("zen3", "any"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Full::new(Bytes::copy_from_slice(body));
        let request = request.body(body).map_err(|_| Lost::Nothing)?;
        let sender = self.connected().await.ok_or(Lost::Nothing)?;
        let sent = sender.send_request(request).await;
        let (parts, incoming) = sent.map_err(|_| Lost::Nothing)?.into_parts();
        let collected = incoming.collect().await.map_err(|_| Lost::Cut)?;
        Ok(Reply {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: collected.to_bytes().to_vec(),
        })
    }

    async fn connected(&mut self) -> Option<&mut SendRequest<Full<Bytes>>> {
        let ready = match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !ready {
            let stream = tokio::net::TcpStream::connect(&self.host).await.ok()?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
            tokio::spawn(connection);
            self.sender = Some(sender);
        }
        self.sender.as_mut()
    }
}
