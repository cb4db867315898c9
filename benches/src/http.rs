//! As much of HTTP/1.1 as a client needs that sends the same requests again and again: requests
//! as bytes, and the heads of answers.
//!
//! Not for use on a network: it trusts the server not to be hostile.

use miette::{IntoDiagnostic as _, Result, miette};

/// The end of a head.
const BLANK_LINE: &[u8] = b"\r\n\r\n";

/// What a client accepts that pulls an image.
pub(crate) const MANIFEST_TYPES: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.oci.image.index.v1+json";

/// A request's head, as it goes over the wire.
pub(crate) fn head(method: &str, host: &str, path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n");
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// A `GET` with the answer's type and the token that the server wants, if it wants one.
pub(crate) fn get(host: &str, path: &str, token: Option<&str>) -> Vec<u8> {
    let mut headers = vec![("Accept", MANIFEST_TYPES)];
    headers.extend(token.map(|token| ("Authorization", token)));
    head("GET", host, path, &headers)
}

/// The head of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// The status code.
    pub(crate) status: u16,
    /// Length of the head in bytes, the blank line included.
    pub(crate) length: usize,
    /// Length of the body in bytes; nothing if it comes in chunks.
    pub(crate) body: Option<u64>,
    /// The value of `Location`.
    pub(crate) location: Option<String>,
}

impl Head {
    /// Reads a head at the start of `bytes`; nothing if its end is not there yet.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Self>> {
        let Some(end) = bytes
            .windows(BLANK_LINE.len())
            .position(|part| part == BLANK_LINE)
        else {
            return Ok(None);
        };
        let text = std::str::from_utf8(bytes.get(..end).unwrap_or_default()).into_diagnostic()?;
        let mut lines = text.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.strip_prefix("HTTP/1.1 "))
            .and_then(|line| line.get(..3)?.parse().ok())
            .ok_or_else(|| miette!("expected an answer in HTTP/1.1, found {text:?}"))?;
        let mut head = Self {
            status,
            length: end + BLANK_LINE.len(),
            body: None,
            location: None,
        };
        let mut chunked = false;
        if matches!(status, 204 | 304) {
            head.body = Some(0);
        }
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                head.body = Some(value.parse().into_diagnostic()?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                chunked = value.eq_ignore_ascii_case("chunked");
            } else if name.eq_ignore_ascii_case("location") {
                head.location = Some(value.to_owned());
            }
        }
        if head.body.is_some() || chunked {
            Ok(Some(head))
        } else {
            Err(miette!("an answer of unknown length: {text:?}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let whole = b"HTTP/1.1 202 Accepted\r\nlocation: /a?b\r\nContent-Length:  12\r\n\r\nbody";
        for cut in 0..whole.len() - 4 {
            assert!(Head::parse(&whole[..cut]).unwrap().is_none());
        }
        let head = Head::parse(whole).unwrap().unwrap();
        assert_eq!(
            (head.status, head.body, head.length),
            (202, Some(12), whole.len() - 4)
        );
        assert_eq!(head.location.as_deref(), Some("/a?b"));
    }

    #[test]
    fn an_answer_of_unknown_length_is_an_error() {
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(Head::parse(chunked).unwrap().unwrap().body, None);
        assert!(Head::parse(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").is_err());
        assert!(Head::parse(b"HTTP/1.1 204 No Content\r\n\r\n").is_ok());
        assert!(Head::parse(b"SSH-2.0-OpenSSH\r\n\r\n").is_err());
    }
}
