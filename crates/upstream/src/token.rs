//! Token servers: where a challenge sends us for a token, and their answers.
//!
//! `auth` decides whether credentials may go there.

use std::time::{Duration, Instant};

use http::HeaderValue;
use metahub_client::{Challenge, TokenAnswer, pull_scope, token_query};
use metahub_oci::RepositoryName;
use url::Url;

use crate::answer;
use crate::client::Connections;
use crate::error::Problem;
use crate::secret::Secret;

/// Answers of token servers are read up to this size.
const MAX_TOKEN_BYTES: usize = 256 * 1024;
/// The default lifetime of a token (by the token specification).
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);
/// The longest lifetime of a token, whatever it states.
const LONGEST_LIFETIME: Duration = Duration::from_secs(3600);

/// The scope of a request: `repository:NAME:pull`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Scope(pub(crate) String);

impl Scope {
    pub(crate) fn pull(name: &RepositoryName) -> Self {
        Self(pull_scope(name))
    }
}

/// A token from a token server.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    /// `Bearer …`, marked as sensitive.
    pub(crate) header: HeaderValue,
    /// The token alone.
    pub(crate) secret: Secret,
    /// Its arrival time, which distinguishes it from its replacement.
    pub(crate) received: Instant,
    /// How long after that it may be used.
    pub(crate) lifetime: Duration,
    /// Whether it was given for credentials.
    pub(crate) with_credentials: bool,
}

/// The answer of a token server.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) token: Token,
    /// The refresh token that is valid from now on, if it issued one.
    pub(crate) refresh: Option<Secret>,
}

/// A token server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenServer {
    pub(crate) realm: Url,
    pub(crate) service: Option<String>,
}

impl TokenServer {
    /// The token server that `challenge` names.
    pub(crate) fn of(challenge: &Challenge, connections: &Connections) -> Result<Self, Problem> {
        let auth = |why: &str| Problem::Auth(why.to_owned());
        let realm = challenge
            .parameter("realm")
            .ok_or_else(|| auth("asks for a token without saying where to get it (no realm)"))?;
        // A relative realm is against the specification and seen in the wild.
        let realm = connections.origin().join(realm);
        let realm = realm.map_err(|_| auth("names a token server that is not a URL"))?;
        let plain_text = realm.username().is_empty() && realm.password().is_none();
        if !plain_text || !realm.has_host() || !matches!(realm.scheme(), "http" | "https") {
            return Err(auth("names a token server that is not a plain web address"));
        }
        let origin_is_plain = connections.origin().scheme() == "http";
        if realm.scheme() == "http" && !origin_is_plain {
            return Err(Problem::Refused(format!(
                "names the token server '{}' without TLS, which is not asked",
                place(&realm)
            )));
        }
        Ok(Self {
            realm,
            service: challenge.parameter("service").map(str::to_owned),
        })
    }

    /// The request for a token with `scopes`, each a parameter of its own.
    pub(crate) fn url(&self, scopes: &[String]) -> Url {
        let mut url = self.realm.clone();
        let query = token_query(self.service.as_deref(), scopes.iter().map(String::as_str));
        url.query_pairs_mut().extend_pairs(query);
        url
    }
}

/// Host, with its port where it is not the scheme's.
pub(crate) fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or("").to_ascii_lowercase();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host,
    }
}

/// A header that HTTP libraries neither print nor compress.
pub(crate) fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// Reads the answer of the token server at `realm`.
pub(crate) async fn read_token(
    response: reqwest::Response,
    connections: &Connections,
    realm: &Url,
    with_credentials: bool,
    secrets: &[Secret],
) -> Result<Granted, Problem> {
    let place = place(realm);
    let pace = connections.timeouts().pace();
    let status = response.status();
    if !status.is_success() {
        let problem = answer::failure(response, with_credentials, secrets, pace).await;
        return Err(match problem {
            // An anonymous request was refused, like a refusal by the registry.
            Problem::Denied { .. } if !with_credentials => problem,
            Problem::Denied { .. } | Problem::Status { .. } if status.is_client_error() => {
                Problem::Auth(format!(
                    "gave no token; its token server '{place}' says: {problem}"
                ))
            }
            transient => transient,
        });
    }
    let content_type = answer::content_type(&response);
    let bytes = answer::body(response, "a token", MAX_TOKEN_BYTES, pace).await?;
    let bad = |what: &str| {
        Problem::BadAnswer(format!(
            "its token server '{place}' {what} (content type '{content_type}')"
        ))
    };
    let answer = TokenAnswer::parse(&bytes).map_err(|problem| bad(&problem.to_string()))?;
    let token = answer.token;
    let header = sensitive(&format!("Bearer {token}"));
    let header = header.ok_or_else(|| bad("sent a token that is no text"))?;
    let lifetime = answer.expires_in.map_or(DEFAULT_LIFETIME, |seconds| {
        Duration::from_secs_f64(seconds.min(LONGEST_LIFETIME.as_secs_f64()))
    });
    let token = Token {
        header,
        secret: Secret::from(token),
        received: Instant::now(),
        with_credentials,
        // A token must outlive the request that carries it and the way there.
        lifetime: lifetime.mul_f64(0.8),
    };
    Ok(Granted {
        token,
        refresh: answer.refresh_token.map(Secret::from),
    })
}
