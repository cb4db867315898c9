//! Single flight: work that many ask for at once and one does.
//!
//! The first caller for a key leads and does its work within its own task; others wait for its
//! result. If the leader goes away, because its client left or its work panicked, one of the
//! waiting callers takes over with its own work, so no caller is abandoned and none gets another's
//! panic. The result goes to those who waited for it, and is not remembered: the entry of a key
//! ends with its work, or with the last caller that leaves. Caches remember, see
//! [`Coalesced`](crate::cache::coalesced::Coalesced).
//!
//! Waiting callers, and the bytes of their keys and results, are bounded: a caller beyond that gets
//! [`Busy`].

use std::collections::HashMap;
use std::hash::Hash;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::error::RegistryError;

/// Bytes counted for one caller: about what its key and its place in the queue take.
const KEY: u64 = 512;

/// The callers or bytes that wait in one [`SingleFlight`] are at their limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Busy;

/// Limits on what waits in one [`SingleFlight`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Callers, leaders included.
    pub(crate) callers: usize,
    /// Bytes of keys, and of results that some waiting callers have not taken.
    pub(crate) bytes: u64,
}

impl Default for Limits {
    /// Above the server's limit on concurrent requests: reached only if something delays callers.
    fn default() -> Self {
        Self {
            callers: 16 * 1024,
            bytes: 256 * 1024 * 1024,
        }
    }
}

/// The result of work, as one caller gets it.
#[derive(Debug)]
pub(crate) struct Landed<V> {
    /// The result.
    pub(crate) value: V,
    /// Whether this caller did the work.
    pub(crate) led: bool,
}

/// The running work, by key.
pub(crate) struct SingleFlight<K, V> {
    state: Mutex<State<K, V>>,
    limits: Limits,
    /// How many bytes a result takes while it waits.
    weigh: Box<dyn Fn(&V) -> u64 + Send + Sync>,
}

struct State<K, V> {
    flights: HashMap<K, Arc<Flight<V>>>,
    callers: usize,
    bytes: u64,
}

/// Work for one key: running, or about to be taken over.
struct Flight<V> {
    result: OnceLock<V>,
    /// Whether a caller does the work now.
    led: AtomicBool,
    /// Wakes one caller when there is no leader any more, and all when there is a result.
    changed: Notify,
    /// Callers that have not left. Changed under the lock of the map.
    callers: AtomicU64,
    /// Bytes that count for it.
    bytes: AtomicU64,
}

impl<K, V> SingleFlight<K, V> {
    /// `weigh` says how many bytes a result takes while it waits.
    pub(crate) fn new(limits: Limits, weigh: impl Fn(&V) -> u64 + Send + Sync + 'static) -> Self {
        let state = State {
            flights: HashMap::new(),
            callers: 0,
            bytes: 0,
        };
        Self {
            state: Mutex::new(state),
            limits,
            weigh: Box::new(weigh),
        }
    }

    /// How many keys there is work for.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().flights.len()
    }
}

impl<K: Clone + Eq + Hash, V: Clone> SingleFlight<K, V> {
    /// The result of the work for `key`: of `work`, or of another caller's. `work` is not begun
    /// while another runs.
    ///
    /// # Errors
    /// [`Busy`], before anything is begun.
    pub(crate) async fn run(
        &self,
        key: K,
        work: impl Future<Output = V>,
    ) -> Result<Landed<V>, Busy> {
        let caller = self.join(key)?;
        let flight = &caller.flight;
        loop {
            let lead = {
                let mut changed = pin!(flight.changed.notified());
                // From here on nothing that changes is missed.
                changed.as_mut().enable();
                if let Some(value) = flight.result.get() {
                    let value = value.clone();
                    return Ok(Landed { value, led: false });
                }
                match Lead::take(flight) {
                    Some(lead) => lead,
                    None => {
                        changed.await;
                        continue;
                    }
                }
            };
            let value = work.await;
            caller.land(&value);
            drop(lead);
            return Ok(Landed { value, led: true });
        }
    }

    fn join(&self, key: K) -> Result<Caller<'_, K, V>, Busy> {
        let mut state = self.state.lock();
        let known = state.flights.get(&key).map(Arc::clone);
        if state.callers >= self.limits.callers || state.bytes + KEY > self.limits.bytes {
            return Err(Busy);
        }
        let flight = known.unwrap_or_else(|| {
            let flight = Arc::new(Flight {
                result: OnceLock::new(),
                led: AtomicBool::new(false),
                changed: Notify::new(),
                callers: AtomicU64::new(0),
                bytes: AtomicU64::new(0),
            });
            state.flights.insert(key.clone(), Arc::clone(&flight));
            flight
        });
        state.callers += 1;
        state.bytes += KEY;
        flight.callers.fetch_add(1, Ordering::Relaxed);
        flight.bytes.fetch_add(KEY, Ordering::Relaxed);
        Ok(Caller {
            of: self,
            key,
            flight,
        })
    }
}

impl<K: Eq + Hash, V> State<K, V> {
    /// Removes a flight, so that the next caller begins a new one; never a later flight of the key.
    fn remove(&mut self, key: &K, flight: &Arc<Flight<V>>) {
        let current = self.flights.get(key);
        if current.is_some_and(|current| Arc::ptr_eq(current, flight)) {
            self.flights.remove(key);
        }
    }
}

/// A caller, for as long as it waits or leads.
struct Caller<'f, K: Eq + Hash, V> {
    of: &'f SingleFlight<K, V>,
    key: K,
    flight: Arc<Flight<V>>,
}

impl<K: Eq + Hash, V: Clone> Caller<'_, K, V> {
    /// Hands the result to the waiting callers; later ones begin a new flight.
    fn land(&self, value: &V) {
        let mut state = self.of.state.lock();
        state.remove(&self.key, &self.flight);
        if self.flight.callers.load(Ordering::Relaxed) > 1 {
            let size = (self.of.weigh)(value);
            state.bytes += size;
            self.flight.bytes.fetch_add(size, Ordering::Relaxed);
        }
        drop(state);
        let _ = self.flight.result.set(value.clone());
        self.flight.changed.notify_waiters();
    }
}

impl<K: Eq + Hash, V> Drop for Caller<'_, K, V> {
    fn drop(&mut self) {
        let mut state = self.of.state.lock();
        state.callers -= 1;
        if self.flight.callers.fetch_sub(1, Ordering::Relaxed) == 1 {
            state.bytes -= self.flight.bytes.load(Ordering::Relaxed);
            state.remove(&self.key, &self.flight);
        }
    }
}

/// The duty to do the work.
struct Lead<'f, V>(&'f Flight<V>);

impl<'f, V> Lead<'f, V> {
    fn take(flight: &'f Flight<V>) -> Option<Self> {
        let free = flight
            .led
            .compare_exchange(false, true, Ordering::AcqRel, Ordering::Acquire);
        // Made only if it was free: dropping one releases the lead.
        free.is_ok().then(|| Self(flight))
    }
}

impl<V> Drop for Lead<'_, V> {
    fn drop(&mut self) {
        self.0.led.store(false, Ordering::Release);
        if self.0.result.get().is_none() {
            // It was cancelled, or panicked. If the woken caller leaves at once, the next is woken.
            self.0.changed.notify_one();
        }
    }
}

impl From<Busy> for RegistryError {
    fn from(_: Busy) -> Self {
        Self::Busy
    }
}

#[cfg(test)]
#[path = "single_flight_tests.rs"]
mod tests;
