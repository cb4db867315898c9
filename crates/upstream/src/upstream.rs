//! One upstream registry: the state that requests for `manifest`, `blob`, `tags` and `referrers`
//! share.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use metahub_limits::DocumentBudget;
use metahub_oci::{Host, RepositoryName, Tag};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::sync::Semaphore;
use url::Url;

use crate::address::{Guard, ProxiedPrivate};
use crate::auth::Authorizer;
use crate::breaker::Breaker;
use crate::client::Connections;
use crate::config::{ConfigError, MOST_PARALLEL, UpstreamConfig};
use crate::credentials::Credentials;
use crate::error::{Problem, UpstreamError};
use crate::identity::Identity;
use crate::lifetime::{Gone, Lifetime, TagLifetimes};
use crate::pass_through::PassThrough;
use crate::pause::Pauses;
use crate::retry::RetryPolicy;

/// A registry that is read with one identity. Shared by all its readers.
pub struct Upstream {
    pub(crate) shared: Arc<Shared>,
    pub(crate) auth: Authorizer,
}

/// The state that does not depend on the identity.
pub(crate) struct Shared {
    pub(crate) host: Host,
    pub(crate) connections: Arc<Connections>,
    pub(crate) retry: RetryPolicy,
    pub(crate) breaker: Breaker,
    pub(crate) pauses: Pauses,
    pub(crate) offline: bool,
    tag_lifetime: Option<Lifetime>,
    tags: TagLifetimes,
    gone: Gone,
    pass_through: Option<PassThrough>,
    /// Requests at once for one large blob,
    pub(crate) parallel: usize,
    /// and the memory for their early parts, of all blobs.
    pub(crate) early: Arc<Semaphore>,
    /// Requests since the start, each attempt counted, and those that failed.
    pub(crate) asked: AtomicU64,
    pub(crate) failed: AtomicU64,
}

impl Upstream {
    /// An upstream from its configuration. `environment` looks up variables that hold secrets.
    pub(crate) fn configured(
        config: &UpstreamConfig,
        offline: bool,
        proxied: ProxiedPrivate,
        environment: &dyn Fn(&str) -> Option<String>,
        documents: &DocumentBudget,
    ) -> Result<Self, ConfigError> {
        let origin = config.origin()?;
        let identity = match (&config.given_credentials, &config.credentials) {
            (None, Some(written)) => Identity::configured(&config.host, written, environment)?,
            (given, _) => Identity::given(config.host.clone(), given.clone()),
        };
        let guard = Guard::beside(&origin, config.allow_private, proxied);
        let authorities = authorities(config)?;
        Ok(Self::new(
            config,
            origin,
            guard,
            true,
            authorities,
            identity,
            offline,
            documents.clone(),
        ))
    }

    /// A public host without configuration: anonymous, by TLS, public addresses only.
    pub(crate) fn any_host(
        host: Host,
        offline: bool,
        proxied: ProxiedPrivate,
        documents: &DocumentBudget,
    ) -> Result<Self, ConfigError> {
        let config = UpstreamConfig::new(host);
        let origin = config.origin()?;
        let guard = Guard::public_only(proxied);
        Ok(Self::new(
            &config,
            origin,
            guard,
            false,
            Vec::new(),
            Identity::given(config.host.clone(), None),
            offline,
            documents.clone(),
        ))
    }

    #[expect(clippy::too_many_arguments, reason = "its two callers name each")]
    fn new(
        config: &UpstreamConfig,
        origin: Url,
        guard: Guard,
        configured: bool,
        authorities: Vec<CertificateDer<'static>>,
        identity: Identity,
        offline: bool,
        documents: DocumentBudget,
    ) -> Self {
        let connections = Connections::new(
            origin,
            config.plain_http,
            guard,
            configured,
            authorities,
            config.timeouts.clone(),
            documents,
        );
        Self {
            auth: Authorizer::new(identity, &config.host, &config.realm_hosts),
            shared: Arc::new(Shared {
                host: config.host.clone(),
                connections: Arc::new(connections),
                retry: config.retry.clone(),
                breaker: Breaker::new(),
                pauses: Pauses::default(),
                offline,
                tag_lifetime: config.tag_lifetime,
                tags: config.tags.clone(),
                gone: config.gone,
                pass_through: config.pass_through,
                parallel: config.parallel,
                early: Arc::new(Semaphore::new(MOST_PARALLEL)),
                asked: AtomicU64::new(0),
                failed: AtomicU64::new(0),
            }),
        }
    }

    /// The same registry with another identity, or anonymously: connections, back-off and trust are
    /// shared, credentials and tokens are not.
    #[must_use]
    pub fn acting_as(&self, credentials: Option<Credentials>) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            auth: self.auth.acting_as(&self.shared.host, credentials),
        }
    }

    /// The host that its images are written with.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.shared.host
    }

    /// How many requests were sent to it since the start, each attempt counted, and how many of
    /// them failed.
    #[must_use]
    pub fn requests(&self) -> (u64, u64) {
        let shared = &self.shared;
        (shared.asked.load(Relaxed), shared.failed.load(Relaxed))
    }

    /// The configured lifetime of `tag` of the repository `name` there, if any.
    #[must_use]
    pub fn tag_lifetime(&self, name: &RepositoryName, tag: &Tag) -> Option<Lifetime> {
        let by_pattern = self.shared.tags.of(name, tag);
        by_pattern.or(self.shared.tag_lifetime)
    }

    /// The policy for a tag that vanished there.
    #[must_use]
    pub fn gone(&self) -> Gone {
        self.shared.gone
    }

    /// Its pass-through settings, if it is a pass-through upstream.
    #[must_use]
    pub fn pass_through(&self) -> Option<PassThrough> {
        self.shared.pass_through
    }

    /// Whether its circuit breaker is open.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        self.shared.breaker.is_open()
    }

    pub(crate) fn error(&self, problem: Problem) -> UpstreamError {
        self.shared.error(problem)
    }
}

impl Shared {
    pub(crate) fn error(&self, problem: Problem) -> UpstreamError {
        UpstreamError::new(self.host.clone(), problem)
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("host", &self.shared.host)
            .finish_non_exhaustive()
    }
}

fn authorities(config: &UpstreamConfig) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let Some(file) = &config.ca_file else {
        return Ok(Vec::new());
    };
    let wrong = |problem: String| ConfigError::Certificate {
        host: config.host.clone(),
        file: file.clone(),
        problem,
    };
    let pem = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|error| wrong(error.to_string()))?;
    if found.is_empty() {
        return Err(wrong("it holds no certificate in PEM form".to_owned()));
    }
    Ok(found)
}
