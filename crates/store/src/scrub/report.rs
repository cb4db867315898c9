//! The options and the report of a scrub.

use metahub_oci::{Digest, RepositoryName};
use serde::{Deserialize, Serialize};

/// How content is scrubbed.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScrubOptions {
    /// At most so many bytes a second, to leave the disk to others.
    pub bytes_per_second: Option<u64>,
    /// Only report problems.
    pub dry_run: bool,
    /// Take blobs from their repositories however many are missing or damaged, and let go of
    /// files that the database does not name.
    pub accept_loss: bool,
}

/// How far a scrub is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrubProgress {
    /// Blobs and manifests that were checked.
    pub checked: u64,
    /// Blobs and manifests there are.
    pub total: u64,
    /// Bytes that were reread.
    pub bytes: u64,
}

/// What is wrong with one blob or manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The content that is damaged, or that is missing.
    pub digest: Digest,
    /// What is wrong, in words.
    pub problem: String,
    /// The repositories that are affected.
    pub repositories: Vec<RepositoryName>,
    /// The images it may be fetched from again.
    pub sources: Vec<String>,
}

/// What a scrub found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScrubReport {
    /// How much was checked.
    pub progress: ScrubProgress,
    /// Blobs that are damaged or gone; of very many the first, see `absent` and `damaged`.
    pub blobs: Vec<Finding>,
    /// Manifests that are damaged.
    pub manifests: Vec<Finding>,
    /// Content that a pushed manifest refers to and that its repository does not hold.
    pub missing: Vec<Finding>,
    /// What SQLite finds wrong with the database itself.
    pub database: Vec<String>,
    /// How many blobs are files.
    pub files: u64,
    /// How many files are missing.
    pub absent: u64,
    /// How many blobs are damaged.
    pub damaged: u64,
    /// Why damaged content was left in its repositories, if it was.
    pub withheld: Option<String>,
    /// Blobs whose files were there, right and without a row, and that a pushed manifest names:
    /// they are in its repository again.
    pub adopted: Vec<Digest>,
    /// Files in the places of blobs that no row names. Interrupted work leaves some.
    pub orphans: u64,
    /// What speaks for a database and blobs that are not of the same time.
    pub notes: Vec<String>,
}

impl ScrubReport {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.blobs.is_empty()
            && self.manifests.is_empty()
            && self.missing.is_empty()
            && self.database.is_empty()
            && self.notes.is_empty()
    }
}
