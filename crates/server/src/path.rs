//! Request paths, decoded once before they are parsed.
//!
//! Some clients write `sha256%3A…` for `sha256:…`, or `%2F` for a `/` within a name; both mean the
//! same resource as the plain form (RFC 3986, section 2.4), whose name is then checked and
//! authorised. What is decoded is never decoded again: names and references hold no `%`, so a path
//! that was encoded twice is refused by their grammar.

use std::borrow::Cow;

use metahub_oci::ErrorCode;

use crate::error::HttpError;

/// `path` with every `%XX` replaced by the byte that it stands for.
///
/// # Errors
/// 400 for a `%` without two hexadecimal digits, for bytes that are not UTF-8, and for control
/// characters.
pub(crate) fn decode(path: &str) -> Result<Cow<'_, str>, HttpError> {
    if !path.contains('%') {
        return Ok(Cow::Borrowed(path));
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            decoded.push(*first);
            continue;
        }
        let [high, low, after @ ..] = rest else {
            return Err(malformed("a % without two hexadecimal digits"));
        };
        let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
            return Err(malformed("a % without two hexadecimal digits"));
        };
        decoded.push(high << 4 | low);
        rest = after;
    }
    let decoded = String::from_utf8(decoded).map_err(|_| malformed("bytes that are not UTF-8"))?;
    if decoded.chars().any(char::is_control) {
        return Err(malformed("a control character"));
    }
    Ok(Cow::Owned(decoded))
}

fn digit(letter: u8) -> Option<u8> {
    char::from(letter)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

fn malformed(what: &str) -> HttpError {
    HttpError::code(
        ErrorCode::NameInvalid,
        format!("the path holds {what}: percent-encode UTF-8 text, once"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_decoded_once_and_refused_if_it_is_malformed() {
        for (path, expected) in [
            ("/v2/a/blobs/sha256:0", Some("/v2/a/blobs/sha256:0")),
            ("/v2/a/blobs/sha256%3a0", Some("/v2/a/blobs/sha256:0")),
            ("/v2/a%2Fb/tags/list", Some("/v2/a/b/tags/list")),
            ("/v2/%61/tags/list", Some("/v2/a/tags/list")),
            ("/v2/a%253A", Some("/v2/a%3A")),
            ("/v2/a+b%2Bc", Some("/v2/a+b+c")),
            ("/%", None),
            ("/%4", None),
            ("/%zz", None),
            ("/%+1", None),
            ("/%ff", None),
            ("/a%00b", None),
            ("/a%0d%0ab", None),
        ] {
            let decoded = decode(path).ok();
            assert_eq!(decoded.as_deref(), expected, "{path}");
        }
    }
}
