//! The requirements of an index's entries: from `features`, `os.features` and the variant. Entries
//! repeat the same features; each is parsed once, and compared with the machine once.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use metahub_hardware::{Feature, Fit, from_os_features, from_platform};

use crate::candidate::{Candidate, CandidateList};

/// Most requirements of one entry; real ones have fewer, and each is compared with the machine.
const MAX_REQUIREMENTS: usize = 64;

/// The requirements of many entries.
pub(crate) struct Requirements<'c, 'a> {
    candidates: &'c CandidateList<'a>,
    /// Distinct features; each has the number of its text or a variant.
    known: Vec<Feature>,
    by_text: Vec<Option<Result<usize, Arc<str>>>>,
    by_variant: HashMap<(&'a str, &'a str), Option<usize>>,
    /// What the entries require, one entry's after the other's: which of the known.
    numbers: Vec<usize>,
}

/// Where an entry's requirements stand.
pub(crate) type Place = Range<usize>;

impl<'c, 'a> Requirements<'c, 'a> {
    pub(crate) fn of(candidates: &'c CandidateList<'a>) -> Self {
        Self {
            candidates,
            known: Vec::new(),
            by_text: vec![None; candidates.texts()],
            by_variant: HashMap::new(),
            numbers: Vec::with_capacity(candidates.len() * 2),
        }
    }

    /// What the entries require, one entry's after the other's: what their places are about.
    pub(crate) fn features(&self) -> Vec<&Feature> {
        let known = self.numbers.iter().map(|number| self.known.get(*number));
        // Each number must have come with its feature, or slots would be wrong.
        known.flatten().collect()
    }

    /// Adds what a candidate requires. The error is a requirement that nothing can meet.
    pub(crate) fn add(&mut self, candidate: &Candidate<'a>) -> Result<Place, Arc<str>> {
        let start = self.numbers.len();
        let Some(platform) = &candidate.written else {
            return Ok(start..start);
        };
        let candidates = self.candidates;
        let found = candidates.requires(candidate).len() + platform.os_features().count();
        if found > MAX_REQUIREMENTS {
            let problem =
                format!("states {found} requirements; at most {MAX_REQUIREMENTS} are read");
            return Err(problem.into());
        }
        for (text, written) in candidates.requires(candidate) {
            let number = self.read(text, written)?;
            self.numbers.push(number);
        }
        for feature in from_os_features(platform.os, platform.os_features()) {
            let number = self.know(feature);
            self.numbers.push(number);
        }
        // The variant counts in addition to a CPU target in `features`: an index that tells its
        // builds apart by variant must not lose that when one family is stated for all of them.
        if let Some(variant) = platform.variant
            && let Some(number) = self.variant(platform.architecture, variant)
            && !self.has(start, number)
        {
            self.numbers.push(number);
        }
        Ok(start..self.numbers.len())
    }

    /// A requirement that is no `key:value`, such as Docker's old `sse4`, is met by the feature
    /// `feature:sse4` only.
    fn read(&mut self, text: usize, written: &str) -> Result<usize, Arc<str>> {
        if let Some(Some(read)) = self.by_text.get(text) {
            return read.clone();
        }
        let feature = Feature::parse(written).or_else(|_| Feature::new("feature", written));
        let read = match feature {
            Ok(feature) => Ok(self.know(feature)),
            Err(error) => Err(error.to_string().into()),
        };
        if let Some(place) = self.by_text.get_mut(text) {
            *place = Some(read.clone());
        }
        read
    }

    fn variant(&mut self, architecture: &'a str, variant: &'a str) -> Option<usize> {
        let key = (architecture, variant);
        if let Some(known) = self.by_variant.get(&key) {
            return *known;
        }
        let feature = from_platform(architecture, Some(variant));
        let number = feature.map(|feature| self.know(feature));
        self.by_variant.insert(key, number);
        number
    }

    fn know(&mut self, feature: Feature) -> usize {
        self.known.push(feature);
        self.known.len() - 1
    }

    /// Whether one of the requirements from `start` on is the same as the known one.
    fn has(&self, start: usize, number: usize) -> bool {
        let wanted = self.known.get(number);
        let mut numbers = self.numbers.get(start..).unwrap_or_default().iter();
        numbers.any(|number| self.known.get(*number) == wanted)
    }
}

/// Tells how requirements are met by one machine, or why not, each in words that are made once.
pub(crate) struct Teller<'r> {
    numbers: &'r [usize],
    /// By the number of the feature; empty until first used.
    told: Vec<String>,
}

impl<'r> Teller<'r> {
    pub(crate) fn new(requirements: &'r Requirements<'_, '_>) -> Self {
        Self {
            numbers: &requirements.numbers,
            told: vec![String::new(); requirements.known.len()],
        }
    }

    /// Writes how the requirements at `place` fit.
    pub(crate) fn tell(&mut self, into: &mut String, place: &Place, fit: &Fit<'_>) {
        let numbers = self.numbers.get(place.clone()).unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = fit.write(into, |into, at, check| {
            let told = numbers.get(at).and_then(|at| self.told.get_mut(*at));
            let Some(told) = told.filter(|_| !check.depends_on_others()) else {
                return write!(into, "{check}");
            };
            if told.is_empty() {
                write!(told, "{check}")?;
            }
            into.push_str(told);
            Ok(())
        });
    }
}
