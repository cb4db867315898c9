//! Versions as drivers, libraries and kernels write them: numbers that count, then
//! whatever a packager appended, which does not. `5.14.0-427.el9.x86_64` is 5.14.0.427.

use std::fmt;

/// Up to four numbers; those not written are 0, so `12.4` equals `12.4.0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version([u64; 4]);

impl Version {
    /// Reads the leading numbers of `text`; `None` when it does not start with one
    /// (a leading `v` is allowed).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let mut parts = [0; 4];
        let mut seen = 0;
        for (part, word) in parts.iter_mut().zip(text.split(['.', '-', '_'])) {
            let digits = word
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(word.len());
            match word.get(..digits).map(str::parse) {
                Some(Ok(number)) => *part = number,
                _ => break,
            }
            seen += 1;
            if digits < word.len() {
                break;
            }
        }
        (seen > 0).then_some(Self(parts))
    }

    /// The first number.
    #[must_use]
    pub fn major(&self) -> u64 {
        let [major, ..] = self.0;
        major
    }

    /// A version of two numbers; a minor of `u64::MAX` stands for every minor.
    #[must_use]
    pub fn of(major: u64, minor: u64) -> Self {
        Self([major, minor, 0, 0])
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, rest @ ..] = self.0;
        if minor == u64::MAX {
            return write!(f, "{major}.x");
        }
        write!(f, "{major}.{minor}")?;
        match rest {
            [0, 0] => Ok(()),
            [patch, 0] => write!(f, ".{patch}"),
            [patch, build] => write!(f, ".{patch}.{build}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("12.4", "12.4.0")]
    #[case("v2.34", "2.34")]
    #[case("5.14.0-427.el9.x86_64", "5.14.0.427")]
    #[case("2.5rc1", "2.5")]
    fn versions_that_count_the_same_are_equal(#[case] a: &str, #[case] b: &str) {
        assert_eq!(Version::parse(a), Version::parse(b));
        assert!(Version::parse(a).is_some());
    }

    #[rstest]
    #[case("2.9", "2.10")]
    #[case("12", "12.4")]
    #[case("535.161.08", "550.54.15")]
    fn versions_compare_by_number_and_not_by_letter(#[case] less: &str, #[case] more: &str) {
        assert!(Version::parse(less) < Version::parse(more));
    }

    #[rstest]
    #[case("")]
    #[case("latest")]
    #[case("v")]
    fn what_starts_with_no_number_is_no_version(#[case] text: &str) {
        assert_eq!(Version::parse(text), None);
    }
}
