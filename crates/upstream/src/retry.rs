//! Whether and when a failed request is tried again. Decides only; `ask` sleeps.

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::duration::duration;
use crate::error::Problem;

/// The retry policy.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetryPolicy {
    /// Most attempts of one request; at least 1.
    pub attempts: u32,
    /// The first wait; each further one doubles, and a random part of it is taken.
    #[serde(deserialize_with = "duration")]
    #[schemars(with = "String")]
    pub first_wait: Duration,
    /// The longest wait between two attempts that we choose ourselves.
    #[serde(deserialize_with = "duration")]
    #[schemars(with = "String")]
    pub longest_wait: Duration,
    /// No attempt begins later than this after the first; a `Retry-After` beyond it is an
    /// error at once.
    #[serde(deserialize_with = "duration")]
    #[schemars(with = "String")]
    pub patience: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 4,
            first_wait: Duration::from_millis(250),
            longest_wait: Duration::from_secs(5),
            patience: Duration::from_secs(20),
        }
    }
}

impl RetryPolicy {
    /// The wait before the next attempt; `None` if this failure is final.
    ///
    /// `tried` attempts were made, `elapsed` is the time since the first began, `dice` is random
    /// in 0..1.
    pub(crate) fn next_wait(
        &self,
        tried: u32,
        elapsed: Duration,
        problem: &Problem,
        asked_to_wait: Option<Duration>,
        dice: f64,
    ) -> Option<Duration> {
        if tried >= self.attempts || !worth_retrying(problem) {
            return None;
        }
        let doubled = self
            .first_wait
            .saturating_mul(
                1u32.checked_shl(tried.saturating_sub(1))
                    .unwrap_or(u32::MAX),
            )
            .min(self.longest_wait);
        // Half fixed and half random: clients that failed together do not retry together, and none
        // retries at once.
        let ours = doubled.mul_f64(0.5 + 0.5 * dice.clamp(0.0, 1.0));
        let wait = asked_to_wait.map_or(ours, |asked| asked.saturating_add(ours / 8));
        (elapsed.saturating_add(wait) <= self.patience).then_some(wait)
    }
}

/// Failures that are often gone a moment later.
fn worth_retrying(problem: &Problem) -> bool {
    match problem {
        Problem::Unreachable(_) | Problem::Timeout { .. } | Problem::RateLimited { .. } => true,
        Problem::Cut { .. } => true,
        Problem::Status { status, .. } => matches!(status, 408 | 500 | 502 | 503 | 504),
        _ => false,
    }
}

/// Reads `Retry-After`: seconds or a date (RFC 9110, 10.2.3).
pub(crate) fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let then = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(value)
        .ok()?;
    let wait = then.duration_since(now);
    Some(Duration::try_from(wait).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> RetryPolicy {
        RetryPolicy::default()
    }

    fn down() -> Problem {
        Problem::Unreachable("refused".into())
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let wait = |tried| {
            RetryPolicy {
                attempts: 99,
                patience: Duration::from_secs(3600),
                ..policy()
            }
            .next_wait(tried, Duration::ZERO, &down(), None, 1.0)
        };
        assert_eq!(wait(1), Some(Duration::from_millis(250)));
        assert_eq!(wait(2), Some(Duration::from_millis(500)));
        assert_eq!(wait(40), Some(Duration::from_secs(5)));
    }

    #[test]
    fn attempts_patience_and_final_failures_end_it() {
        let zero = Duration::ZERO;
        assert_eq!(policy().next_wait(4, zero, &down(), None, 0.5), None);
        let late = Duration::from_secs(20);
        assert_eq!(policy().next_wait(1, late, &down(), None, 0.5), None);
        let denied = Problem::Auth("no".into());
        assert_eq!(policy().next_wait(1, zero, &denied, None, 0.5), None);
    }

    #[test]
    fn a_wait_that_is_asked_for_is_kept_if_patience_allows() {
        let limited = Problem::RateLimited {
            retry_after: None,
            message: None,
        };
        let wait = |seconds| {
            let asked = Some(Duration::from_secs(seconds));
            policy().next_wait(1, Duration::ZERO, &limited, asked, 0.0)
        };
        assert!(wait(3).is_some_and(|w| w >= Duration::from_secs(3)));
        assert_eq!(wait(30), None);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "2015-10-21T07:27:30Z".parse().unwrap();
        assert_eq!(retry_after("120", now), Some(Duration::from_secs(120)));
        assert_eq!(
            retry_after("Wed, 21 Oct 2015 07:28:00 GMT", now),
            Some(Duration::from_secs(30))
        );
        let past = "Wed, 21 Oct 2015 07:27:00 GMT";
        assert_eq!(retry_after(past, now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
        assert_eq!(retry_after("-5", now), None);
    }
}
