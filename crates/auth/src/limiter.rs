//! A rate limit on guessing passwords: after too many failures for one name from one client
//! network, the next attempt is refused without a check. An attempt counts as failed from before it
//! is checked until it succeeds, so that concurrent attempts cannot exceed the limit. In bounded
//! memory, per process.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use metahub_limits::Network;
use moka::future::Cache;

/// Failures of one name from one network before it must wait.
pub(crate) const MAX_FAILURES: u32 = 20;
/// How long failures count, from the first.
pub(crate) const WINDOW: Duration = Duration::from_secs(300);
/// Most names and networks that are remembered. Bounded, because callers choose the names.
const CAPACITY: u64 = 20_000;

/// What failures are counted by: an account's name, and the client network.
pub(crate) type Attempt = (Box<str>, Network);

#[derive(Debug)]
pub(crate) struct Limiter {
    failures: Cache<Attempt, Arc<AtomicU32>>,
}

/// An attempt that is being checked: counts as a failure unless it succeeds.
#[derive(Debug)]
pub(crate) struct Try {
    counted: Option<(Attempt, Arc<AtomicU32>)>,
}

/// Too many recent failures.
#[derive(Debug)]
pub(crate) struct TooMany;

impl Limiter {
    pub(crate) fn new() -> Self {
        let failures = Cache::builder()
            .max_capacity(CAPACITY)
            .time_to_live(WINDOW)
            .build();
        Self { failures }
    }

    /// The key of an attempt. Without an address nothing is counted, or anyone could lock an
    /// account out.
    pub(crate) fn attempt(name: &str, from: Option<IpAddr>) -> Option<Attempt> {
        Some((name.into(), Network::of(from?)))
    }

    /// Counts an attempt before it is checked, or refuses it.
    pub(crate) async fn begin(&self, attempt: Option<Attempt>) -> Result<Try, TooMany> {
        let Some(attempt) = attempt else {
            return Ok(Try { counted: None });
        };
        let none = async { Arc::default() };
        let count = self.failures.get_with(attempt.clone(), none).await;
        let one_more = |failed: u32| (failed < MAX_FAILURES).then_some(failed + 1);
        count
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more)
            .map_err(|_| TooMany)?;
        Ok(Try {
            counted: Some((attempt, count)),
        })
    }

    /// The password was right: clears the failures.
    pub(crate) async fn succeeded(&self, tried: Try) {
        if let Some((attempt, _)) = tried.counted {
            self.failures.invalidate(&attempt).await;
        }
    }
}

impl Try {
    /// It was not checked after all.
    pub(crate) fn was_not_checked(self) {
        if let Some((_, count)) = self.counted {
            count.fetch_sub(1, Ordering::AcqRel);
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
        let mut last = None;
        for _ in 0..MAX_FAILURES {
            last = Some(limiter.begin(here.clone()).await.unwrap());
        }
        assert!(limiter.begin(here.clone()).await.is_err());
        assert!(limiter.begin(there).await.is_ok());
        limiter.succeeded(last.unwrap()).await;
        assert!(limiter.begin(here).await.is_ok());
    }

    #[tokio::test]
    async fn what_was_not_checked_does_not_count() {
        let limiter = Limiter::new();
        let here = Limiter::attempt("alice", Some("192.0.2.1".parse().unwrap()));
        for _ in 0..10 * MAX_FAILURES {
            limiter.begin(here.clone()).await.unwrap().was_not_checked();
        }
        assert!(limiter.begin(here).await.is_ok());
    }
}
