//! Proofs of accounts' rights at pass-through upstreams: the account's identity there, and the
//! repositories that it recently proved to be able to read.
//!
//! A proof is the upstream's own answer to a request of the account. It opens one repository there,
//! for the time that the upstream's configuration sets; it ends sooner when the account's login
//! changes or the upstream refuses the account. Nothing here is stored.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metahub_oci::{Digest, Host, Reference, RepositoryName};
use metahub_upstream::{Credentials, Logins, Problem, Route, Upstream, UpstreamError};
use moka::future::Cache;
use parking_lot::Mutex;

use crate::cache::single_flight::{Limits, SingleFlight};
use crate::error::{NotAllowed, RegistryError};

/// How long an account's login is cached.
const LOOK: Duration = Duration::from_secs(5);
/// How long a refusal is cached: a thousand nodes with a wrong password should not lock the account
/// at its upstream.
const REFUSED: Duration = Duration::from_secs(5);
/// How many accounts are remembered, and for how long after their last request; a forgotten account
/// proves its rights again.
const ACCOUNTS: u64 = 1000;
const IDLE: Duration = Duration::from_hours(1);
/// Repositories that are remembered of each.
const REPOSITORIES: u64 = 10_000;

/// The account of a caller, if it has one.
pub(crate) type Who = Option<Arc<str>>;

/// The identity of one account at one upstream.
pub(crate) struct UpstreamIdentity {
    pub(crate) who: Who,
    /// Reads as that account.
    pub(crate) upstream: Arc<Upstream>,
    credentials: Option<Credentials>,
    looked_up: Mutex<Instant>,
    /// Repositories there that it proved to be able to read.
    proven: Cache<RepositoryName, ()>,
    /// Recent refusals by the upstream.
    refusals: Cache<(RepositoryName, String), UpstreamError>,
    /// The checks that are running.
    questions: SingleFlight<(RepositoryName, String), Result<bool, UpstreamError>>,
}

/// The request by which the right to read a repository is checked.
#[derive(Clone, Debug)]
pub(crate) enum Question {
    Manifest(Reference),
    Blob(Digest),
    Tags,
}

/// The identities of all accounts at all upstreams.
pub(crate) struct UpstreamIdentities {
    logins: Option<Logins>,
    known: Cache<(Host, Who), Arc<UpstreamIdentity>>,
}

impl UpstreamIdentities {
    pub(crate) fn new(logins: Option<Logins>) -> Self {
        Self {
            logins,
            known: Cache::builder()
                .max_capacity(ACCOUNTS)
                .time_to_idle(IDLE)
                .build(),
        }
    }

    /// The identity of `who` at `upstream`, with a login that was read at most a moment ago.
    pub(crate) async fn of(
        &self,
        who: &Who,
        upstream: &Upstream,
    ) -> Result<Arc<UpstreamIdentity>, RegistryError> {
        let key = (upstream.host().clone(), who.clone());
        let known = self.known.get(&key).await;
        if let Some(known) = known.as_ref().filter(|known| known.is_recent()) {
            return Ok(Arc::clone(known));
        }
        let credentials = self.credentials(who, upstream.host()).await?;
        if let Some(known) = known.filter(|known| known.is_still(credentials.as_ref())) {
            *known.looked_up.lock() = Instant::now();
            return Ok(known);
        }
        // Tokens and proofs of a former login end with it.
        let identity = Arc::new(UpstreamIdentity::new(who.clone(), upstream, credentials));
        self.known.insert(key, Arc::clone(&identity)).await;
        Ok(identity)
    }

    async fn credentials(
        &self,
        who: &Who,
        host: &Host,
    ) -> Result<Option<Credentials>, RegistryError> {
        let (Some(logins), Some(account)) = (self.logins.clone(), who.clone()) else {
            return Ok(None);
        };
        let (name, at) = (Arc::clone(&account), host.clone());
        let read = tokio::task::spawn_blocking(move || logins.of(&name, &at)).await;
        let problem = match read {
            Ok(Ok(credentials)) => return Ok(credentials),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        // The client learns neither paths nor modes.
        tracing::error!(%account, upstream = %host, problem, "a login at an upstream cannot be read");
        Err(NotAllowed::Unreadable {
            upstream: host.clone(),
            account: (*account).into(),
        }
        .into())
    }
}

impl UpstreamIdentity {
    fn new(who: Who, upstream: &Upstream, credentials: Option<Credentials>) -> Self {
        let remember = upstream.pass_through().unwrap_or_default().remember;
        Self {
            who,
            upstream: Arc::new(upstream.acting_as(credentials.clone())),
            credentials,
            looked_up: Mutex::new(Instant::now()),
            proven: Cache::builder()
                .max_capacity(REPOSITORIES)
                .time_to_live(remember)
                .build(),
            refusals: Cache::builder()
                .max_capacity(REPOSITORIES)
                .time_to_live(REFUSED)
                .build(),
            questions: SingleFlight::new(Limits::default(), |_| 0),
        }
    }

    fn is_recent(&self) -> bool {
        self.looked_up.lock().elapsed() < LOOK
    }

    fn is_still(&self, credentials: Option<&Credentials>) -> bool {
        match (credentials, &self.credentials) {
            (Some(now), Some(before)) => now.are_still(before),
            (None, None) => true,
            _ => false,
        }
    }

    /// Whether it recently proved to be able to read the repository `name` there.
    pub(crate) async fn has_proven(&self, name: &RepositoryName) -> bool {
        self.proven.get(name).await.is_some()
    }

    /// Revokes its proof for a repository, because the upstream refused it.
    pub(crate) async fn refused(&self, name: &RepositoryName) {
        self.proven.invalidate(name).await;
    }

    /// Asks the upstream as this account, once for all concurrent callers. Returns whether the
    /// upstream has the content and lets the account read it.
    pub(crate) async fn ask(
        &self,
        route: &Route,
        question: &Question,
    ) -> Result<bool, RegistryError> {
        let name = &route.name;
        let key = (name.clone(), question.key());
        let at = key.clone();
        let ask = async {
            if let Some(refusal) = self.refusals.get(&at).await {
                return Err(refusal);
            }
            let answer = self.upstream_says(name, question).await;
            if let Err(error) = &answer
                && is_refusal(error)
            {
                self.refusals.insert(at, error.clone()).await;
            }
            answer
        };
        match self.questions.run(key, ask).await?.value {
            Ok(found) => {
                // A list of tags, or a blob that no manifest here leads to, opens nothing else.
                if found && matches!(question, Question::Manifest(_)) {
                    self.proven.insert(name.clone(), ()).await;
                }
                Ok(found)
            }
            Err(refusal) if is_refusal(&refusal) => {
                self.refused(name).await;
                Err(self.not_allowed(refusal).into())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn upstream_says(
        &self,
        name: &RepositoryName,
        question: &Question,
    ) -> Result<bool, UpstreamError> {
        match question {
            Question::Manifest(reference) => self.upstream.shows_manifest(name, reference).await,
            Question::Blob(digest) => self.upstream.shows_blob(name, digest).await,
            Question::Tags => Ok(self.upstream.tags(name).await?.is_some()),
        }
    }

    /// The error for what the upstream refuses this account.
    pub(crate) fn not_allowed(&self, error: UpstreamError) -> NotAllowed {
        NotAllowed::Refused {
            error,
            account: self.who.as_deref().map(Into::into),
            login: self.credentials.is_some(),
        }
    }
}

impl Question {
    fn key(&self) -> String {
        match self {
            Self::Manifest(Reference::Tag(tag)) => format!("tag {tag}"),
            Self::Manifest(Reference::Digest(digest)) => format!("manifest {digest}"),
            Self::Blob(digest) => format!("blob {digest}"),
            Self::Tags => "tags".to_owned(),
        }
    }
}

/// Whether an upstream refused the caller, and not only failed.
pub(crate) fn is_refusal(error: &UpstreamError) -> bool {
    matches!(error.problem(), Problem::Denied { .. } | Problem::Auth(_))
}
