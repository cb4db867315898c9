//! Admission control: a limit on the requests answered at once, in all and for one client network,
//! so that one client cannot keep the others out. Requests beyond it are refused with a time to
//! retry rather than queued: a queue would be filled by the same clients.

use http::header;
use metahub_limits::{Full, Network, Share, Shares};
use metahub_oci::ErrorCode;
use std::net::IpAddr;

use crate::error::HttpError;
use crate::limits::Limits;
use crate::metrics::Metrics;

/// Time to retry, in seconds.
const RETRY_AFTER: &str = "1";

/// Counts the requests that are being answered, until the last byte of the answer was sent.
#[derive(Debug)]
pub(crate) struct Admission(Shares);

impl Admission {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self(Shares::new(limits.requests, limits.requests_per_client))
    }

    /// Admits one request for `path` from `client`, until the share is dropped. Health checks need
    /// no share: they must be answered when the server is busiest.
    ///
    /// # Errors
    /// 503 with `Retry-After`.
    pub(crate) fn enter(
        &self,
        path: &str,
        client: IpAddr,
        metrics: &Metrics,
    ) -> Result<Option<Share>, HttpError> {
        if matches!(path, "/healthz" | "/readyz") {
            return Ok(None);
        }
        let full = match self.0.take(Network::of(client)) {
            Ok(share) => return Ok(Some(share)),
            Err(full) => full,
        };
        metrics.shed(full);
        let message = match full {
            Full::All => "as many requests are being answered as may be (limits.requests)",
            Full::Share => {
                "as many requests of this client are being answered as may be \
                 (limits.requests_per_client)"
            }
        };
        Err(
            HttpError::code(ErrorCode::Unavailable, format!("{message}: try again"))
                .with_header(header::RETRY_AFTER, RETRY_AFTER),
        )
    }

    /// How many requests are being answered.
    pub(crate) fn used(&self) -> usize {
        self.0.used()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_limits_requests_are_refused_and_health_is_still_answered() {
        let limits = Limits {
            requests: 3,
            requests_per_client: 2,
            ..Limits::default()
        };
        let (admission, metrics) = (Admission::new(&limits), Metrics::default());
        let enter = |path, number| admission.enter(path, [192, 0, 2, number].into(), &metrics);
        let held = [
            enter("/v2/", 1).unwrap(),
            enter("/v2/", 1).unwrap(),
            enter("/v2/", 2).unwrap(),
        ];
        for client in [1, 2, 3] {
            let refused = enter("/v2/", client).unwrap_err();
            assert_eq!(refused.status().as_u16(), 503);
            let answer = refused.into_response();
            assert_eq!(answer.headers()[header::RETRY_AFTER], "1");
        }
        assert!(enter("/healthz", 1).unwrap().is_none());
        assert!(enter("/readyz", 1).unwrap().is_none());
        assert_eq!(admission.used(), 3);
        drop(held);
        assert_eq!(admission.used(), 0);
    }
}
