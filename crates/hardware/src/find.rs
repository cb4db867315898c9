//! Finds a target by the name that a person, a compiler, OCI or EESSI uses. It never guesses: an
//! unknown name is an error that lists the nearest names.

use crate::build::overlay;
use crate::feature::Feature;
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

    /// As [`find`](Self::find), with `None` for an unknown name, without the search for similar
    /// names.
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
        let instead = Feature::of_word(last);
        let near = match (self.hinted(last), &instead) {
            (Some(target), _) => vec![target],
            (None, Some(_)) => Vec::new(),
            (None, None) => self.slips(&fold(last)),
        };
        let instead = instead.filter(|_| near.is_empty());
        TargetError::Unknown {
            spelling: spelling.to_owned(),
            near,
            instead: instead.map(|feature| feature.to_string()),
        }
    }

    /// The target whose programs a processor or a cloud's machine of that name runs for
    /// certain.
    fn hinted(&self, name: &str) -> Option<Target> {
        let hints = &overlay().hints;
        let folded = fold(name);
        let machine = folded.strip_prefix("standard").unwrap_or(&folded);
        // Azure's HB120rs_v3 is an HBv3; `c5n.18xlarge` and `c3-standard-88` begin with their kind.
        let azure = machine.strip_prefix("hb").and_then(|rest| {
            let version = rest.rfind('v').and_then(|at| rest.get(at..))?;
            Some(format!("hb{version}"))
        });
        let kind = name.split(['.', '-']).next().map(fold);
        let spelled = [
            Some(folded.clone()),
            azure,
            kind.filter(|_| name.contains(['.', '-'])),
        ];
        let mut targets = spelled.into_iter().flatten();
        targets.find_map(|name| self.spelled(&fold(hints.get(&name)?)))
    }

    /// The names that `folded` may be a misspelling of. Another number is no misspelling: the name
    /// before it is suggested, since a later one demands more. Of equally near names, none that
    /// demands more than another is suggested.
    fn slips(&self, folded: &str) -> Vec<Target> {
        let (stem, number) = numbered(folded);
        let most = if folded.len() < 9 { 1 } else { 2 };
        let mut earlier: Vec<(u64, u16)> = Vec::new();
        let mut slips: Vec<(usize, u16)> = Vec::new();
        for (known, slot) in &self.spellings {
            let (known_stem, known_number) = numbered(known);
            let digits = |number: u64| number.checked_ilog10();
            if known_stem == stem && digits(known_number) == digits(number) {
                if known_number < number {
                    earlier.push((known_number, *slot));
                }
                continue;
            }
            // A digit too many: `zen33`.
            let longer = known_stem == stem && known_number > 0 && known_number < number;
            let steps = strsim::damerau_levenshtein(folded, known);
            if steps <= most && steps < folded.len() && (known_number == number || longer) {
                slips.push((steps, *slot));
            }
        }
        let target = |slot: u16| self.at(slot).map(|entry| entry.target.clone());
        let nearest = slips.iter().map(|(steps, _)| *steps).min();
        let mut near: Vec<Target> = slips
            .iter()
            .filter(|(steps, _)| Some(*steps) == nearest)
            .filter_map(|(_, slot)| target(*slot))
            .collect();
        near.sort();
        near.dedup();
        let all = near.clone();
        near.retain(|mine| {
            let demands_more = |other: &Target| other != mine && self.descends_from(mine, other);
            !all.iter().any(demands_more)
        });
        earlier.sort_by(|a, b| b.cmp(a));
        for target in earlier.into_iter().filter_map(|(_, slot)| target(slot)) {
            if near.len() < 3 && !near.contains(&target) {
                near.push(target);
            }
        }
        near.truncate(3);
        near
    }
}

/// A folded name without the number at its end, and the number; 0 when there is none.
fn numbered(folded: &str) -> (&str, u64) {
    let stem = folded.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = folded.strip_prefix(stem).unwrap_or_default();
    (stem, number.parse().unwrap_or(0))
}
