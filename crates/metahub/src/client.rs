//! A registry client, as far as `resolve` and `demo --check` need one: it logs in like any
//! container tool, follows tags to blobs, and believes nothing whose digest it has not computed.

use std::fmt;

use bytes::{Bytes, BytesMut};
use metahub_oci::{
    Descriptor, Digest, Document, DocumentError, MAX_MANIFEST_BYTES, MediaType, Reference,
    RepositoryName,
};
use reqwest::header::{ACCEPT, CONTENT_TYPE, WWW_AUTHENTICATE};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

/// Most that is read of an answer that is neither manifest nor blob, in bytes.
const MAX_ANSWER: u64 = 4 * 1024 * 1024;
const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json";

/// Why a registry could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// No answer at all.
    #[error("{server} cannot be reached: {problem}")]
    Unreachable { server: Url, problem: String },
    /// An answer that says no.
    #[error("{status}: {message}")]
    Refused {
        status: StatusCode,
        /// What MetaHub adds for programs, in the error's detail.
        detail: Value,
        /// What the server said, or the status in words.
        message: String,
    },
    /// Content that is not what it was called.
    #[error("{what} should hash to {expected} and hashes to {found}")]
    Mismatch {
        what: String,
        expected: Digest,
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
pub(crate) struct Login {
    pub(crate) name: String,
    pub(crate) password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({})", self.name)
    }
}

/// A client of one registry under one login, or under none.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    server: Url,
    login: Option<Login>,
}

impl Client {
    pub(crate) fn new(server: Url, login: Option<Login>) -> Result<Self, ClientError> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("metahub/", env!("CARGO_PKG_VERSION")))
            // A registry on this machine or site is never behind the proxy of the environment.
            .no_proxy()
            .build()
            .map_err(|error| unreachable(&server, error))?;
        Ok(Self {
            http,
            server,
            login,
        })
    }

    /// Logs in for reading `name`, the way the server's challenge says.
    pub(crate) async fn open(&self, name: &RepositoryName) -> Result<Session<'_>, ClientError> {
        let answer = self.send(self.http.get(self.url("/v2/")?)).await?;
        let mut session = Session {
            client: self,
            name: name.clone(),
            token: None,
        };
        if answer.status() != StatusCode::UNAUTHORIZED {
            expect_success(answer).await?;
            return Ok(session);
        }
        let challenge = answer
            .headers()
            .get(WWW_AUTHENTICATE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let Some(fields) = challenge.strip_prefix("Bearer ") else {
            return Ok(session);
        };
        let field = |key: &str| {
            let (_, rest) = fields.split_once(&format!("{key}=\""))?;
            rest.split('"').next()
        };
        let no_realm = || ClientError::BadAnswer(format!("the challenge '{challenge}'"));
        let realm = Url::parse(field("realm").ok_or_else(no_realm)?).map_err(|_| no_realm())?;
        if realm.origin() != self.server.origin() {
            // Credentials go to the server that the user named, and nowhere else.
            return Err(ClientError::BadAnswer(format!(
                "a token server elsewhere, at {realm}"
            )));
        }
        let scope = format!("repository:{name}:pull");
        let mut ask = self.http.get(realm).query(&[("scope", scope.as_str())]);
        if let Some(service) = field("service") {
            ask = ask.query(&[("service", service)]);
        }
        #[derive(Deserialize)]
        struct Token {
            token: String,
        }
        let answer: Token = json(self.send(self.as_login(ask)).await?).await?;
        session.token = Some(answer.token);
        Ok(session)
    }

    /// Asks MetaHub's own API at `path`, which answers JSON.
    pub(crate) async fn api<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, ClientError> {
        let ask = self.http.get(self.url(path)?).query(query);
        json(self.send(self.as_login(ask)).await?).await
    }

    fn as_login(&self, ask: RequestBuilder) -> RequestBuilder {
        match &self.login {
            Some(login) => ask.basic_auth(&login.name, Some(&login.password)),
            None => ask,
        }
    }

    fn url(&self, path: &str) -> Result<Url, ClientError> {
        let base = self.server.as_str().trim_end_matches('/');
        Url::parse(&format!("{base}{path}")).map_err(|error| unreachable(&self.server, error))
    }

    async fn send(&self, ask: RequestBuilder) -> Result<Response, ClientError> {
        ask.send()
            .await
            .map_err(|error| unreachable(&self.server, error))
    }
}

/// A repository that may be read.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    client: &'a Client,
    name: RepositoryName,
    token: Option<String>,
}

impl Session<'_> {
    /// A manifest or index, verified: against the digest asked for, and against the digest that
    /// the server says it has.
    pub(crate) async fn manifest(&self, reference: &Reference) -> Result<Document, ClientError> {
        let path = format!("/v2/{}/manifests/{reference}", self.name);
        let ask = self
            .client
            .http
            .get(self.client.url(&path)?)
            .header(ACCEPT, ACCEPTED);
        let answer = expect_success(self.client.send(self.authorized(ask)).await?).await?;
        let header = |name: &str| {
            let value = answer.headers().get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let media_type = header(CONTENT_TYPE.as_str()).and_then(|t| t.parse::<MediaType>().ok());
        let said = header("docker-content-digest")
            .and_then(|digest| digest.parse::<Digest>().ok())
            .ok_or_else(|| {
                ClientError::BadAnswer("a manifest without Docker-Content-Digest".to_owned())
            })?;
        let bytes = body(answer, MAX_MANIFEST_BYTES as u64).await?;
        verify(&format!("{}:{reference}", self.name), &said, &bytes)?;
        if let Reference::Digest(digest) = reference {
            verify(&format!("{}@{reference}", self.name), digest, &bytes)?;
        }
        Ok(Document::parse(bytes, media_type.as_ref())?)
    }

    /// A blob as `descriptor` describes it, verified.
    pub(crate) async fn blob(&self, descriptor: &Descriptor) -> Result<Bytes, ClientError> {
        let digest = descriptor.digest();
        let path = format!("/v2/{}/blobs/{digest}", self.name);
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

fn unreachable(server: &Url, error: impl std::error::Error) -> ClientError {
    let mut problem = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        problem = error.to_string();
        cause = error.source();
    }
    ClientError::Unreachable {
        server: server.clone(),
        problem,
    }
}

fn verify(what: &str, expected: &Digest, bytes: &[u8]) -> Result<(), ClientError> {
    let found = Digest::of(expected.algorithm(), bytes);
    if found == *expected {
        Ok(())
    } else {
        Err(ClientError::Mismatch {
            what: what.to_owned(),
            expected: expected.clone(),
            found,
        })
    }
}

async fn json<T: DeserializeOwned>(answer: Response) -> Result<T, ClientError> {
    let bytes = body(expect_success(answer).await?, MAX_ANSWER).await?;
    serde_json::from_slice(&bytes)
        .map_err(|error| ClientError::BadAnswer(format!("JSON of another form: {error}")))
}

/// Reads a whole body of at most `limit` bytes.
async fn body(mut answer: Response, limit: u64) -> Result<Bytes, ClientError> {
    let server = answer.url().clone();
    let mut bytes = BytesMut::new();
    while let Some(chunk) = answer
        .chunk()
        .await
        .map_err(|error| unreachable(&server, error))?
    {
        if (bytes.len() + chunk.len()) as u64 > limit {
            return Err(ClientError::BadAnswer(format!("more than {limit} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

/// The specification's error body, read leniently.
#[derive(Default, Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<ErrorEntry>,
}

#[derive(Default, Deserialize)]
struct ErrorEntry {
    #[serde(default)]
    message: String,
    #[serde(default)]
    detail: Value,
}

async fn expect_success(answer: Response) -> Result<Response, ClientError> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let bytes = body(answer, MAX_ANSWER).await.unwrap_or_default();
    let errors: Errors = serde_json::from_slice(&bytes).unwrap_or_default();
    let first = errors.errors.into_iter().next().unwrap_or_default();
    let message = if first.message.is_empty() {
        status
            .canonical_reason()
            .unwrap_or("no reason given")
            .to_owned()
    } else {
        first.message
    };
    Err(ClientError::Refused {
        status,
        detail: first.detail,
        message,
    })
}
