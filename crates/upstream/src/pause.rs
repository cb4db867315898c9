//! Backs off from an upstream that answers 429: all requests of a kind wait together, instead of
//! each meeting the limit by itself.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The longest pause, whatever the upstream asks for: limits are lifted, and credentials change.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Requests that are limited together. Public registries count the reading of manifests, and
/// neither HEADs nor blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// GET of a manifest.
    Manifest,
    /// All else.
    Other,
}

/// The pause of each lane.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    manifest: Mutex<Option<Instant>>,
    other: Mutex<Option<Instant>>,
}

impl Pauses {
    fn of(&self, lane: Lane) -> &Mutex<Option<Instant>> {
        match lane {
            Lane::Manifest => &self.manifest,
            Lane::Other => &self.other,
        }
    }

    /// Notes a 429. One without `Retry-After` does not pause other requests.
    pub(crate) fn limited(&self, lane: Lane, retry_after: Option<Duration>, now: Instant) {
        if let Some(wait) = retry_after {
            *self.of(lane).lock() = Some(now + wait.min(LONGEST_PAUSE));
        }
    }

    /// The remaining pause of a lane.
    pub(crate) fn remaining(&self, lane: Lane, now: Instant) -> Option<Duration> {
        let until = (*self.of(lane).lock())?;
        until
            .checked_duration_since(now)
            .filter(|wait| !wait.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_on_manifests_leaves_blobs_alone_and_ends() {
        let pauses = Pauses::default();
        let now = Instant::now();
        let wait = Duration::from_secs(7);
        pauses.limited(Lane::Manifest, Some(wait), now);
        assert_eq!(pauses.remaining(Lane::Manifest, now), Some(wait));
        assert_eq!(pauses.remaining(Lane::Other, now), None);
        assert_eq!(pauses.remaining(Lane::Manifest, now + wait), None);
    }

    #[test]
    fn no_pause_is_longer_than_a_minute() {
        let pauses = Pauses::default();
        let now = Instant::now();
        pauses.limited(Lane::Other, Some(Duration::from_secs(6 * 3600)), now);
        assert_eq!(pauses.remaining(Lane::Other, now), Some(LONGEST_PAUSE));
    }
}
