//! Authentication at an upstream: anonymous, Basic, or the token flow of the distribution project
//! (`docs/spec/auth/token.md`), as its challenge demands.
//!
//! Credentials go to the upstream's own origin and to token servers that belong to it: on the same
//! host and port, well known, or listed as `realm_hosts`. A realm anywhere else gets no
//! credentials, whatever the upstream says (CVE-2026-33540). Tokens are cached in memory until they
//! expire, and fetched once for all callers that need one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use metahub_client::Challenge;
use metahub_oci::Host;
use moka::future::Cache;
use parking_lot::RwLock;
use url::Url;

use crate::client::Connections;
use crate::credentials::Credentials;
use crate::error::Problem;
use crate::identity::Identity;
use crate::refresh::Refresh;
use crate::secret::Secret;
use crate::token::{Scope, Token, TokenServer, place, read_token, sensitive};
use crate::well_known;

/// Tokens kept per upstream: one per repository in use.
const MAX_TOKENS: u64 = 4096;

/// An `Authorization` header, and the token that it was made of.
#[derive(Clone, Debug)]
pub(crate) struct Authorization {
    header: HeaderValue,
    /// Its secrets, in every form in which they are sent.
    secrets: Vec<Secret>,
    /// The arrival time of the token, which identifies it; `None` for Basic.
    token: Option<Instant>,
    /// Whether it was made with configured credentials.
    pub(crate) with_credentials: bool,
}

impl From<Token> for Authorization {
    fn from(token: Token) -> Self {
        Self {
            header: token.header,
            secrets: vec![token.secret],
            token: Some(token.received),
            with_credentials: token.with_credentials,
        }
    }
}

impl Authorization {
    pub(crate) fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    /// Its secrets.
    pub(crate) fn secrets(&self) -> &[Secret] {
        &self.secrets
    }
}

struct Expiry;

impl moka::Expiry<Scope, Token> for Expiry {
    fn expire_after_create(&self, _: &Scope, token: &Token, _: Instant) -> Option<Duration> {
        Some(token.lifetime)
    }
}

/// The authentication scheme of an upstream, from its last challenge.
#[derive(Clone, Debug)]
enum Manner {
    Basic,
    Bearer(Arc<TokenServer>),
}

/// Authenticates at one upstream, as one identity or anonymously.
#[derive(Debug)]
pub(crate) struct Authorizer {
    identity: Identity,
    /// Hosts, besides the upstream's own, whose token server may see the credentials.
    realm_hosts: Vec<Host>,
    manner: RwLock<Option<Manner>>,
    tokens: Cache<Scope, Token>,
    refresh: Arc<Refresh>,
}

impl Authorizer {
    pub(crate) fn new(identity: Identity, host: &Host, listed: &[Host]) -> Self {
        let known = well_known::realm_hosts(host.as_str()).iter();
        let known = known.filter_map(|host| host.parse().ok());
        let realm_hosts = known.chain(listed.iter().cloned()).collect();
        Self::with(identity, realm_hosts, None)
    }

    /// The same trust in realms with another identity, or anonymously.
    pub(crate) fn acting_as(&self, host: &Host, credentials: Option<Credentials>) -> Self {
        let identity = Identity::given(host.clone(), credentials);
        let manner = self.manner.read().clone();
        Self::with(identity, self.realm_hosts.clone(), manner)
    }

    fn with(identity: Identity, realm_hosts: Vec<Host>, manner: Option<Manner>) -> Self {
        Self {
            identity,
            realm_hosts,
            manner: RwLock::new(manner),
            tokens: Cache::builder()
                .max_capacity(MAX_TOKENS)
                .expire_after(Expiry)
                .build(),
            refresh: Arc::default(),
        }
    }

    /// The authorization to send without a challenge, by the last one.
    pub(crate) async fn in_advance(
        &self,
        connections: &Arc<Connections>,
        scope: &Scope,
    ) -> Result<Option<Authorization>, Problem> {
        let manner = self.manner.read().clone();
        match manner {
            None => Ok(None),
            Some(Manner::Basic) => self.basic().await,
            Some(Manner::Bearer(server)) => {
                let scopes = vec![scope.0.clone()];
                self.token(connections, scope, &server, scopes)
                    .await
                    .map(Some)
            }
        }
    }

    /// Answers a 401 with `challenges` to a request that carried `sent`. `None` if there is nothing
    /// better to send.
    pub(crate) async fn answer(
        &self,
        connections: &Arc<Connections>,
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
            // Remembered only once it has worked: a wrong realm must not be used in advance.
            *self.manner.write() = Some(Manner::Bearer(server));
            return Ok(Some(token));
        }
        if !challenges.iter().any(|challenge| challenge.is("basic")) {
            return Ok(None);
        }
        if sent.is_some_and(|sent| sent.token.is_none()) {
            self.identity.refused().await;
        }
        *self.manner.write() = Some(Manner::Basic);
        let basic = self.basic().await?;
        // The same header would be refused again.
        Ok(basic.filter(|basic| sent.is_none_or(|sent| sent.header != basic.header)))
    }

    /// Drops the token that was refused, unless another request has replaced it already.
    async fn forget(&self, scope: &Scope, sent: Option<&Authorization>) {
        let Some(refused) = sent.and_then(|sent| sent.token) else {
            return;
        };
        let kept = self.tokens.get(scope).await;
        if kept.is_some_and(|kept| kept.received == refused) {
            self.tokens.invalidate(scope).await;
        }
    }

    async fn basic(&self) -> Result<Option<Authorization>, Problem> {
        match self.identity.current().await? {
            Some(Credentials::Password { username, password }) => {
                let (header, secrets) = basic_header(&username, &password)?;
                Ok(Some(Authorization {
                    header,
                    secrets,
                    token: None,
                    with_credentials: true,
                }))
            }
            Some(Credentials::IdentityToken(_)) | None => Ok(None),
        }
    }

    async fn token(
        &self,
        connections: &Arc<Connections>,
        scope: &Scope,
        server: &TokenServer,
        scopes: Vec<String>,
    ) -> Result<Authorization, Problem> {
        let fetched = self
            .tokens
            .try_get_with_by_ref(scope, self.fetch(connections, server, scopes))
            .await;
        match fetched {
            Ok(token) => Ok(token.into()),
            Err(problem) => Err(Problem::clone(&problem)),
        }
    }

    async fn fetch(
        &self,
        connections: &Arc<Connections>,
        server: &TokenServer,
        scopes: Vec<String>,
    ) -> Result<Token, Problem> {
        let realm = &server.realm;
        let credentials = self.identity.current().await?;
        if credentials.is_some() && !self.trusts(connections, realm) {
            let place = place(realm);
            return Err(Problem::Auth(format!(
                "asks for its credentials to be sent to '{place}', which does not belong to it; \
                 if you trust that host with them, add it to the upstream's realm_hosts"
            )));
        }
        let token = match credentials {
            Some(Credentials::IdentityToken(written)) => {
                let exchanged = self.refresh.exchange(connections, server, written, &scopes);
                exchanged.await
            }
            Some(Credentials::Password { username, password }) => {
                let (header, secrets) = basic_header(&username, &password)?;
                by_get(connections, server, &scopes, Some(header), &secrets).await
            }
            None => by_get(connections, server, &scopes, None, &[]).await,
        };
        if let Err(Problem::Auth(_)) = token {
            self.identity.refused().await;
        }
        token
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
        let port = realm.port_or_known_default().unwrap_or_default();
        let with_port = format!("{}:{port}", realm.host_str().unwrap_or_default());
        let place = place(realm);
        let mut listed = self.realm_hosts.iter().map(Host::as_str);
        listed.any(|host| host == place || host == with_port)
    }
}

/// Requests a token by GET; anonymously, if there is no header.
async fn by_get(
    connections: &Connections,
    server: &TokenServer,
    scopes: &[String],
    authorization: Option<HeaderValue>,
    secrets: &[Secret],
) -> Result<Token, Problem> {
    let with_credentials = authorization.is_some();
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.extend(authorization.map(|header| (AUTHORIZATION, header)));
    let url = server.url(scopes);
    let answer = connections.get(Method::GET, url, headers).await?;
    let realm = &server.realm;
    let granted = read_token(
        answer.response,
        connections,
        realm,
        with_credentials,
        secrets,
    );
    Ok(granted.await?.token)
}

/// The header, and its secrets.
fn basic_header(username: &str, password: &Secret) -> Result<(HeaderValue, Vec<Secret>), Problem> {
    let pair = STANDARD.encode(format!("{username}:{}", password.reveal()));
    let header = sensitive(&format!("Basic {pair}")).ok_or_else(|| {
        Problem::Auth("its user name or password cannot be sent over HTTP".to_owned())
    })?;
    Ok((header, vec![password.clone(), Secret::new(pair)]))
}

/// Whether an answer is a challenge.
pub(crate) fn is_challenge(status: StatusCode) -> bool {
    status == StatusCode::UNAUTHORIZED
}
