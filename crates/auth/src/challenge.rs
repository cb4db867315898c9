//! `WWW-Authenticate` values: what a 401 asks the client to do next.
//!
//! There is no blank between or inside the parameters: Enroot's parser drops everything after `, `
//! and cuts a value at a blank. Values are made safe, so that a `Host` header that reached a realm
//! cannot add parameters of its own.

use std::fmt::{Display, Write as _};

/// `Bearer realm="…",service="…"[,scope="…"][,error="…"]`, several scopes separated by a blank.
///
/// `realm` is the URL of the token endpoint on the host the client asked, `error` one of the
/// codes of RFC 6750 section 3.1 (`invalid_token`, `insufficient_scope`) or nothing.
#[must_use]
pub fn bearer_challenge(
    realm: &str,
    service: &str,
    scopes: &[impl Display],
    error: Option<&str>,
) -> String {
    let mut text = format!(
        "Bearer realm=\"{}\",service=\"{}\"",
        safe(realm),
        safe(service)
    );
    if !scopes.is_empty() {
        let scopes: Vec<String> = scopes.iter().map(ToString::to_string).collect();
        let _ = write!(text, ",scope=\"{}\"", scopes.join(" "));
    }
    if let Some(error) = error {
        let _ = write!(text, ",error=\"{}\"", safe(error));
    }
    text
}

/// `Basic realm="…"`, for clients that know no tokens.
#[must_use]
pub fn basic_challenge(service: &str) -> String {
    format!("Basic realm=\"{}\"", safe(service))
}

/// `text` with everything percent-encoded that would end a quoted value or break a parser.
fn safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b',') {
            safe.push(char::from(byte));
        } else {
            let _ = write!(safe, "%{byte:02X}");
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Right, Scope};
    use proptest::prelude::*;

    const NONE: &[Scope] = &[];

    #[test]
    fn a_bearer_challenge_is_what_clients_parse() {
        let scope = Scope::of(Right::Push, &"qnib/featuretest".parse().unwrap());
        assert_eq!(
            bearer_challenge("http://127.0.0.1:5000/token", "metahub", &[scope], None),
            "Bearer realm=\"http://127.0.0.1:5000/token\",service=\"metahub\",\
             scope=\"repository:qnib/featuretest:pull,push\""
        );
        assert_eq!(
            bearer_challenge("https://mh/token", "mh", NONE, Some("invalid_token")),
            "Bearer realm=\"https://mh/token\",service=\"mh\",error=\"invalid_token\""
        );
        assert_eq!(basic_challenge("metahub"), "Basic realm=\"metahub\"");
    }

    proptest! {
        #[test]
        fn no_value_adds_a_parameter_or_a_blank(realm in ".*", service in ".*") {
            let text = bearer_challenge(&realm, &service, NONE, None);
            prop_assert_eq!(text.matches(' ').count(), 1);
            prop_assert_eq!(text.matches('"').count(), 4);
            prop_assert_eq!(text.matches(',').count(), 1);
            prop_assert!(text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()));
        }
    }
}
