//! The host that a request is for: given once, and well-formed. Two parsers of a request that names
//! it twice may take two different hosts for it.

use http::uri::Authority;
use http::{HeaderValue, Version, header};
use metahub_oci::ErrorCode;

use crate::error::HttpError;

/// Checks `Host` and, in HTTP/2, `:authority` (RFC 9112, section 3.2; RFC 9113, section 8.3.1).
///
/// # Errors
/// 400 for HTTP/1.1 without `Host`, for more than one, for one that is no host, and for HTTP/2
/// whose `Host` and `:authority` name different hosts.
pub(crate) fn check(head: &http::request::Parts) -> Result<(), HttpError> {
    let mut values = head.headers.get_all(header::HOST).iter();
    let (host, more) = (values.next(), values.next());
    if more.is_some() {
        return Err(refused("more than one Host header"));
    }
    let named = host.map(named).transpose()?;
    let authority = head.uri.authority();
    match head.version {
        Version::HTTP_11 if named.is_none() => Err(refused("no Host header")),
        Version::HTTP_2 => match (named, authority) {
            (None, None) => Err(refused("neither :authority nor a Host header")),
            (Some(named), Some(authority)) if !named.eq_ignore_ascii_case(authority.as_str()) => {
                Err(refused("a Host header that differs from :authority"))
            }
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// The host and port of a `Host` header, which may be empty.
fn named(value: &HeaderValue) -> Result<&str, HttpError> {
    let wrong = || refused("a Host header that is no host");
    let text = value.to_str().map_err(|_| wrong())?.trim();
    if text.is_empty() {
        return Ok(text);
    }
    let authority: Authority = text.parse().map_err(|_| wrong())?;
    if text.contains('@') || authority.host().is_empty() {
        return Err(wrong());
    }
    Ok(text)
}

fn refused(what: &str) -> HttpError {
    HttpError::code(
        ErrorCode::Unsupported,
        format!("the request has {what}: expected exactly one host"),
    )
    .with_status(http::StatusCode::BAD_REQUEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_exactly_one_host() {
        let one = Version::HTTP_11;
        let two = Version::HTTP_2;
        for (version, uri, hosts, accepted) in [
            (one, "/v2/", &["a:5000"][..], true),
            (one, "/v2/", &["my_registry:5000"], true),
            (one, "/v2/", &["[::1]:5000"], true),
            (one, "/v2/", &[""], true),
            (one, "/v2/", &[], false),
            (one, "/v2/", &["a", "a"], false),
            (one, "/v2/", &["a", "b"], false),
            (one, "/v2/", &["a b"], false),
            (one, "/v2/", &["user@a"], false),
            (one, "/v2/", &["a/b"], false),
            (one, "/v2/", &[":5000"], false),
            (one, "http://a/v2/", &["b"], true),
            (one, "http://a/v2/", &[], false),
            (Version::HTTP_10, "/v2/", &[], true),
            (Version::HTTP_10, "/v2/", &["a", "b"], false),
            (two, "http://a/v2/", &[], true),
            (two, "http://a/v2/", &["A"], true),
            (two, "http://a/v2/", &["b"], false),
            (two, "http://a:1/v2/", &["a:2"], false),
            (two, "http://a/v2/", &["a", "a"], false),
            (two, "/v2/", &["a"], true),
            (two, "/v2/", &[], false),
        ] {
            let mut request = http::Request::builder().uri(uri).version(version);
            for host in hosts {
                request = request.header(header::HOST, *host);
            }
            let head = request.body(()).unwrap().into_parts().0;
            let outcome = check(&head);
            assert_eq!(outcome.is_ok(), accepted, "{version:?} {uri} {hosts:?}");
            if let Err(error) = outcome {
                assert_eq!(error.status().as_u16(), 400);
            }
        }
    }
}
