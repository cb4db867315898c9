//! Errors between this registry and another.
//!
//! One [`UpstreamError`] names the upstream and holds one [`Problem`]. A 404 is no error: the
//! result is `None` then. Texts from the upstream are bounded and free of control characters (see
//! `answer`); none holds a secret or a signed URL.

use std::fmt;
use std::time::Duration;

use metahub_oci::{Digest, Host};

/// A request to an upstream that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("upstream {upstream}: {problem}")]
pub struct UpstreamError {
    upstream: Host,
    problem: Problem,
}

/// The phase in which a timeout occurred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// The connection, name resolution and TLS included.
    Connection,
    /// The head of its answer.
    Answer,
    /// The next bytes of a body.
    Bytes,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connection => "accept a connection",
            Self::Answer => "begin its answer",
            Self::Bytes => "send the next bytes",
        })
    }
}

/// Why a request to an upstream failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// No connection, or it broke before an answer.
    Unreachable(String),
    /// The TLS handshake failed; trying again does not help.
    Tls(String),
    /// It took too long.
    Timeout {
        /// The phase.
        waiting: Waiting,
        /// The timeout.
        after: Duration,
    },
    /// An answer that is neither a success nor one of the cases below.
    Status {
        /// The HTTP status.
        status: u16,
        /// The code of its OCI error body, if it sent one.
        code: Option<String>,
        /// Its message, cleaned.
        message: Option<String>,
    },
    /// 401 or 403, despite all credentials that we may use.
    Denied {
        /// The HTTP status.
        status: u16,
        /// The code of its OCI error body, if it sent one.
        code: Option<String>,
        /// Its message, cleaned.
        message: Option<String>,
        /// Whether credentials were used.
        with_credentials: bool,
    },
    /// 429, beyond our patience.
    RateLimited {
        /// Its `Retry-After`.
        retry_after: Option<Duration>,
        /// Its message, cleaned.
        message: Option<String>,
    },
    /// An answer that no registry sends: HTML, a wrong type, broken JSON.
    BadAnswer(String),
    /// A document beyond the size limit.
    TooLarge {
        /// What was too large.
        what: &'static str,
        /// The limit in bytes.
        limit: usize,
    },
    /// The content does not match its digest.
    DigestMismatch {
        /// The requested digest, or the announced one.
        expected: Digest,
        /// The digest of the content.
        found: Digest,
    },
    /// A body was truncated.
    Cut {
        /// Bytes received.
        received: u64,
        /// Bytes announced.
        expected: u64,
    },
    /// The range lies outside the blob (416).
    RangeOutside,
    /// Authentication failed: no usable challenge, a realm that our credentials must not go to, or
    /// a failing token server.
    Auth(String),
    /// A redirect or realm that is not followed, for safety.
    Refused(String),
    /// The circuit breaker is open, after repeated failures.
    Resting {
        /// The remaining time.
        retry_after: Duration,
        /// The last failure.
        last: String,
    },
    /// `offline: true`: no upstream is asked.
    Offline,
    /// No memory for a large document was available here in time. Not the upstream's fault.
    Busy {
        /// When to ask again.
        retry_after: Duration,
    },
}

impl UpstreamError {
    pub(crate) fn new(upstream: Host, problem: Problem) -> Self {
        Self { upstream, problem }
    }

    /// Which upstream failed.
    #[must_use]
    pub fn upstream(&self) -> &Host {
        &self.upstream
    }

    /// What went wrong.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// Whether a retry may succeed: the upstream is down, slow, busy or sent damaged content. Tells
    /// nothing about its content.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match &self.problem {
            Problem::Unreachable(_)
            | Problem::Tls(_)
            | Problem::Timeout { .. }
            | Problem::RateLimited { .. }
            | Problem::Cut { .. }
            | Problem::Resting { .. }
            | Problem::Busy { .. }
            | Problem::Offline => true,
            // 501 and 505 concern the request, however often it is sent (RFC 9110, 15.6).
            Problem::Status { status, .. } => {
                *status == 408 || (*status >= 500 && !matches!(status, 501 | 505))
            }
            Problem::Denied { .. }
            | Problem::BadAnswer(_)
            | Problem::TooLarge { .. }
            | Problem::DigestMismatch { .. }
            | Problem::RangeOutside
            | Problem::Auth(_)
            | Problem::Refused(_) => false,
        }
    }

    /// The HTTP status of its answer, if that was the failure. Never 404: missing content is
    /// `None`.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match &self.problem {
            Problem::Status { status, .. } | Problem::Denied { status, .. } => Some(*status),
            Problem::RateLimited { .. } => Some(429),
            Problem::RangeOutside => Some(416),
            _ => None,
        }
    }

    /// Whether the upstream refused the request: 400, 401, 403, 405, 406, 410, 501, or no token for
    /// us. A retry changes nothing. For a look-up of referrers it means: none for us.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match &self.problem {
            Problem::Denied { .. } | Problem::Auth(_) => true,
            Problem::Status { status, .. } => matches!(status, 400 | 405 | 406 | 410 | 501),
            _ => false,
        }
    }

    /// How long to wait before a retry, if known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match &self.problem {
            Problem::RateLimited { retry_after, .. } => *retry_after,
            Problem::Resting { retry_after, .. } | Problem::Busy { retry_after } => {
                Some(*retry_after)
            }
            _ => None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => {
                write!(
                    f,
                    "cannot be reached ({why}); check its URL and the network"
                )
            }
            Self::Tls(why) => write!(
                f,
                "the TLS handshake failed ({why}); if its certificate is your own, name the \
                 authority with ca_file"
            ),
            Self::Timeout { waiting, after } => {
                write!(f, "did not {waiting} within {after:?}; try again later")
            }
            Self::Status {
                status,
                code,
                message,
            } => {
                write!(f, "answered status {status}")?;
                own_words(f, code.as_deref(), message.as_deref())
            }
            Self::Denied {
                status,
                code,
                message,
                with_credentials,
            } => {
                write!(f, "denied access with status {status}")?;
                own_words(f, code.as_deref(), message.as_deref())?;
                f.write_str(if *with_credentials {
                    "; the configured credentials may not read this, or it does not exist there"
                } else {
                    "; it does not exist there, or reading it needs credentials for this upstream"
                })
            }
            Self::RateLimited {
                retry_after,
                message,
            } => {
                f.write_str("limits our rate")?;
                own_words(f, None, message.as_deref())?;
                match retry_after {
                    Some(wait) => write!(f, "; ask again in {} s", wait.as_secs().max(1)),
                    None => f.write_str("; ask again later, or configure credentials for it"),
                }
            }
            Self::BadAnswer(what) => write!(f, "gave an answer that no registry gives: {what}"),
            Self::TooLarge { what, limit } => {
                write!(
                    f,
                    "sent {what} of more than {limit} bytes, which is the limit"
                )
            }
            Self::DigestMismatch { expected, found } => write!(
                f,
                "sent content that hashes to {found} where {expected} was expected; nothing of \
                 it is kept"
            ),
            Self::Cut { received, expected } => {
                write!(f, "broke off after {received} of {expected} bytes")
            }
            Self::RangeOutside => f.write_str("has no such byte range of this blob"),
            Self::Auth(why) | Self::Refused(why) => f.write_str(why),
            Self::Resting { retry_after, last } => write!(
                f,
                "failed too often in a row and is left alone for {} s more; the last time it \
                 {last}",
                retry_after.as_secs().max(1)
            ),
            Self::Offline => f.write_str("is not asked, since this registry runs offline"),
            Self::Busy { retry_after } => write!(
                f,
                "sent a large document while this registry reads too many others; ask again in \
                 {} s",
                retry_after.as_secs().max(1)
            ),
        }
    }
}

/// The upstream's own words, quoted.
fn own_words(f: &mut fmt::Formatter<'_>, code: Option<&str>, message: Option<&str>) -> fmt::Result {
    match (code, message) {
        (Some(code), Some(message)) => write!(f, " ({code}: {message})"),
        (Some(text), None) | (None, Some(text)) => write!(f, " ({text})"),
        (None, None) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(problem: Problem) -> UpstreamError {
        let host: Host = "quay.io".parse().unwrap();
        UpstreamError::new(host, problem)
    }

    fn answered(status: u16) -> UpstreamError {
        of(match status {
            401 | 403 => Problem::Denied {
                status,
                code: None,
                message: None,
                with_credentials: false,
            },
            429 => Problem::RateLimited {
                retry_after: None,
                message: None,
            },
            _ => Problem::Status {
                status,
                code: None,
                message: None,
            },
        })
    }

    #[test]
    fn a_status_says_whether_waiting_helps_or_the_answer_is_final() {
        for (status, refusal, transient) in [
            (400, true, false),
            (401, true, false),
            (403, true, false),
            (405, true, false),
            (406, true, false),
            (408, false, true),
            (410, true, false),
            (418, false, false),
            (429, false, true),
            (500, false, true),
            (501, true, false),
            (502, false, true),
            (503, false, true),
            (504, false, true),
            (505, false, false),
        ] {
            let error = answered(status);
            assert_eq!(error.status(), Some(status));
            assert_eq!(error.is_refusal(), refusal, "{status}");
            assert_eq!(error.is_transient(), transient, "{status}");
        }
        let late = of(Problem::Timeout {
            waiting: Waiting::Answer,
            after: Duration::from_secs(1),
        });
        assert_eq!(late.status(), None);
        assert!(late.is_transient() && !late.is_refusal());
        assert!(!of(Problem::Offline).is_refusal());
    }
}
