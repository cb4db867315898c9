//! The minimum rate of a body, and its measurement.

use std::time::Duration;

/// The minimum rate of a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// The longest wait for a piece, and the time over which the rate is measured.
    pub(crate) between_bytes: Duration,
    /// The lowest rate, in bytes per second.
    pub(crate) slowest_rate: u64,
}

/// Measures the rate over the time spent waiting for the upstream. Time in which our own reader
/// was slow does not count.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    waited: Duration,
    received: u64,
}

impl Meter {
    pub(crate) fn is_too_slow(&mut self, bytes: u64, waited: Duration, pace: Pace) -> bool {
        self.waited += waited;
        self.received = self.received.saturating_add(bytes);
        if self.waited < pace.between_bytes {
            return false;
        }
        let least = self.waited.as_secs_f64() * pace.slowest_rate as f64;
        let too_slow = (self.received as f64) < least;
        *self = Self::default();
        too_slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        between_bytes: Duration::from_secs(30),
        slowest_rate: 1024,
    };

    #[test]
    fn a_drip_is_too_slow_and_a_trickle_is_not() {
        let second = Duration::from_secs(1);
        let verdict = |bytes: u64| {
            let mut meter = Meter::default();
            (0..120).any(|_| meter.is_too_slow(bytes, second, PACE))
        };
        assert!(verdict(1));
        assert!(verdict(1000));
        assert!(!verdict(2000));
    }

    #[test]
    fn a_fast_upstream_is_not_blamed_for_a_slow_reader() {
        let mut meter = Meter::default();
        let quick = Duration::from_micros(10);
        assert!(!(0..100_000).any(|_| meter.is_too_slow(1, quick, PACE)));
    }
}
