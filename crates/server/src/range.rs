//! The `Range` header of blob requests, RFC 9110 section 14: one range or several.

use std::ops::Range;

/// Most ranges answered in one request; more are answered with the whole content, as RFC 9110
/// allows for ranges that look like an attack.
const MAX_RANGES: usize = 256;

/// A parsed `Range` header for content of a known size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The whole content: no header, another unit, or ranges that serve only to amplify.
    Whole,
    /// One range, not empty, within the content.
    One(Range<u64>),
    /// Several ranges, each not empty and within the content, in the order asked.
    Several(Vec<Range<u64>>),
    /// Malformed, or nothing of it lies within the content: 416. RFC 9110 section 14.2 lets a
    /// server ignore or reject what is malformed; rejecting tells the client of its error.
    Unsatisfiable,
}

/// Reads `header` for content of `size` bytes.
pub(crate) fn parse(header: Option<&str>, size: u64) -> Asked {
    let Some(list) = header.and_then(|h| h.trim().strip_prefix("bytes=")) else {
        return Asked::Whole;
    };
    let mut ranges = Vec::new();
    for (count, item) in list
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .enumerate()
    {
        if count >= MAX_RANGES {
            return Asked::Whole;
        }
        match parse_one(item, size) {
            Some(range) if range.is_empty() => {}
            Some(range) => ranges.push(range),
            None => return Asked::Unsatisfiable,
        }
    }
    let total: u128 = ranges.iter().map(|r| u128::from(r.end - r.start)).sum();
    match ranges.as_slice() {
        [] => Asked::Unsatisfiable,
        [range] => Asked::One(range.clone()),
        // Overlapping ranges that add up to more than the content serve only to amplify.
        _ if total > u128::from(size) => Asked::Whole,
        _ => Asked::Several(ranges),
    }
}

/// `None` if malformed; an empty range if well-formed but outside the content.
fn parse_one(item: &str, size: u64) -> Option<Range<u64>> {
    let number = |text: &str| -> Option<u64> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        // A number too large for 64 bits is a position beyond any content.
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    match item.split_once('-')? {
        ("", suffix) => Some(size.saturating_sub(number(suffix)?)..size),
        (first, "") => Some(number(first)?.min(size)..size),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            Some(first.min(size)..last.saturating_add(1).min(size))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(
        clippy::single_range_in_vec_init,
        reason = "lists of ranges are what is tested"
    )]
    fn ranges_are_read_as_rfc_9110_says() {
        for (header, asked) in [
            ("", Asked::Whole),
            ("bytes=0-3", Asked::One(0..4)),
            ("bytes=5-", Asked::One(5..10)),
            ("bytes=-3", Asked::One(7..10)),
            ("bytes=-30", Asked::One(0..10)),
            ("bytes=8-100", Asked::One(8..10)),
            ("bytes=10-", Asked::Unsatisfiable),
            ("bytes=-0", Asked::Unsatisfiable),
            ("bytes=99999999999999999999-", Asked::Unsatisfiable),
            ("bytes=3-1", Asked::Unsatisfiable),
            ("bytes=a-b", Asked::Unsatisfiable),
            ("bytes=1", Asked::Unsatisfiable),
            ("items=0-1", Asked::Whole),
            ("bytes=0-1,4-5", Asked::Several(vec![0..2, 4..6])),
            ("bytes=0-1, 20-30", Asked::One(0..2)),
            ("bytes=0-9,0-9", Asked::Whole),
        ] {
            assert_eq!(parse(Some(header), 10), asked, "{header}");
        }
        assert_eq!(parse(None, 10), Asked::Whole);
        assert_eq!(parse(Some("bytes=0-"), 0), Asked::Unsatisfiable);
    }
}
