//! One log line per request: who, what, outcome, duration, bytes. Never a password, a token or
//! a query string.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, Method, StatusCode, header};
use metahub_auth::Identity;
use metahub_limits::Share;
use metahub_oci::ErrorCode;

use crate::error::HttpError;
use crate::kind::Kind;
use crate::metrics::Metrics;
use crate::route::Route;

/// The log target of requests.
const TARGET: &str = "metahub::request";
/// Most bytes of an error's message that a line has.
const LONGEST_ERROR: usize = 1024;

/// The log line of a request; written when its answer's body has been sent or dropped.
pub(crate) struct Record {
    metrics: Arc<Metrics>,
    pub(crate) kind: Kind,
    started: Instant,
    client: IpAddr,
    method: Method,
    agent: String,
    /// The caller, once authenticated.
    pub(crate) identity: Option<Arc<Identity>>,
    /// The route, once parsed.
    pub(crate) route: Option<Arc<Route>>,
    status: StatusCode,
    code: Option<ErrorCode>,
    /// The error message for the client.
    error: Option<String>,
    pub(crate) announced: u64,
    pub(crate) sent: u64,
    /// Its share of the requests that are answered at once.
    pub(crate) share: Option<Share>,
}

impl Record {
    pub(crate) fn new(
        metrics: &Arc<Metrics>,
        method: &Method,
        headers: &HeaderMap,
        client: IpAddr,
    ) -> Self {
        let agent = headers
            .get(header::USER_AGENT)
            .and_then(|v| v.to_str().ok())
            .unwrap_or("");
        Self {
            metrics: Arc::clone(metrics),
            kind: Kind::Unknown,
            started: Instant::now(),
            client,
            method: method.clone(),
            // A client's name is enough; its whole build string would fill the log.
            agent: agent.chars().take_while(|c| *c != ' ').take(64).collect(),
            identity: None,
            route: None,
            status: client_left(),
            code: None,
            error: None,
            announced: 0,
            sent: 0,
            share: None,
        }
    }
}

/// The status until its answer begins: nginx's for a client that closed its request.
fn client_left() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or_default()
}

impl Record {
    /// Notes an error answer, of which the log has at most [`LONGEST_ERROR`] bytes.
    pub(crate) fn fails(&mut self, error: &HttpError) {
        self.code = Some(error.error_code());
        let message = error.message();
        let mut end = message.len().min(LONGEST_ERROR);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        self.error = message.get(..end).map(str::to_owned);
    }

    /// Notes that the answer begins.
    pub(crate) fn answers(&mut self, status: StatusCode) {
        self.status = status;
        self.metrics.answers(self.kind, self.started.elapsed());
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.metrics.answered(self.kind, self.status, self.sent);
        if !tracing::enabled!(target: TARGET, tracing::Level::INFO) {
            return;
        }
        let (repository, reference) = match self.route.as_deref() {
            Some(Route::In(name, operation)) => (name.as_str(), operation.reference()),
            _ => ("", ""),
        };
        let login = self.identity.as_deref().map_or("", Identity::login);
        let by = self.identity.as_deref().and_then(Identity::profile_by);
        let node = self.identity.as_deref().and_then(Identity::node);
        let node = node.map(|node| node.name.as_str());
        let complete = self.sent >= self.announced || self.method == Method::HEAD;
        let outcome = match (self.code, complete) {
            (Some(code), _) => serde_json::to_value(code)
                .ok()
                .and_then(|value| value.as_str().map(|code| Cow::Owned(code.to_owned())))
                .unwrap_or_default(),
            (None, _) if self.status == client_left() => "client left".into(),
            (None, true) => "ok".into(),
            (None, false) => "cut off".into(),
        };
        tracing::info!(
            target: TARGET,
            method = %self.method,
            repository,
            reference,
            login,
            by,
            node,
            status = self.status.as_u16(),
            outcome = &*outcome,
            error = self.error.as_deref(),
            bytes = self.sent,
            ms = self.started.elapsed().as_millis(),
            client = %self.client,
            agent = self.agent,
            "request"
        );
    }
}
