//! A brake on guessing passwords: after too many failures of one name from one address, the
//! next try is refused unseen. Counts failures only, in bounded memory, per process.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use moka::future::Cache;

use crate::AuthError;

/// Failures of one name from one address before it must wait.
const MAX_FAILURES: u32 = 20;
/// How long failures count, from the first.
pub(crate) const WINDOW: Duration = Duration::from_secs(300);
/// Names and addresses remembered.
const CAPACITY: u64 = 20_000;

/// Who tries: an account's name, and the address.
pub(crate) type Attempt = (Box<str>, IpAddr);

#[derive(Debug)]
pub(crate) struct Limiter {
    failures: Cache<Attempt, Arc<AtomicU32>>,
}

impl Limiter {
    pub(crate) fn new() -> Self {
        let failures = Cache::builder()
            .max_capacity(CAPACITY)
            .time_to_live(WINDOW)
            .build();
        Self { failures }
    }

    /// What is counted together. An IPv6 customer holds a whole /64, so that is one address.
    /// Without an address nothing is counted, or anybody could lock an account out.
    pub(crate) fn attempt(name: &str, from: Option<IpAddr>) -> Option<Attempt> {
        let from = match from?.to_canonical() {
            IpAddr::V6(address) => {
                let network = u128::from(address) & !u128::from(u64::MAX);
                IpAddr::V6(network.into())
            }
            address @ IpAddr::V4(_) => address,
        };
        Some((name.into(), from))
    }

    /// Refuses an attempt that has failed too often of late.
    pub(crate) async fn check(&self, attempt: Option<&Attempt>) -> Result<(), AuthError> {
        let Some(attempt) = attempt else {
            return Ok(());
        };
        let failed = self.failures.get(attempt).await;
        match failed {
            Some(count) if count.load(Ordering::Relaxed) >= MAX_FAILURES => {
                Err(AuthError::TooMany {
                    retry_after: WINDOW,
                })
            }
            _ => Ok(()),
        }
    }

    pub(crate) async fn failed(&self, attempt: Option<Attempt>) {
        let Some(attempt) = attempt else { return };
        let count = self
            .failures
            .get_with(attempt, async { Arc::default() })
            .await;
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) async fn succeeded(&self, attempt: Option<&Attempt>) {
        if let Some(attempt) = attempt {
            self.failures.invalidate(attempt).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_name_and_address_that_failed_must_wait_and_success_forgives() {
        let limiter = Limiter::new();
        let here = Limiter::attempt("alice", Some("192.0.2.1".parse().unwrap()));
        let there = Limiter::attempt("alice", Some("192.0.2.2".parse().unwrap()));
        for _ in 0..MAX_FAILURES {
            assert!(limiter.check(here.as_ref()).await.is_ok());
            limiter.failed(here.clone()).await;
        }
        assert!(matches!(
            limiter.check(here.as_ref()).await,
            Err(AuthError::TooMany { .. })
        ));
        assert!(limiter.check(there.as_ref()).await.is_ok());
        limiter.succeeded(here.as_ref()).await;
        assert!(limiter.check(here.as_ref()).await.is_ok());
    }

    #[test]
    fn addresses_of_one_network_count_as_one() {
        let attempt = |address: &str| Limiter::attempt("a", Some(address.parse().unwrap()));
        assert_eq!(attempt("2001:db8::1"), attempt("2001:db8::ffff"));
        assert_ne!(attempt("2001:db8::1"), attempt("2001:db8:0:1::1"));
        assert_eq!(attempt("::ffff:192.0.2.1"), attempt("192.0.2.1"));
        assert_ne!(attempt("192.0.2.1"), attempt("192.0.2.2"));
    }
}
