//! A cache whose misses are computed once for all concurrent callers.

use std::hash::Hash;
use std::sync::Arc;

use moka::future::Cache;

use crate::cache::single_flight::{Busy, Landed, Limits, SingleFlight};
use crate::error::RegistryError;

/// Values by key, each computed by one caller. Errors go to the waiting callers, and are not
/// cached.
pub(crate) struct Coalesced<K, V, E = Arc<RegistryError>> {
    cache: Cache<K, V>,
    flights: SingleFlight<K, Result<V, E>>,
}

impl<K, V, E> Coalesced<K, V, E>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone,
{
    /// `weigh` says how many bytes a value takes while callers wait for it.
    pub(crate) fn new(
        cache: Cache<K, V>,
        weigh: impl Fn(&V) -> u64 + Send + Sync + 'static,
    ) -> Self {
        let weigh = move |value: &Result<V, E>| value.as_ref().map_or(0, &weigh);
        Self {
            cache,
            flights: SingleFlight::new(Limits::default(), weigh),
        }
    }

    /// What is cached.
    pub(crate) fn cache(&self) -> &Cache<K, V> {
        &self.cache
    }

    pub(crate) async fn get(&self, key: &K) -> Option<V> {
        self.cache.get(key).await
    }

    /// The cached value, or the result of `work` or of another caller's.
    pub(crate) async fn get_or(
        &self,
        key: K,
        work: impl Future<Output = Result<V, E>>,
    ) -> Result<Landed<Result<V, E>>, Busy> {
        let at = key.clone();
        let work = async {
            // It may have been cached since the caller looked.
            if let Some(known) = self.cache.get(&at).await {
                return Ok(known);
            }
            let value = work.await?;
            self.cache.insert(at, value.clone()).await;
            Ok(value)
        };
        self.flights.run(key, work).await
    }
}

impl<K, V> Coalesced<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The same; an error is marked as shared.
    pub(crate) async fn get_or_share(
        &self,
        key: K,
        work: impl Future<Output = Result<V, RegistryError>>,
    ) -> Result<V, RegistryError> {
        let work = async { work.await.map_err(Arc::new) };
        let landed = self.get_or(key, work).await?;
        landed.value.map_err(RegistryError::Shared)
    }

    /// The same for work that asks upstreams: one that refused another caller's account may accept
    /// this one's, whose work is done then.
    pub(crate) async fn get_or_ask<W>(
        &self,
        key: K,
        work: impl Fn() -> W,
    ) -> Result<V, RegistryError>
    where
        W: Future<Output = Result<V, RegistryError>>,
    {
        let led = async { work().await.map_err(Arc::new) };
        let landed = self.get_or(key, led).await?;
        match landed.value {
            Err(error) if error.is_not_allowed() && !landed.led => work().await,
            value => value.map_err(RegistryError::Shared),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn cache() -> Coalesced<u8, u64> {
        Coalesced::new(Cache::new(10), |_| 8)
    }

    #[tokio::test]
    async fn a_value_is_worked_out_once_and_an_error_again() {
        let (cache, works) = (cache(), AtomicUsize::new(0));
        let work = |outcome: Result<u64, ()>| {
            works.fetch_add(1, Ordering::Relaxed);
            async move { outcome.map_err(|()| RegistryError::Broken("x".to_owned())) }
        };
        for expected in 1..=2 {
            assert!(cache.get_or_ask(1, || work(Err(()))).await.is_err());
            assert_eq!(works.load(Ordering::Relaxed), expected);
        }
        for _ in 0..2 {
            assert_eq!(cache.get_or_ask(1, || work(Ok(7))).await.unwrap(), 7);
            assert_eq!(works.load(Ordering::Relaxed), 3);
        }
        assert_eq!(cache.get(&1).await, Some(7));
    }

    #[tokio::test]
    async fn what_another_caller_was_refused_is_asked_for_again() {
        let cache = cache();
        let (open, opened) = tokio::sync::oneshot::channel::<()>();
        let opened = std::sync::Mutex::new(Some(opened));
        let host: metahub_oci::Host = "quay.io".parse().unwrap();
        let refused = cache.get_or_ask(1, || {
            let opened = opened.lock().unwrap().take().unwrap();
            let error = crate::error::NotAllowed::NotHere(host.clone());
            async move {
                opened.await.unwrap();
                Err(error.into())
            }
        });
        let mut refused = std::pin::pin!(refused);
        assert!(futures_util::poll!(refused.as_mut()).is_pending());
        let given = cache.get_or_ask(1, || async { Ok(9) });
        let mut given = std::pin::pin!(given);
        assert!(futures_util::poll!(given.as_mut()).is_pending());
        open.send(()).unwrap();
        assert!(refused.await.unwrap_err().is_not_allowed());
        assert_eq!(given.await.unwrap(), 9);
    }
}
