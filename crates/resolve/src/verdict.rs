//! Why an entry of an index was kept or left out: the material of explanations.

use metahub_hardware::Feature;
use metahub_oci::Digest;
use serde::{Deserialize, Serialize};

use crate::candidate::Candidate;

/// What became of one entry of an index, and why. The field names are those of the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Its place in the index, from 0.
    pub position: usize,
    /// The image that a collection's entry points to.
    pub image: Option<String>,
    /// The digest of its manifest.
    pub digest: Digest,
    /// Its platform, `os/architecture` or `os/architecture/variant`.
    pub platform: Option<String>,
    /// What it requires, as written, in order.
    pub requires: Vec<String>,
    /// Whether it is served.
    pub kept: bool,
    /// Its place among the entries for its machine that fit, from 1.
    pub rank: Option<usize>,
    /// Why, in words.
    pub reason: String,
}

impl Verdict {
    /// The headings over [`Verdict::cells`].
    pub const HEADINGS: [&'static str; 5] = ["", "IMAGE", "PLATFORM", "REQUIRES", "WHY"];

    /// The verdict as the cells of a row: a mark (`✓` when served), the image or the short form
    /// of its digest, its platform, what it requires, and why.
    #[must_use]
    pub fn cells(&self) -> [String; 5] {
        let mark = if self.kept { "✓" } else { "" };
        let short = || self.digest.short().to_owned();
        let requires = if self.requires.is_empty() {
            "nothing".to_owned()
        } else {
            brief(&self.requires).join(", ")
        };
        [
            mark.to_owned(),
            self.image.clone().unwrap_or_else(short),
            self.platform.clone().unwrap_or_else(|| "-".to_owned()),
            requires,
            self.reason.clone(),
        ]
    }

    pub(crate) fn left_out(candidate: &Candidate<'_>, reason: impl Into<String>) -> Self {
        Self::new(candidate, false, None, reason.into())
    }

    pub(crate) fn new(
        candidate: &Candidate<'_>,
        kept: bool,
        rank: Option<usize>,
        reason: String,
    ) -> Self {
        Self {
            position: candidate.position,
            image: candidate.image().map(str::to_owned),
            digest: candidate.descriptor.digest().clone(),
            platform: candidate.platform.map(|platform| platform.to_string()),
            requires: candidate.requires().map(str::to_owned).collect(),
            kept,
            rank,
            reason,
        }
    }
}

/// Requirements as people read them; expressions over hardware may be pages long.
pub(crate) fn brief(requires: &[String]) -> Vec<String> {
    const LONG: usize = 80;
    requires
        .iter()
        .map(|written| match Feature::parse(written) {
            Ok(feature) if written.len() > LONG => feature.brief().to_string(),
            _ => written.clone(),
        })
        .collect()
}
