//! The error when no entry of an index fits a login. The client sees it, so it names the wanted
//! features and those that exist.

use std::collections::HashSet;
use std::fmt;

use crate::candidate::{Candidate, CandidateList};
use crate::verdict::{Verdicts, brief};

/// Most kinds of images that the text lists.
const MAX_LISTED: usize = 12;

/// Nothing in the index fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NothingFits {
    /// The wanted features, such as `arch:zen3`. Empty if none in particular.
    pub wanted: String,
    /// What the images there require and are for, such as `arch:cascadeLake (linux/amd64)`, each
    /// once, in the order of the index.
    pub existing: Vec<String>,
    /// The verdict on each entry.
    pub verdicts: Box<Verdicts>,
    /// Whether there was nothing to choose from: the source is a single image.
    pub single: bool,
}

impl NothingFits {
    /// `among` are those that were looked at.
    pub(crate) fn new<'c, 'a: 'c>(
        wanted: String,
        candidates: &CandidateList<'_>,
        among: impl IntoIterator<Item = &'c Candidate<'a>>,
        verdicts: Verdicts,
    ) -> Self {
        let mut existing: Vec<String> = Vec::new();
        let mut seen: HashSet<String> = HashSet::new();
        for candidate in among.into_iter().filter(|c| c.not_to_run().is_none()) {
            let requires: Vec<&str> = candidates
                .requires(candidate)
                .map(|(_, text)| text)
                .collect();
            let requires = match requires.as_slice() {
                [] => "no requirement".to_owned(),
                requires => brief(requires).join(" + "),
            };
            let text = match (candidates.platform_of(candidate), candidate.excluded()) {
                (Some(platform), None) => format!("{requires} ({platform})"),
                (Some(platform), Some(reason)) => format!("{requires} ({platform}; {reason})"),
                (None, None) => requires,
                (None, Some(reason)) => format!("{requires} ({reason})"),
            };
            if seen.insert(text.clone()) {
                existing.push(text);
            }
        }
        Self {
            wanted,
            existing,
            verdicts: Box::new(verdicts),
            single: false,
        }
    }
}

impl fmt::Display for NothingFits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.existing.is_empty() {
            return f.write_str("no image fits: the index lists no image that could be run");
        }
        if self.wanted.is_empty() {
            f.write_str("no image fits")?;
        } else {
            write!(f, "no image fits {}", self.wanted)?;
        }
        if self.single {
            let image = self.existing.first().map_or("", String::as_str);
            let why = self.verdicts.get(0).map_or("", |verdict| verdict.reason);
            return write!(f, "; this one is for {image}: it {why}");
        }
        let listed = self.existing.iter().take(MAX_LISTED);
        let listed: Vec<&str> = listed.map(String::as_str).collect();
        write!(f, "; there are images for: {}", listed.join(", "))?;
        match self.existing.len().saturating_sub(MAX_LISTED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl std::error::Error for NothingFits {}
