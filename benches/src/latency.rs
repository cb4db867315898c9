//! Times of many requests, and what share of them was how fast. Every time is kept: percentiles
//! are exact to the microsecond.

use std::time::Duration;

/// Times of requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latencies {
    microseconds: Vec<u32>,
}

impl Latencies {
    /// Adds one request's time.
    pub(crate) fn add(&mut self, time: Duration) {
        self.microseconds
            .push(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
    }

    /// Adds those of others.
    pub(crate) fn extend(&mut self, others: Self) {
        self.microseconds.extend(others.microseconds);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.microseconds.len()
    }

    /// The time in milliseconds that `percent` of the requests did not pass; nothing of none.
    pub(crate) fn percentile(&mut self, percent: usize) -> Option<f64> {
        let at = self.microseconds.len().saturating_sub(1) * percent.min(100) / 100;
        if at >= self.microseconds.len() {
            return None;
        }
        let (_, time, _) = self.microseconds.select_nth_unstable(at);
        Some(f64::from(*time) / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_times() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentile(50), None);
        for milliseconds in (1..=101).rev() {
            latencies.add(Duration::from_millis(milliseconds));
        }
        assert_eq!(latencies.percentile(0), Some(1.0));
        assert_eq!(latencies.percentile(50), Some(51.0));
        assert_eq!(latencies.percentile(99), Some(100.0));
        assert_eq!(latencies.percentile(100), Some(101.0));
        assert_eq!(latencies.len(), 101);
    }
}
