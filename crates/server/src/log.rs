//! One log line per request: who, what, outcome, duration, bytes. Never a password, a token or
//! a query string.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, Method, StatusCode, header};
use metahub_oci::ErrorCode;

use crate::kind::Kind;
use crate::metrics::Metrics;

/// What is known of a request; written when its answer's body has been sent or dropped.
pub(crate) struct Record {
    metrics: Arc<Metrics>,
    pub(crate) kind: Kind,
    started: Instant,
    client: IpAddr,
    method: Method,
    agent: String,
    pub(crate) login: String,
    pub(crate) repository: String,
    pub(crate) reference: String,
    status: StatusCode,
    pub(crate) code: Option<ErrorCode>,
    pub(crate) announced: u64,
    pub(crate) sent: u64,
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
            login: String::new(),
            repository: String::new(),
            reference: String::new(),
            status: client_left(),
            code: None,
            announced: 0,
            sent: 0,
        }
    }
}

/// Until its answer begins: what nginx calls the status of a request whose client did not wait.
fn client_left() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or_default()
}

impl Record {
    /// Its answer begins.
    pub(crate) fn answers(&mut self, status: StatusCode) {
        self.status = status;
        self.metrics.answers(self.kind, self.started.elapsed());
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.metrics.answered(self.kind, self.status, self.sent);
        let complete = self.sent >= self.announced || self.method == Method::HEAD;
        let outcome = match (self.code, complete) {
            (Some(code), _) => serde_json::to_value(code)
                .ok()
                .and_then(|value| value.as_str().map(str::to_owned))
                .unwrap_or_default(),
            (None, _) if self.status == client_left() => "client left".to_owned(),
            (None, true) => "ok".to_owned(),
            (None, false) => "cut off".to_owned(),
        };
        tracing::info!(
            target: "metahub::request",
            method = %self.method,
            repository = self.repository,
            reference = self.reference,
            login = self.login,
            status = self.status.as_u16(),
            outcome,
            bytes = self.sent,
            ms = self.started.elapsed().as_millis(),
            client = %self.client,
            agent = self.agent,
            "request"
        );
    }
}
