//! Byte ranges in requests and answers (RFC 9110 section 14).

use std::ops::Range;

use http::HeaderValue;

/// `Range` for the bytes `range`, whose end of `u64::MAX` means the end of the content.
#[must_use]
pub fn range_header(range: &Range<u64>) -> HeaderValue {
    let text = match range.end {
        u64::MAX => format!("bytes={}-", range.start),
        end => format!("bytes={}-{}", range.start, end.saturating_sub(1)),
    };
    // Digits and two signs: always a header value.
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("bytes=0-"))
}

/// Reads `Content-Range: bytes A-B/SIZE`, with `*` for a size that is not known: the range, and
/// the size of the whole content. `None` where it is ill-formed or contradicts itself.
#[must_use]
pub fn content_range(text: &str) -> Option<(Range<u64>, Option<u64>)> {
    let (range, size) = text.trim().strip_prefix("bytes")?.trim().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let size = match size.trim() {
        "*" => None,
        size => Some(size.parse().ok()?),
    };
    let end = last.checked_add(1)?;
    let sensible = first < end && size.is_none_or(|size: u64| end <= size);
    sensible.then_some((first..end, size))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_content_range_is_read_strictly() {
        assert_eq!(content_range("bytes 0-9/100"), Some((0..10, Some(100))));
        assert_eq!(content_range("bytes 5-5/*"), Some((5..6, None)));
        for text in [
            "",
            "bytes */100",
            "bytes 9-0/100",
            "bytes 0-100/100",
            "items 0-9/100",
            "bytes 0-18446744073709551615/*",
            "bytes 0-9/-1",
        ] {
            assert_eq!(content_range(text), None, "{text}");
        }
    }

    #[test]
    fn ranges_are_written_as_http_has_them() {
        assert_eq!(range_header(&(0..10)), "bytes=0-9");
        assert_eq!(range_header(&(7..u64::MAX)), "bytes=7-");
    }

    proptest! {
        #[test]
        fn what_is_read_lies_within_its_size(text in "(bytes )?[-0-9/* ]{0,40}") {
            if let Some((range, size)) = content_range(&text) {
                prop_assert!(range.start < range.end);
                prop_assert!(size.is_none_or(|size| range.end <= size));
            }
        }
    }
}
