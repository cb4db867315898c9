//! An async client for the command: it logs in like any container tool, follows tags to blobs, and
//! trusts nothing whose digest it has not computed. Credentials go only to the server that the user
//! named.

use std::fmt;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, ETAG};
use http::{HeaderName, Method, StatusCode};
use metahub_oci::{
    Descriptor, Digest, Document, DocumentError, MAX_MANIFEST_BYTES, Reference, RepositoryName,
};
use reqwest::{RequestBuilder, Response};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

mod push;

use crate::{Challenge, ErrorBody, Head, MANIFESTS, TokenAnswer};
use crate::{path, pull_scope, push_scope, token_query};

/// Most that is read of an answer that is neither manifest nor blob, in bytes.
const MAX_ANSWER: u64 = 4 * 1024 * 1024;

/// Why a registry could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No answer at all.
    #[error("{server} cannot be reached: {problem}")]
    Unreachable {
        /// The registry's host.
        server: Url,
        /// What went wrong, as the system or the TLS library says it.
        problem: String,
    },
    /// An answer that says no.
    #[error("{status}: {message}")]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// What MetaHub adds for programs, in the error's detail.
        detail: Value,
        /// What the server said, or the status in words.
        message: String,
    },
    /// Content that is not what it was called.
    #[error("{what} should hash to {expected} and hashes to {found}")]
    Mismatch {
        /// The URL or content that was read.
        what: String,
        /// The digest that it was called by.
        expected: Digest,
        /// The digest of the bytes that came.
        found: Digest,
    },
    /// An answer that is not what the specification says.
    #[error("the server answered {0}")]
    BadAnswer(String),
    /// A manifest that is none.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

/// A user name and its password. Prints the name only.
#[derive(Clone)]
pub struct Login {
    /// The user name.
    pub name: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({})", self.name)
    }
}

/// A client of one registry under one login, or under none.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    server: Url,
    login: Option<Login>,
}

impl Client {
    /// Prepares for asking `server`, whose path is put before every other.
    ///
    /// # Errors
    /// When the HTTP library cannot be set up.
    pub fn new(server: Url, login: Option<Login>) -> Result<Self, SessionError> {
        Self::of_site(server, login, None)
    }

    /// The same with certificates of `authorities`, in PEM form, trusted in addition to the
    /// system's.
    ///
    /// # Errors As of [`Client::new`], and if `authorities` has no valid certificate.
    pub fn of_site(
        server: Url,
        login: Option<Login>,
        authorities: Option<&[u8]>,
    ) -> Result<Self, SessionError> {
        // A registry on this machine or site is never reached through the proxy of the environment.
        let builder = reqwest::Client::builder().no_proxy();
        Self::build(server, login, authorities, builder)
    }

    /// The same for a registry anywhere: through the proxy of the environment if that is set.
    ///
    /// # Errors
    /// As of [`Client::of_site`].
    pub fn anywhere(
        server: Url,
        login: Option<Login>,
        authorities: Option<&[u8]>,
    ) -> Result<Self, SessionError> {
        Self::build(server, login, authorities, reqwest::Client::builder())
    }

    fn build(
        server: Url,
        login: Option<Login>,
        authorities: Option<&[u8]>,
        mut builder: reqwest::ClientBuilder,
    ) -> Result<Self, SessionError> {
        if let Some(pem) = authorities {
            let found = reqwest::Certificate::from_pem_bundle(pem);
            builder = builder.tls_certs_merge(found.map_err(|error| unreachable(&server, error))?);
        }
        let http = builder
            .user_agent(concat!("metahub/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| unreachable(&server, error))?;
        Ok(Self {
            http,
            server,
            login,
        })
    }

    /// Logs in for reading `name`, the way the server's challenge says.
    ///
    /// # Errors
    /// When the server cannot be reached, refuses the login, or sends elsewhere for a token.
    pub async fn open(&self, name: &RepositoryName) -> Result<Session<'_>, SessionError> {
        self.open_for(name, &pull_scope(name)).await
    }

    /// Logs in for reading and writing `name`.
    ///
    /// # Errors
    /// As of [`Client::open`].
    pub async fn open_to_push(&self, name: &RepositoryName) -> Result<Session<'_>, SessionError> {
        self.open_for(name, &push_scope(name)).await
    }

    async fn open_for(
        &self,
        name: &RepositoryName,
        scope: &str,
    ) -> Result<Session<'_>, SessionError> {
        let answer = self.send(self.http.get(self.url(path::BASE)?)).await?;
        let mut session = Session {
            client: self,
            name: name.clone(),
            token: None,
        };
        if answer.status() != StatusCode::UNAUTHORIZED {
            expect_success(answer).await?;
            return Ok(session);
        }
        let challenges = Challenge::all(answer.headers());
        let Some(challenge) = challenges.iter().find(|one| one.is("bearer")) else {
            return Ok(session);
        };
        let realm = challenge.parameter("realm").unwrap_or_default();
        let realm = Url::parse(realm).map_err(|_| {
            SessionError::BadAnswer(format!("a challenge with the token server '{realm}'"))
        })?;
        if realm.origin() != self.server.origin() {
            return Err(SessionError::BadAnswer(format!(
                "a token server elsewhere, at {realm}"
            )));
        }
        let query = token_query(challenge.parameter("service"), [scope]);
        let ask = self.http.get(realm).query(&query);
        let answer = expect_success(self.send(self.as_login(ask)).await?).await?;
        let answer = TokenAnswer::parse(&body(answer, MAX_ANSWER).await?);
        let answer = answer
            .map_err(|problem| SessionError::BadAnswer(format!("a token server that {problem}")))?;
        session.token = Some(answer.token);
        Ok(session)
    }

    /// Asks MetaHub's own API at `path`, which answers JSON.
    ///
    /// # Errors
    /// When the server cannot be reached, refuses, or answers something else.
    pub async fn api<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, SessionError> {
        let ask = self.http.get(self.url(path)?).query(query);
        json(self.send(self.as_login(ask)).await?).await
    }

    /// Asks MetaHub's own API for something that is no JSON, or sends it some; `headers` go with it.
    ///
    /// # Errors
    /// When the server cannot be reached, or refuses.
    pub async fn api_text(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        headers: &[(HeaderName, &str)],
        body_text: Option<String>,
    ) -> Result<ApiAnswer, SessionError> {
        let mut ask = self.http.request(method, self.url(path)?).query(query);
        for (name, value) in headers {
            ask = ask.header(name, *value);
        }
        if let Some(text) = body_text {
            ask = ask.body(text);
        }
        let answer = expect_success(self.send(self.as_login(ask)).await?).await?;
        let etag = answer.headers().get(ETAG).and_then(|tag| tag.to_str().ok());
        let etag = etag.map(|tag| tag.trim_matches('"').to_owned());
        let status = answer.status();
        let bytes = body(answer, MAX_ANSWER).await?;
        let text = String::from_utf8(bytes.into())
            .map_err(|_| SessionError::BadAnswer("something that is no text".to_owned()))?;
        Ok(ApiAnswer { status, etag, text })
    }

    fn as_login(&self, ask: RequestBuilder) -> RequestBuilder {
        match &self.login {
            Some(login) => ask.basic_auth(&login.name, Some(&login.password)),
            None => ask,
        }
    }

    fn url(&self, path: &str) -> Result<Url, SessionError> {
        let base = self.server.as_str().trim_end_matches('/');
        Url::parse(&format!("{base}{path}")).map_err(|error| unreachable(&self.server, error))
    }

    async fn send(&self, ask: RequestBuilder) -> Result<Response, SessionError> {
        ask.send()
            .await
            .map_err(|error| unreachable(&self.server, error))
    }
}

/// What MetaHub's own API answered.
#[derive(Clone, Debug)]
pub struct ApiAnswer {
    /// The HTTP status, which is one of success.
    pub status: StatusCode,
    /// The entity tag, without quotes.
    pub etag: Option<String>,
    /// The body.
    pub text: String,
}

/// A repository that may be read.
#[derive(Debug)]
pub struct Session<'a> {
    client: &'a Client,
    name: RepositoryName,
    token: Option<String>,
}

impl Session<'_> {
    /// A manifest or index, verified: against the requested digest, and against the digest that the
    /// server states.
    ///
    /// # Errors When the server refuses, or the answer is another manifest or none.
    pub async fn manifest(&self, reference: &Reference) -> Result<Document, SessionError> {
        let path = path::manifest(&self.name, reference);
        let ask = self
            .client
            .http
            .get(self.client.url(&path)?)
            .header(ACCEPT, MANIFESTS);
        let answer = expect_success(self.client.send(self.authorized(ask)).await?).await?;
        let Head {
            digest, media_type, ..
        } = Head::of(answer.headers());
        let said = digest.ok_or_else(|| {
            SessionError::BadAnswer("a manifest without Docker-Content-Digest".to_owned())
        })?;
        let bytes = body(answer, MAX_MANIFEST_BYTES as u64).await?;
        verify(&format!("{}:{reference}", self.name), &said, &bytes)?;
        if let Reference::Digest(digest) = reference {
            verify(&format!("{}@{reference}", self.name), digest, &bytes)?;
        }
        Ok(Document::parse(bytes, media_type.as_ref())?)
    }

    /// A blob as `descriptor` describes it, verified.
    ///
    /// # Errors
    /// When the server refuses, or other bytes come.
    pub async fn blob(&self, descriptor: &Descriptor) -> Result<Bytes, SessionError> {
        let digest = descriptor.digest();
        let path = path::blob(&self.name, digest);
        let ask = self.client.http.get(self.client.url(&path)?);
        let answer = expect_success(self.client.send(self.authorized(ask)).await?).await?;
        let bytes = body(answer, descriptor.size()).await?;
        verify(&format!("the blob of {}", self.name), digest, &bytes)?;
        Ok(bytes)
    }

    fn authorized(&self, ask: RequestBuilder) -> RequestBuilder {
        match &self.token {
            Some(token) => ask.bearer_auth(token),
            None => self.client.as_login(ask),
        }
    }
}

fn unreachable(server: &Url, error: impl std::error::Error) -> SessionError {
    let mut problem = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        problem = error.to_string();
        cause = error.source();
    }
    SessionError::Unreachable {
        server: server.clone(),
        problem,
    }
}

fn verify(what: &str, expected: &Digest, bytes: &[u8]) -> Result<(), SessionError> {
    let found = Digest::of(expected.algorithm(), bytes);
    if found == *expected {
        Ok(())
    } else {
        Err(SessionError::Mismatch {
            what: what.to_owned(),
            expected: expected.clone(),
            found,
        })
    }
}

async fn json<T: DeserializeOwned>(answer: Response) -> Result<T, SessionError> {
    let bytes = body(expect_success(answer).await?, MAX_ANSWER).await?;
    serde_json::from_slice(&bytes)
        .map_err(|error| SessionError::BadAnswer(format!("JSON of another form: {error}")))
}

/// Reads a whole body of at most `limit` bytes.
async fn body(mut answer: Response, limit: u64) -> Result<Bytes, SessionError> {
    let server = answer.url().clone();
    let mut bytes = BytesMut::new();
    while let Some(chunk) = answer
        .chunk()
        .await
        .map_err(|error| unreachable(&server, error))?
    {
        if (bytes.len() + chunk.len()) as u64 > limit {
            return Err(SessionError::BadAnswer(format!("more than {limit} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

async fn expect_success(answer: Response) -> Result<Response, SessionError> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let bytes = body(answer, MAX_ANSWER).await.unwrap_or_default();
    let said = ErrorBody::parse(&bytes).unwrap_or_default();
    let message = said.message.unwrap_or_else(|| {
        let reason = status.canonical_reason();
        reason.unwrap_or("no reason given").to_owned()
    });
    Err(SessionError::Refused {
        status,
        detail: said.detail,
        message,
    })
}
