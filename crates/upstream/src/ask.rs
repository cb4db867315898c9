//! One request to an upstream, with its circuit breaker, retries and authentication.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method};
use metahub_client::Challenge;
use metahub_limits::Reservation;
use metahub_oci::RepositoryName;
use reqwest::Response;
use url::Url;

use crate::answer;
use crate::auth::{Authorization, is_challenge};
use crate::breaker::Admitted;
use crate::error::{Problem, UpstreamError, Waiting};
use crate::pause::Lane;
use crate::token::Scope;
use crate::upstream::{Shared, Upstream};

/// A request to an upstream.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) scope: Scope,
    pub(crate) lane: Lane,
    /// A time limit for all attempts and waits, if shorter than the upstream's `patience`.
    pub(crate) limit: Option<Duration>,
}

impl Ask {
    /// GET or HEAD of `path` (see `metahub_client::path`), which is of the repository `name`.
    pub(crate) fn new(
        upstream: &Upstream,
        method: Method,
        name: &RepositoryName,
        path: &str,
    ) -> Self {
        let mut url = upstream.shared.connections.origin().clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}{path}"));
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            scope: Scope::pull(name),
            lane: Lane::Other,
            limit: None,
        }
    }
}

/// An answer with its body.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) headers: HeaderMap,
    pub(crate) content_type: String,
    pub(crate) body: Bytes,
    /// The memory reserved for the body.
    pub(crate) memory: Reservation,
}

impl Upstream {
    /// Sends `ask` until it succeeds or must not be retried. `None` for a 404. A success is any 2xx
    /// or 304. The caller reads the body.
    pub(crate) async fn ask(&self, ask: &Ask) -> Result<Option<Response>, UpstreamError> {
        self.retrying(ask.lane, ask.limit, || self.once(ask)).await
    }

    /// Like [`Upstream::ask`], with the body of at most `limit` bytes: a truncated answer is
    /// requested again.
    pub(crate) async fn ask_whole(
        &self,
        ask: &Ask,
        what: &'static str,
        limit: usize,
    ) -> Result<Option<Whole>, UpstreamError> {
        let connections = &self.shared.connections;
        let (pace, room) = (connections.timeouts().pace(), connections.room());
        let attempt = || async {
            let Some(response) = self.once(ask).await? else {
                return Ok(None);
            };
            let content_type = answer::content_type(&response);
            let headers = response.headers().clone();
            let (body, place) = answer::document(response, what, limit, pace, room).await?;
            Ok(Some(Whole {
                headers,
                content_type,
                body,
                memory: place.into_memory(),
            }))
        };
        self.retrying(ask.lane, ask.limit, attempt).await
    }

    async fn retrying<T, F>(
        &self,
        lane: Lane,
        limit: Option<Duration>,
        attempt: impl Fn() -> F + Send + Sync,
    ) -> Result<T, UpstreamError>
    where
        T: Send,
        F: Future<Output = Result<T, Problem>> + Send,
    {
        let shared = &self.shared;
        if shared.offline {
            return Err(self.error(Problem::Offline));
        }
        let started = Instant::now();
        let patience = limit.map_or(shared.retry.patience, |limit| {
            limit.min(shared.retry.patience)
        });
        let mut tried = 0;
        let mut failed = None;
        loop {
            shared.wait_for_turn(lane, started, patience).await?;
            let watch = match (Watch::admit(shared), failed) {
                (Ok(watch), _) => watch,
                // This request's own error is more useful than the open circuit.
                (Err(_), Some(error)) => return Err(error),
                (Err(resting), None) => return Err(resting),
            };
            tried += 1;
            shared.asked.fetch_add(1, Relaxed);
            // Boxed: otherwise the future of every caller would contain all its states.
            let result = within(limit, started, Box::pin(attempt())).await;
            watch.report(result.as_ref().err());
            let error = match result {
                Ok(answer) => return Ok(answer),
                Err(problem) => self.error(problem),
            };
            // A range outside of a blob is the caller's mistake, and a lack of memory our own.
            if !matches!(
                error.problem(),
                Problem::RangeOutside | Problem::Busy { .. }
            ) {
                shared.failed.fetch_add(1, Relaxed);
            }
            if let Problem::RateLimited { .. } = error.problem() {
                shared
                    .pauses
                    .limited(lane, error.retry_after(), Instant::now());
            }
            let wait = shared.retry.next_wait(
                tried,
                started.elapsed(),
                error.problem(),
                error.retry_after(),
                rand::random(),
            );
            let wait = wait.filter(|wait| started.elapsed().saturating_add(*wait) <= patience);
            let Some(wait) = wait else {
                tracing::debug!(upstream = %shared.host, tried, problem = %error.problem(), "gave up");
                return Err(error);
            };
            tracing::debug!(upstream = %shared.host, tried, ?wait, problem = %error.problem(), "will try again");
            tokio::time::sleep(wait).await;
            failed = Some(error);
        }
    }

    /// One attempt: at most one authentication after a challenge, and any number of redirects.
    async fn once(&self, ask: &Ask) -> Result<Option<Response>, Problem> {
        let connections = &self.shared.connections;
        let sent = self.auth.in_advance(connections, &ask.scope).await?;
        let answer = self.send(ask, sent.as_ref()).await?;
        if !is_challenge(answer.response.status()) || !answer.from_home {
            return self.settle(answer.response, sent.as_ref()).await;
        }
        let challenges = Challenge::all(answer.response.headers());
        let better = self
            .auth
            .answer(connections, &challenges, &ask.scope, sent.as_ref())
            .await?;
        match better {
            None => self.settle(answer.response, sent.as_ref()).await,
            Some(better) => {
                let answer = self.send(ask, Some(&better)).await?;
                self.settle(answer.response, Some(&better)).await
            }
        }
    }

    async fn send(
        &self,
        ask: &Ask,
        authorization: Option<&Authorization>,
    ) -> Result<crate::client::Answer, Problem> {
        let mut headers = ask.headers.clone();
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization.header());
        }
        let connections = &self.shared.connections;
        connections
            .get(ask.method.clone(), ask.url.clone(), headers)
            .await
    }

    async fn settle(
        &self,
        response: Response,
        sent: Option<&Authorization>,
    ) -> Result<Option<Response>, Problem> {
        let status = response.status();
        match status.as_u16() {
            404 => Ok(None),
            416 => Err(Problem::RangeOutside),
            304 => Ok(Some(response)),
            _ if status.is_success() => Ok(Some(response)),
            _ => {
                let with_credentials = sent.is_some_and(|sent| sent.with_credentials);
                let secrets = sent.map(Authorization::secrets).unwrap_or_default();
                let pace = self.shared.connections.timeouts().pace();
                Err(answer::failure(response, with_credentials, secrets, pace).await)
            }
        }
    }
}

impl Shared {
    /// Waits as long as the upstream's rate limit demands, within our patience.
    async fn wait_for_turn(
        &self,
        lane: Lane,
        started: Instant,
        patience: Duration,
    ) -> Result<(), UpstreamError> {
        while let Some(wait) = self.pauses.remaining(lane, Instant::now()) {
            if started.elapsed().saturating_add(wait) > patience {
                return Err(self.error(Problem::RateLimited {
                    retry_after: Some(wait),
                    message: None,
                }));
            }
            // Waiting requests are spread over time.
            let spread = self.retry.first_wait.mul_f64(rand::random());
            tokio::time::sleep(wait.saturating_add(spread)).await;
        }
        Ok(())
    }
}

/// One attempt, cut off at the end of the time that all attempts have.
async fn within<T>(
    limit: Option<Duration>,
    started: Instant,
    attempt: impl Future<Output = Result<T, Problem>> + Send,
) -> Result<T, Problem> {
    let Some(limit) = limit else {
        return attempt.await;
    };
    let left = limit.saturating_sub(started.elapsed());
    let cut_off = tokio::time::timeout(left, attempt).await;
    cut_off.unwrap_or(Err(Problem::Timeout {
        waiting: Waiting::Answer,
        after: limit,
    }))
}

/// Reports the result of a request to the breaker, also when its caller goes away.
struct Watch<'a> {
    shared: &'a Shared,
    admitted: Option<Admitted>,
}

impl<'a> Watch<'a> {
    fn admit(shared: &'a Shared) -> Result<Self, UpstreamError> {
        match shared.breaker.admit(Instant::now()) {
            Ok(admitted) => Ok(Self {
                shared,
                admitted: Some(admitted),
            }),
            Err(resting) => Err(shared.error(Problem::Resting {
                retry_after: resting.remaining,
                last: resting.last,
            })),
        }
    }

    fn report(mut self, problem: Option<&Problem>) {
        let Some(admitted) = self.admitted.take() else {
            return;
        };
        match problem.filter(|problem| says_it_is_down(problem)) {
            Some(problem) => {
                let breaker = &self.shared.breaker;
                breaker.failed(admitted, problem.to_string(), Instant::now());
            }
            None => self.shared.breaker.succeeded(),
        }
    }
}

/// Whether the failure concerns the upstream as a whole. A plain 500 may concern one object only.
fn says_it_is_down(problem: &Problem) -> bool {
    match problem {
        Problem::Unreachable(_) | Problem::Tls(_) | Problem::Timeout { .. } => true,
        Problem::Status { status, .. } => matches!(status, 502..=504),
        _ => false,
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if let Some(admitted) = self.admitted {
            self.shared.breaker.abandoned(admitted, Instant::now());
        }
    }
}
