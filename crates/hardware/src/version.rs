//! Versions as drivers, libraries and kernels write them: numbers that count, then a packager's
//! suffix, which does not. `5.14.0-427.el9.x86_64` is 5.14.0.427. A text with an operator
//! (`>=12.4`), a wildcard (`12.x`) or several versions is none: its leading number alone would be
//! another requirement.

use std::fmt;

/// Most numbers that count. Kernels of distributions have the most: `5.14.0-427.13.1`.
const NUMBERS: usize = 6;

/// Up to six numbers; those not written are 0, so `12.4` equals `12.4.0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version([u64; NUMBERS]);

impl Version {
    /// Reads the leading numbers of `text`; `None` when it does not start with one
    /// (a leading `v` is allowed), when a number is too large, or when what follows the
    /// numbers is not what packagers append: letters, digits and `.`, `-`, `_`, `+`, `~`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let mut rest = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let appended = |c: char| c.is_ascii_alphanumeric() || ".-_+~".contains(c);
        if !rest.chars().all(appended) {
            return None;
        }
        let mut numbers = [0; NUMBERS];
        let mut seen = 0;
        for number in &mut numbers {
            let digits = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            let (word, after) = rest.split_at_checked(digits)?;
            if word.is_empty() {
                break;
            }
            *number = word.parse().ok()?;
            seen += 1;
            match after.strip_prefix(['.', '-', '_']) {
                Some(next) => rest = next,
                None => {
                    rest = after;
                    break;
                }
            }
        }
        // `12.x` does not say which one; `12.` and `12..4` are slips.
        let next = rest.split(['.', '-', '_']).next().unwrap_or("");
        let wildcard = next.eq_ignore_ascii_case("x") || (next.is_empty() && !rest.is_empty());
        let cut_off = rest.is_empty() && text.ends_with(['.', '-', '_']);
        (seen > 0 && !wildcard && !cut_off).then_some(Self(numbers))
    }

    /// The first number.
    #[must_use]
    pub fn major(&self) -> u64 {
        let [major, ..] = self.0;
        major
    }

    /// A version of two numbers; a minor of `u64::MAX` means every minor.
    #[must_use]
    pub fn of(major: u64, minor: u64) -> Self {
        Self::of_three(major, minor, 0)
    }

    /// A version of three numbers.
    pub(crate) fn of_three(major: u64, minor: u64, patch: u64) -> Self {
        Self([major, minor, patch, 0, 0, 0])
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, rest @ ..] = &self.0;
        if *minor == u64::MAX {
            return write!(f, "{major}.x");
        }
        write!(f, "{major}.{minor}")?;
        let written = rest.iter().rposition(|number| *number != 0);
        let written = written.map_or(0, |last| last + 1);
        rest.iter()
            .take(written)
            .try_for_each(|number| write!(f, ".{number}"))
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
    #[case("2.31~rc1+b2", "2.31")]
    #[case("5.14.0+", "5.14")]
    #[case("6.2.0-66", "6.2.0.66")]
    fn versions_that_count_the_same_are_equal(#[case] a: &str, #[case] b: &str) {
        assert_eq!(Version::parse(a), Version::parse(b));
        assert!(Version::parse(a).is_some());
    }

    #[rstest]
    #[case("2.9", "2.10")]
    #[case("12", "12.4")]
    #[case("535.161.08", "550.54.15")]
    #[case("5.14.0-427.5.1.el9", "5.14.0-427.13.1.el9")]
    fn versions_compare_by_number_and_not_by_letter(#[case] less: &str, #[case] more: &str) {
        assert!(Version::parse(less) < Version::parse(more));
    }

    #[rstest]
    #[case("")]
    #[case("latest")]
    #[case("v")]
    #[case(">=12.4")]
    #[case("<13")]
    #[case("~12.4")]
    #[case("^12.4")]
    #[case("==12.4")]
    #[case("12.4,<13")]
    #[case("12.4 - 13.0")]
    #[case("12.4 || 13")]
    #[case("12.4<13")]
    #[case("12.4!")]
    #[case("12.*")]
    #[case("12.x")]
    #[case("12.X.1")]
    #[case("12.")]
    #[case("12..4")]
    #[case("99999999999999999999.1")]
    #[case("12.99999999999999999999")]
    #[case("12\u{66b}4")]
    fn what_does_not_say_one_version_is_none(#[case] text: &str) {
        assert_eq!(Version::parse(text), None);
    }
}
