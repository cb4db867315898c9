//! Manifests that an operator pinned.

use std::time::SystemTime;

use metahub_oci::{Digest, RepositoryName};

use super::shared::Answer;

/// A manifest that stays until its pin is removed, with all that it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The repository that holds it.
    pub repository: RepositoryName,
    /// The manifest or index.
    pub digest: Digest,
    /// When it was pinned.
    pub pinned_at: SystemTime,
}

/// The result of pinning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pinning {
    /// It is pinned, now or since before.
    Done,
    /// The repository does not hold it.
    Absent,
    /// There are as many pins as there may be.
    Full,
}

/// Pins. A pinned manifest is never evicted nor stale, and neither is what it leads to. Its pin is
/// removed when the manifest is deleted by name.
pub(crate) trait PinRecords: Send + Sync {
    /// Pins a manifest, durably, unless there are `most` pins.
    fn pin(&self, repository: &RepositoryName, digest: &Digest, most: u64) -> Answer<'_, Pinning>;

    /// Removes a pin, durably. Returns whether there was one.
    fn unpin(&self, repository: &RepositoryName, digest: &Digest) -> Answer<'_, bool>;

    /// All pins, in order of their names and digests.
    fn pins(&self) -> Answer<'_, Vec<Pin>>;
}
