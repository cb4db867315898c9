//! How we present ourselves to an upstream: anonymously, by Basic, or by the token flow of the
//! distribution project (`docs/spec/auth/token.md`), as its challenge asks.
//!
//! Credentials go to the upstream's own origin and to token servers that belong to it: on the
//! same host and port, known to everybody, or listed as `realm_hosts`. A realm anywhere else
//! gets no credentials, whatever the upstream says (CVE-2026-33540). Tokens are kept in memory
//! until they expire, one fetch for however many ask.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use metahub_oci::{Host, RepositoryName};
use moka::future::Cache;
use parking_lot::RwLock;
use serde::Deserialize;
use url::Url;

use crate::answer;
use crate::challenge::Challenge;
use crate::client::Connections;
use crate::error::Problem;
use crate::secret::{Credentials, Secret};
use crate::well_known;

/// Tokens kept per upstream: one per repository in use.
const MAX_TOKENS: u64 = 4096;
/// Answers of token servers are read up to this size.
const MAX_TOKEN_BYTES: usize = 256 * 1024;
/// How long a token lives whose answer does not say (as the token specification has it).
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);
/// However long a token says it lives, it is fetched anew after this.
const LONGEST_LIFETIME: Duration = Duration::from_secs(3600);
const CLIENT_ID: &str = "metahub";

/// What a request needs to be allowed: `repository:NAME:pull`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Scope(String);

impl Scope {
    pub(crate) fn pull(name: &RepositoryName) -> Self {
        Self(format!("repository:{name}:pull"))
    }
}

/// An `Authorization` header, and which token it was made of.
#[derive(Clone, Debug)]
pub(crate) struct Authorization {
    header: HeaderValue,
    /// Tells a token from the one that replaced it; none for Basic.
    token: Option<Instant>,
    /// Whether configured credentials stand behind it.
    pub(crate) with_credentials: bool,
}

impl Authorization {
    pub(crate) fn header(&self) -> HeaderValue {
        self.header.clone()
    }
}

#[derive(Clone, Debug)]
struct Token {
    authorization: Authorization,
    lifetime: Duration,
}

struct Expiry;

impl moka::Expiry<Scope, Token> for Expiry {
    fn expire_after_create(&self, _: &Scope, token: &Token, _: Instant) -> Option<Duration> {
        Some(token.lifetime)
    }
}

/// How an upstream wants to be spoken to, learned from its last challenge.
#[derive(Clone, Debug)]
enum Manner {
    Basic,
    Bearer(Arc<TokenServer>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct TokenServer {
    realm: Url,
    service: Option<String>,
}

/// Presents one identity (or nobody) to one upstream.
#[derive(Debug)]
pub(crate) struct Authorizer {
    credentials: Option<Credentials>,
    /// Hosts, besides the upstream's own, whose token server may see the credentials.
    realm_hosts: Vec<Host>,
    manner: RwLock<Option<Manner>>,
    tokens: Cache<Scope, Token>,
}

impl Authorizer {
    pub(crate) fn new(host: &Host, credentials: Option<Credentials>, listed: &[Host]) -> Self {
        let known = well_known::realm_hosts(host.as_str()).iter();
        let known = known.filter_map(|host| host.parse().ok());
        Self {
            credentials,
            realm_hosts: known.chain(listed.iter().cloned()).collect(),
            manner: RwLock::new(None),
            tokens: Cache::builder()
                .max_capacity(MAX_TOKENS)
                .expire_after(Expiry)
                .build(),
        }
    }

    /// The same trust in realms under another identity.
    pub(crate) fn acting_as(&self, credentials: Credentials) -> Self {
        Self {
            credentials: Some(credentials),
            realm_hosts: self.realm_hosts.clone(),
            manner: RwLock::new(self.manner.read().clone()),
            tokens: Cache::builder()
                .max_capacity(MAX_TOKENS)
                .expire_after(Expiry)
                .build(),
        }
    }

    /// What to send before the upstream has asked: what it asked for the last time.
    pub(crate) async fn in_advance(
        &self,
        connections: &Connections,
        scope: &Scope,
    ) -> Result<Option<Authorization>, Problem> {
        let manner = self.manner.read().clone();
        match manner {
            None => Ok(None),
            Some(Manner::Basic) => Ok(self.basic()),
            Some(Manner::Bearer(server)) => {
                let scopes = vec![scope.0.clone()];
                self.token(connections, scope, &server, scopes)
                    .await
                    .map(Some)
            }
        }
    }

    /// Answers a 401 with `challenges` to a request that carried `sent`. None: nothing better
    /// can be sent.
    pub(crate) async fn answer(
        &self,
        connections: &Connections,
        challenges: &[Challenge],
        scope: &Scope,
        sent: Option<&Authorization>,
    ) -> Result<Option<Authorization>, Problem> {
        let bearer = challenges.iter().find(|challenge| challenge.is("bearer"));
        if let Some(challenge) = bearer {
            let server = Arc::new(TokenServer::of(challenge, connections)?);
            let scopes = match challenge.parameter("scope") {
                Some(scopes) => scopes.split_whitespace().map(str::to_owned).collect(),
                None => vec![scope.0.clone()],
            };
            self.forget(scope, sent).await;
            let token = self.token(connections, scope, &server, scopes).await?;
            // Remembered only once it has worked: a wrong realm must not be asked in advance.
            *self.manner.write() = Some(Manner::Bearer(server));
            return Ok(Some(token));
        }
        let basic = challenges.iter().any(|challenge| challenge.is("basic"));
        let already_sent = sent.is_some_and(|sent| sent.token.is_none());
        if basic && !already_sent {
            *self.manner.write() = Some(Manner::Basic);
            return Ok(self.basic());
        }
        Ok(None)
    }

    /// Drops the token that was refused, unless another request has replaced it already.
    async fn forget(&self, scope: &Scope, sent: Option<&Authorization>) {
        let Some(refused) = sent.and_then(|sent| sent.token) else {
            return;
        };
        let kept = self.tokens.get(scope).await;
        if kept.is_some_and(|kept| kept.authorization.token == Some(refused)) {
            self.tokens.invalidate(scope).await;
        }
    }

    fn basic(&self) -> Option<Authorization> {
        match &self.credentials {
            Some(Credentials::Password { username, password }) => Some(Authorization {
                header: basic_header(username, password)?,
                token: None,
                with_credentials: true,
            }),
            Some(Credentials::IdentityToken(_)) | None => None,
        }
    }

    async fn token(
        &self,
        connections: &Connections,
        scope: &Scope,
        server: &TokenServer,
        scopes: Vec<String>,
    ) -> Result<Authorization, Problem> {
        let fetched = self
            .tokens
            .try_get_with_by_ref(scope, self.fetch(connections, server, scopes))
            .await;
        match fetched {
            Ok(token) => Ok(token.authorization),
            Err(problem) => Err(Problem::clone(&problem)),
        }
    }

    async fn fetch(
        &self,
        connections: &Connections,
        server: &TokenServer,
        scopes: Vec<String>,
    ) -> Result<Token, Problem> {
        let realm = &server.realm;
        let credentials = match &self.credentials {
            Some(_) if !self.trusts(connections, realm) => {
                let place = place(realm);
                return Err(Problem::Auth(format!(
                    "asks for its credentials to be sent to '{place}', which does not belong to \
                     it; if you trust that host with them, add it to the upstream's realm_hosts"
                )));
            }
            other => other.as_ref(),
        };
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let answer = match credentials {
            Some(Credentials::IdentityToken(token)) => {
                let scope = scopes.join(" ");
                let mut form = vec![
                    ("grant_type", "refresh_token"),
                    ("refresh_token", token.reveal()),
                    ("client_id", CLIENT_ID),
                    ("scope", &scope),
                ];
                form.extend(server.service.as_deref().map(|name| ("service", name)));
                connections.post(realm.clone(), headers, &form).await?
            }
            password_or_nobody => {
                if let Some(Credentials::Password { username, password }) = password_or_nobody {
                    let header = basic_header(username, password).ok_or_else(bad_credentials)?;
                    headers.insert(AUTHORIZATION, header);
                }
                let url = server.url(&scopes);
                connections.get(Method::GET, url, headers).await?
            }
        };
        let with_credentials = credentials.is_some();
        read_token(answer.response, connections, realm, with_credentials).await
    }

    /// Whether credentials may go to the token server at `realm`.
    fn trusts(&self, connections: &Connections, realm: &Url) -> bool {
        if connections.is_home(realm) {
            return true;
        }
        // Never less protected than the upstream itself.
        if realm.scheme() != "https" && connections.origin().scheme() == "https" {
            return false;
        }
        let place = place(realm);
        self.realm_hosts.iter().any(|host| host.as_str() == place)
    }
}

impl TokenServer {
    fn of(challenge: &Challenge, connections: &Connections) -> Result<Self, Problem> {
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
    fn url(&self, scopes: &[String]) -> Url {
        let mut url = self.realm.clone();
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = &self.service {
                query.append_pair("service", service);
            }
            for scope in scopes {
                query.append_pair("scope", scope);
            }
        }
        url
    }
}

/// Host, with its port where it is not the scheme's.
fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or("").to_ascii_lowercase();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host,
    }
}

fn bad_credentials() -> Problem {
    Problem::Auth("its configured user name or password cannot be sent over HTTP".to_owned())
}

fn basic_header(username: &str, password: &Secret) -> Option<HeaderValue> {
    let pair = STANDARD.encode(format!("{username}:{}", password.reveal()));
    sensitive(&format!("Basic {pair}"))
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<f64>,
}

async fn read_token(
    response: reqwest::Response,
    connections: &Connections,
    realm: &Url,
    with_credentials: bool,
) -> Result<Token, Problem> {
    let place = place(realm);
    let between_bytes = connections.timeouts().between_bytes;
    let status = response.status();
    if !status.is_success() {
        let problem = answer::failure(response, with_credentials, between_bytes).await;
        return Err(match problem {
            Problem::Denied { .. } | Problem::Status { .. } if status.is_client_error() => {
                let hint = if with_credentials {
                    "; check the credentials configured for this upstream"
                } else {
                    ""
                };
                Problem::Auth(format!(
                    "gave no token: its token server '{place}' answered: {problem}{hint}"
                ))
            }
            transient => transient,
        });
    }
    let content_type = answer::content_type(&response);
    let bytes = answer::body(response, "a token", MAX_TOKEN_BYTES, between_bytes).await?;
    let bad = |what: &str| {
        Problem::BadAnswer(format!(
            "its token server '{place}' {what} (content type '{content_type}')"
        ))
    };
    let answer: TokenAnswer =
        serde_json::from_slice(&bytes).map_err(|_| bad("answered something that is no token"))?;
    let token = answer.token.filter(|token| !token.is_empty());
    let token = token
        .or(answer.access_token)
        .filter(|token| !token.is_empty())
        .ok_or_else(|| bad("answered without a token"))?;
    let header = sensitive(&format!("Bearer {token}"));
    let header = header.ok_or_else(|| bad("sent a token that is no text"))?;
    let lifetime = answer
        .expires_in
        .filter(|seconds| *seconds > 0.0)
        .map_or(DEFAULT_LIFETIME, |seconds| {
            Duration::from_secs_f64(seconds.min(LONGEST_LIFETIME.as_secs_f64()))
        });
    Ok(Token {
        authorization: Authorization {
            header,
            token: Some(Instant::now()),
            with_credentials,
        },
        // A token must outlive the request that carries it and the way there.
        lifetime: lifetime.mul_f64(0.8),
    })
}

/// Whether an answer asks us to present ourselves.
pub(crate) fn is_challenge(status: StatusCode) -> bool {
    status == StatusCode::UNAUTHORIZED
}
