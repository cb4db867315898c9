//! A circuit breaker: an upstream that fails repeatedly is not asked for a while, so that callers
//! fail at once instead of each waiting for its own timeout.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Failures in a row that open the circuit.
const FAILURES_TO_OPEN: u32 = 5;
/// The first pause; each failed probe doubles it.
const FIRST_REST: Duration = Duration::from_secs(5);
/// The longest pause.
const LONGEST_REST: Duration = Duration::from_secs(60);
/// A probe without a result counts as lost after this.
const PROBE_LOST: Duration = Duration::from_secs(120);

#[derive(Debug)]
pub(crate) struct Breaker {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    failures: u32,
    rest: Duration,
    /// While the circuit is open: when a probe is admitted.
    resting_until: Option<Instant>,
    /// The last failure.
    last: String,
}

/// The circuit is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resting {
    /// The remaining time.
    pub(crate) remaining: Duration,
    /// The last failure.
    pub(crate) last: String,
}

/// The role of an admitted request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// An ordinary request.
    Usual,
    /// The one that tests whether the upstream is back.
    Probe,
}

impl State {
    const fn healthy() -> Self {
        Self {
            failures: 0,
            rest: FIRST_REST,
            resting_until: None,
            last: String::new(),
        }
    }
}

impl Breaker {
    pub(crate) const fn new() -> Self {
        Self {
            state: Mutex::new(State::healthy()),
        }
    }

    /// Admits a request, or not.
    pub(crate) fn admit(&self, now: Instant) -> Result<Admitted, Resting> {
        let mut state = self.state.lock();
        match state.resting_until {
            None => Ok(Admitted::Usual),
            Some(until) if until > now => Err(Resting {
                remaining: until - now,
                last: state.last.clone(),
            }),
            Some(_) => {
                state.resting_until = Some(now + PROBE_LOST);
                Ok(Admitted::Probe)
            }
        }
    }

    /// Whether the circuit is open, or was and no request has succeeded since.
    pub(crate) fn is_open(&self) -> bool {
        self.state.lock().resting_until.is_some()
    }

    /// Notes an answer of any status: the upstream is up.
    pub(crate) fn succeeded(&self) {
        *self.state.lock() = State::healthy();
    }

    /// Notes a failure. Requests that were running when the circuit opened no longer count.
    pub(crate) fn failed(&self, admitted: Admitted, why: String, now: Instant) {
        let mut state = self.state.lock();
        state.failures = state.failures.saturating_add(1);
        state.last = why;
        if admitted == Admitted::Probe {
            state.rest = (state.rest * 2).min(LONGEST_REST);
            state.resting_until = Some(now + state.rest);
        } else if state.failures >= FAILURES_TO_OPEN && state.resting_until.is_none() {
            state.resting_until = Some(now + state.rest);
        }
    }

    /// Notes a request without a result: if it was the probe, the next request is one.
    pub(crate) fn abandoned(&self, admitted: Admitted, now: Instant) {
        if admitted == Admitted::Probe {
            self.state.lock().resting_until = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn down() -> String {
        "down".to_owned()
    }

    fn resting(remaining: Duration) -> Result<Admitted, Resting> {
        Err(Resting {
            remaining,
            last: down(),
        })
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_a_good_probe_closes_it() {
        let breaker = Breaker::new();
        let start = Instant::now();
        for _ in 0..4 {
            breaker.failed(Admitted::Usual, down(), start);
        }
        assert!(breaker.admit(start).is_ok());
        breaker.failed(Admitted::Usual, down(), start);
        breaker.failed(Admitted::Usual, down(), start);
        assert_eq!(breaker.admit(start), resting(FIRST_REST));
        let later = start + FIRST_REST;
        assert!(breaker.admit(later).is_ok(), "the probe");
        assert!(breaker.admit(later).is_err(), "only one probe");
        breaker.succeeded();
        assert!(breaker.admit(later).is_ok());
    }

    #[test]
    fn a_failed_probe_doubles_the_rest_and_a_vanished_one_frees_its_place() {
        let breaker = Breaker::new();
        let start = Instant::now();
        for _ in 0..5 {
            breaker.failed(Admitted::Usual, down(), start);
        }
        let later = start + FIRST_REST;
        assert!(breaker.admit(later).is_ok());
        breaker.failed(Admitted::Probe, down(), later);
        assert_eq!(breaker.admit(later), resting(FIRST_REST * 2));
        let much_later = later + FIRST_REST * 2;
        assert!(breaker.admit(much_later).is_ok());
        breaker.abandoned(Admitted::Probe, much_later);
        assert!(breaker.admit(much_later).is_ok());
    }

    #[test]
    fn a_success_between_failures_starts_the_count_anew() {
        let breaker = Breaker::new();
        let now = Instant::now();
        for _ in 0..20 {
            for _ in 0..4 {
                breaker.failed(Admitted::Usual, down(), now);
            }
            breaker.succeeded();
        }
        assert!(breaker.admit(now).is_ok());
    }
}
