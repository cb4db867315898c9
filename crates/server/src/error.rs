//! The one mapping of errors to HTTP answers.
//!
//! Which error type is for what: library crates return their own `thiserror` enums; handlers
//! convert them here with `From`, so a code is chosen in one place. [`HttpError`] is an answer, not
//! a failure of the program: it is logged as the request's outcome. What must not be shown to
//! clients (paths, SQL) becomes [`ErrorCode::Unknown`] and is logged with its cause.

use std::fmt;

use http::{HeaderValue, StatusCode, header};
use metahub_oci::{DigestError, ErrorCode};
use metahub_operations::NothingFits;
use metahub_registry::{NotAllowed, RegistryError};
use metahub_store::StoreError;
use metahub_upstream::{Problem, UpstreamError};
use serde_json::Value;

/// An error answer, in the form of the distribution specification (`spec.md#error-codes`). One
/// pointer wide, since every result of a handler has room for it.
#[derive(Debug)]
pub(crate) struct HttpError(Box<Parts>);

/// The parts of an error answer.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) status: StatusCode,
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
    /// `detail` of the error, for programs; unstructured by the specification.
    pub(crate) detail: Value,
    pub(crate) headers: Vec<(header::HeaderName, HeaderValue)>,
}

impl HttpError {
    /// An error with the usual status of its code.
    pub(crate) fn code(code: ErrorCode, message: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::BAD_REQUEST);
        Self(Box::new(Parts {
            status,
            code,
            message: message.into(),
            detail: Value::Null,
            headers: Vec::new(),
        }))
    }

    /// The same error with another status.
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = status;
        self
    }

    /// The same error with `detail` for programs.
    pub(crate) fn with_detail(mut self, detail: Value) -> Self {
        self.0.detail = detail;
        self
    }

    /// The same error with a header. A value that is no header value is left out.
    pub(crate) fn with_header(mut self, name: header::HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.0.headers.push((name, value));
        }
        self
    }

    /// The same error; for an unknown manifest, with remarks on parts of the login without effect,
    /// which may be the reason.
    pub(crate) fn with_remarks(mut self, remarks: &[String]) -> Self {
        if self.0.code == ErrorCode::ManifestUnknown {
            for remark in remarks {
                self.0.message.push_str("; ");
                self.0.message.push_str(remark);
            }
        }
        self
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::code(ErrorCode::Unsupported, message).with_status(StatusCode::NOT_FOUND)
    }

    pub(crate) fn method(allowed: &str) -> Self {
        Self::code(
            ErrorCode::Unsupported,
            format!("this path accepts {allowed}"),
        )
        .with_header(header::ALLOW, allowed)
    }

    /// A failure of the registry itself: the cause goes to the log, not to the client.
    pub(crate) fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(error = %chain(error), "request failed");
        Self::code(
            ErrorCode::Unknown,
            "the registry failed; its log says why. Nothing was stored. Try again later",
        )
    }

    #[cfg(test)]
    pub(crate) fn status(&self) -> StatusCode {
        self.0.status
    }

    pub(crate) fn error_code(&self) -> ErrorCode {
        self.0.code
    }

    /// The message for the client.
    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    /// The parts of the answer.
    pub(crate) fn into_parts(self) -> Parts {
        *self.0
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.status.as_u16(), self.0.message)
    }
}

impl std::error::Error for HttpError {}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

impl From<DigestError> for HttpError {
    fn from(error: DigestError) -> Self {
        Self::code(ErrorCode::DigestInvalid, error.to_string())
    }
}

impl From<RegistryError> for HttpError {
    fn from(error: RegistryError) -> Self {
        let code = error.code();
        if code == ErrorCode::Unknown {
            return match damaged(&error) {
                Some(words) => Self::code(code, words),
                None => Self::internal(&error),
            };
        }
        let mut answer = Self::code(code, chain(&error));
        answer.0.detail = detail(&error);
        match error.retry_after() {
            Some(wait) => {
                answer.with_header(header::RETRY_AFTER, &wait.as_secs().max(1).to_string())
            }
            None => answer,
        }
    }
}

/// The message about damaged content, which a client can push again.
fn damaged(error: &RegistryError) -> Option<String> {
    let RegistryError::Store(error @ StoreError::Damaged { .. }) = error.root() else {
        return None;
    };
    tracing::error!(%error, "request failed");
    Some(error.to_string())
}

/// The `detail` of an error for programs: that an image exists but no entry fits the login, with
/// the wanted features and the verdict on each entry.
fn detail(error: &RegistryError) -> Value {
    if let Some(detail) = NothingFits::of(error) {
        return serde_json::to_value(detail).unwrap_or_default();
    }
    match error {
        RegistryError::Upstream(error)
        | RegistryError::NotAllowed(NotAllowed::Refused { error, .. }) => upstream_detail(error),
        RegistryError::Shared(error) | RegistryError::Hinted { error, .. } => detail(error),
        _ => Value::Null,
    }
}

/// The upstream, and its own answer.
fn upstream_detail(error: &UpstreamError) -> Value {
    let (status, code, message) = match error.problem() {
        Problem::Status {
            status,
            code,
            message,
        }
        | Problem::Denied {
            status,
            code,
            message,
            ..
        } => (Some(*status), code.as_deref(), message.as_deref()),
        Problem::RateLimited { message, .. } => (Some(429), None, message.as_deref()),
        _ => (None, None, None),
    };
    serde_json::json!({
        "upstream": error.upstream().as_str(),
        "status": status,
        "code": code,
        "message": message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_says_when_to_come_again() {
        let full = "/data".into();
        for error in [
            RegistryError::NoRoom("no room to fetch 7 bytes".to_owned()),
            RegistryError::Store(StoreError::NoSpace(full)),
            RegistryError::Shared(std::sync::Arc::new(RegistryError::NoRoom("x".to_owned()))),
        ] {
            let words = error.to_string();
            let answer = HttpError::from(error).into_response();
            assert_eq!(answer.status(), 503, "{words}");
            assert_eq!(answer.headers()[header::RETRY_AFTER], "10", "{words}");
        }
    }
}
