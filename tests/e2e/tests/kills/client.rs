//! One connection of a client that survives its server's death: every request ends in an answer
//! that is whole, or in nothing.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;

/// A client and its connection, if it has one.
pub(crate) struct Client {
    host: String,
    sender: Option<SendRequest<Full<Bytes>>>,
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
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}

impl Client {
    pub(crate) fn new(host: &str) -> Self {
        Self {
            host: host.to_owned(),
            sender: None,
        }
    }

    /// Sends a request and reads the whole answer, whatever it is.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Reply, Lost> {
        let outcome = self.exchange(method, path, headers, body).await;
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
