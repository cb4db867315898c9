//! Durations in settings.

use std::time::Duration;

use jiff::SpanRelativeTo;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// A length of time as people write it: `30s`, `1m 30s`, `500ms`, `90d`. A day has
/// 24 hours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time(Duration);

impl Time {
    pub(crate) fn duration(self) -> Duration {
        self.0
    }
}

impl From<Duration> for Time {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse::<jiff::Span>()
            .ok()
            .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok())
            .and_then(|signed| Duration::try_from(signed).ok())
            .map(Self)
            .ok_or_else(|| {
                D::Error::custom(format!(
                    "'{text}' is not a length of time: expected a number with a unit, such as \
                     30s or 5m"
                ))
            })
    }
}
