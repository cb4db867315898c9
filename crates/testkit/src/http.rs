//! A plain HTTP/1.1 client that sends exactly what it is given: paths are not normalised, redirects
//! are not followed, no header is added but `Host`.

use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use sha2::Digest as _;

pub use crate::runtime::{runtime, serve};

/// How long one request may take, its body included.
const REQUEST_LIMIT: Duration = Duration::from_secs(90);

/// `sha256:…` of `bytes`.
#[must_use]
pub fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(sha2::Sha256::digest(bytes)))
}

/// The digest of the image that an answer to a tag leads to: of an index its first entry, else the
/// answer itself, since the one image that is left of an index may be served itself.
#[must_use]
pub fn image_of(answer: &Answer) -> String {
    let document = answer.json();
    let child = document["manifests"][0]["digest"].as_str();
    child.map_or_else(|| digest_of(&answer.body), str::to_owned)
}

/// The value of `Authorization` for a user and a password.
#[must_use]
pub fn basic(user: &str, password: &str) -> String {
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    format!("Basic {pair}")
}

/// A request to be sent to one server.
#[derive(Debug, Clone)]
pub struct Call {
    host: String,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The request line, for messages.
    pub call: String,
    /// The status code.
    pub status: u16,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body, as far as it was received.
    pub body: Vec<u8>,
    /// Whether the body ended before the server said it would.
    pub cut: bool,
}

/// A request to `host` (an address and a port).
#[must_use]
pub fn call(host: &str, method: &str, path: &str) -> Call {
    Call {
        host: host.to_owned(),
        method: method.to_owned(),
        path: path.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
    }
}

/// A `GET` request to `host`.
#[must_use]
pub fn get(host: &str, path: &str) -> Call {
    call(host, "GET", path)
}

impl Call {
    /// Adds a header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Adds Basic credentials, when there are any.
    #[must_use]
    pub fn login(self, login: Option<(&str, &str)>) -> Self {
        match login {
            Some((user, password)) => self.header("Authorization", basic(user, password)),
            None => self,
        }
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.body = bytes.into();
        self
    }

    /// Sends it and reads the whole answer.
    ///
    /// # Panics
    /// When there is no answer in time.
    #[must_use]
    pub fn send(self) -> Answer {
        let line = format!("{} {}", self.method, self.path);
        let answered = runtime()
            .block_on(async { tokio::time::timeout(REQUEST_LIMIT, self.exchange()).await })
            .unwrap_or_else(|_| panic!("{line}: no answer within {REQUEST_LIMIT:?}"));
        answered.unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// Sends it and reads the whole answer, if any comes: nothing if the server hangs up first.
    ///
    /// # Panics
    /// When neither happens in time.
    #[must_use]
    pub fn try_send(self) -> Option<Answer> {
        let line = format!("{} {}", self.method, self.path);
        runtime()
            .block_on(async { tokio::time::timeout(REQUEST_LIMIT, self.exchange()).await })
            .unwrap_or_else(|_| panic!("{line}: no answer within {REQUEST_LIMIT:?}"))
            .ok()
    }

    /// Sends it as clients without a login do: with the token that the challenge leads to.
    ///
    /// # Panics
    /// When there is no answer in time, or no token.
    #[must_use]
    pub fn send_as_anybody(self) -> Answer {
        let answer = self.clone().send();
        if answer.status != 401 {
            return answer;
        }
        let challenge = answer.header("www-authenticate").to_owned();
        let scope = challenge
            .split_once("scope=\"")
            .map_or("", |(_, scope)| scope);
        let scope = scope.split('"').next().unwrap_or_default();
        let path = format!("/token?service=metahub&scope={scope}");
        let given = get(&self.host, &path).send().expect(200).json();
        let token = given["token"].as_str().unwrap_or_default();
        self.header("Authorization", format!("Bearer {token}"))
            .send()
    }

    async fn exchange(&self) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let stream = tokio::net::TcpStream::connect(&self.host).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(self.method.as_str())
            .uri(self.path.as_str())
            .header("Host", &self.host);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(self.body.clone())))?;
        let response = sender.send_request(request).await?;
        let (parts, mut incoming) = response.into_parts();
        let mut body = Vec::new();
        let mut cut = false;
        while let Some(frame) = incoming.frame().await {
            match frame {
                Ok(frame) => body.extend(frame.into_data().unwrap_or_default()),
                Err(_) => {
                    cut = true;
                    break;
                }
            }
        }
        Ok(Answer {
            call: format!("{} {}", self.method, self.path),
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
            cut,
        })
    }
}

impl Answer {
    /// A header field's value, or nothing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not JSON.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in the body of {self}"))
    }

    /// Requires a status.
    ///
    /// # Panics
    /// When it is another.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert!(self.status == status, "expected {status}, got {self}");
        self
    }

    /// Requires an OCI error body with a status and a code, and a message for a person.
    ///
    /// # Panics
    /// When anything of it is not so.
    #[track_caller]
    pub fn expect_error(self, status: u16, code: &str) -> Self {
        let answer = self.expect(status);
        if answer.call.starts_with("HEAD ") {
            return answer;
        }
        let json = answer.json();
        let first = &json["errors"][0];
        assert!(
            first["code"] == code,
            "expected the code {code}, got {answer}"
        );
        assert!(
            first["message"]
                .as_str()
                .is_some_and(|message| message.len() > 8),
            "an error needs a message that helps, got {answer}"
        );
        answer
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let reason = StatusCode::from_u16(self.status)
            .map_or("", |status| status.canonical_reason().unwrap_or_default());
        writeln!(f, "{} -> {} {reason}", self.call, self.status)?;
        for (name, value) in &self.headers {
            writeln!(f, "  {name}: {}", String::from_utf8_lossy(value.as_bytes()))?;
        }
        write!(f, "{}", self.text().chars().take(2000).collect::<String>())
    }
}
