//! Durations in the configuration.

use std::time::Duration;

use serde::{Deserialize as _, Deserializer};

/// Reads a duration as people write it: `30s`, `1m 30s`, `500ms`.
pub(crate) fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    let expected = || {
        serde::de::Error::custom(format!(
            "'{text}' is not a duration: expected a number with a unit, such as 30s or 500ms"
        ))
    };
    let signed: jiff::SignedDuration = text.parse().map_err(|_| expected())?;
    Duration::try_from(signed).map_err(|_| expected())
}
