//! Finding a target by the name that a person, a compiler, OCI or EESSI gives it.
//! It never guesses: what is not known is an error that lists the nearest names.

use crate::graph::Microarchitectures;
use crate::names::{self, fold};
use crate::target::{Target, TargetError};

impl Microarchitectures {
    /// The target that `spelling` names: an archspec name without regard to case,
    /// `-`, `_` and `.`; a synonym (`znver3`, `amd64/v3`, `x86-64-v3`); an EESSI path
    /// (`x86_64/amd/zen3`); a site's alias.
    ///
    /// # Errors
    /// When nothing is called that, with the nearest names; or when a path
    /// contradicts itself.
    pub fn find(&self, spelling: &str) -> Result<Target, TargetError> {
        self.look_up(spelling)
            .unwrap_or_else(|| Err(self.unknown(spelling.trim())))
    }

    /// As [`find`](Self::find), with `None` for what is unknown: it spares the search
    /// for similar names.
    #[must_use]
    pub fn look_up(&self, spelling: &str) -> Option<Result<Target, TargetError>> {
        let written = spelling.trim();
        // `>=zen3` or `!zen3` is something else than zen3.
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./ ".contains(c);
        if !written.chars().all(plain) {
            return None;
        }
        let parts: Vec<String> = written
            .split('/')
            .map(fold)
            .skip_while(|part| part == "linux")
            .collect();
        match (self.spelled(&parts.concat()), parts.as_slice()) {
            (Some(found), _) => Some(Ok(found)),
            (None, [family, middle @ .., last]) => self.by_path(written, family, middle, last),
            _ => None,
        }
    }

    fn spelled(&self, folded: &str) -> Option<Target> {
        let entry = self.at(*self.spellings.get(folded)?)?;
        Some(entry.target.clone())
    }

    fn by_path(
        &self,
        written: &str,
        family: &str,
        middle: &[String],
        last: &str,
    ) -> Option<Result<Target, TargetError>> {
        let family = self.spelled(family)?;
        if last == "generic" && middle.is_empty() {
            return Some(Ok(family));
        }
        let found = self.spelled(last)?;
        let misplaced = |stated: String, actual: String| TargetError::Misplaced {
            spelling: written.to_owned(),
            target: found.clone(),
            stated,
            actual,
        };
        let actual = self.family(&found);
        if actual != family {
            return Some(Err(misplaced(family.to_string(), actual.to_string())));
        }
        for word in middle {
            let known = self.get(&found)?;
            match names::vendor(word)? {
                Some(vendor) if vendor != known.vendor => {
                    return Some(Err(misplaced(word.clone(), known.vendor.clone())));
                }
                _ => {}
            }
        }
        Some(Ok(found))
    }

    fn unknown(&self, spelling: &str) -> TargetError {
        let last = spelling.rsplit('/').next().unwrap_or(spelling);
        let folded = fold(last);
        let mut scored: Vec<(f64, Target)> = self
            .spellings
            .iter()
            .map(|(known, slot)| {
                (
                    strsim::normalized_damerau_levenshtein(&folded, known),
                    *slot,
                )
            })
            .filter(|(score, _)| *score >= 0.6)
            .filter_map(|(score, slot)| Some((score, self.at(slot)?.target.clone())))
            .collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        let mut near: Vec<Target> = Vec::new();
        for (_, target) in scored {
            if near.len() < 3 && !near.contains(&target) {
                near.push(target);
            }
        }
        TargetError::Unknown {
            spelling: spelling.to_owned(),
            near,
        }
    }
}
