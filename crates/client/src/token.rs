//! Requests to token servers and their answers (distribution project, `docs/spec/auth/token.md` and
//! `oauth.md`). The caller decides where a token server is, and whether credentials may go there.

use std::fmt;

use metahub_oci::RepositoryName;
use serde::Deserialize;

/// The scope that reading `name` needs.
#[must_use]
pub fn pull_scope(name: &RepositoryName) -> String {
    format!("repository:{name}:pull")
}

/// The scope that reading and writing `name` needs.
#[must_use]
pub fn push_scope(name: &RepositoryName) -> String {
    format!("repository:{name}:pull,push")
}

/// The query of a request for a token with `scopes`, each a parameter of its own. Empty values are
/// left out.
pub fn token_query<'a>(
    service: Option<&'a str>,
    scopes: impl IntoIterator<Item = &'a str>,
) -> Vec<(&'static str, &'a str)> {
    let service = service.map(|service| ("service", service));
    let scopes = scopes.into_iter().map(|scope| ("scope", scope));
    let all = service.into_iter().chain(scopes);
    all.filter(|(_, value)| !value.is_empty()).collect()
}

/// Why an answer has no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoToken {
    /// It is not the JSON of the specification.
    #[error("answered something that is no token")]
    OtherForm,
    /// It is, and has no token in it.
    #[error("answered without a token")]
    Missing,
}

/// What a token server gave. Prints no secret.
#[derive(Clone, PartialEq)]
pub struct TokenAnswer {
    /// The token; never empty.
    pub token: String,
    /// How many seconds it is good for, where the server says a number above zero.
    pub expires_in: Option<f64>,
    /// The refresh token that is good from now on, where the server gave one.
    pub refresh_token: Option<String>,
}

impl fmt::Debug for TokenAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenAnswer")
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Written {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<f64>,
    refresh_token: Option<String>,
}

impl TokenAnswer {
    /// Reads the body of an answer. `token` counts before `access_token`.
    ///
    /// # Errors
    /// When there is no token in it.
    pub fn parse(body: &[u8]) -> Result<Self, NoToken> {
        let written: Written = serde_json::from_slice(body).map_err(|_| NoToken::OtherForm)?;
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        let token = some(written.token).or(some(written.access_token));
        Ok(Self {
            token: token.ok_or(NoToken::Missing)?,
            expires_in: written.expires_in.filter(|seconds| *seconds > 0.0),
            refresh_token: some(written.refresh_token),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_is_read_in_both_forms() {
        for (body, token, expires_in) in [
            (r#"{"token":"a"}"#, "a", None),
            (r#"{"access_token":"b","expires_in":300}"#, "b", Some(300.0)),
            (r#"{"token":"a","access_token":"b"}"#, "a", None),
            (r#"{"token":"","access_token":"b"}"#, "b", None),
            (r#"{"token":"a","expires_in":-5}"#, "a", None),
            (r#"{"token":"a","expires_in":0.5,"x":[]}"#, "a", Some(0.5)),
            (r#"{"token":"a","expires_in":null}"#, "a", None),
        ] {
            let answer = TokenAnswer::parse(body.as_bytes()).unwrap();
            assert_eq!(
                (answer.token.as_str(), answer.expires_in),
                (token, expires_in),
                "{body}"
            );
            assert_eq!(answer.refresh_token, None);
        }
        let refreshed = TokenAnswer::parse(br#"{"token":"a","refresh_token":"r"}"#).unwrap();
        assert_eq!(refreshed.refresh_token.as_deref(), Some("r"));
        let shown = format!(
            "{:?}",
            TokenAnswer::parse(br#"{"token":"hidden"}"#).unwrap()
        );
        assert!(!shown.contains("hidden"), "{shown}");
    }

    #[test]
    fn an_answer_without_a_token_says_what_it_lacks() {
        for (body, why) in [
            ("", NoToken::OtherForm),
            ("<html>", NoToken::OtherForm),
            ("[]", NoToken::OtherForm),
            (r#"{"token":7}"#, NoToken::OtherForm),
            (r#"{"token":"a","expires_in":"soon"}"#, NoToken::OtherForm),
            ("{}", NoToken::Missing),
            (r#"{"token":"","access_token":""}"#, NoToken::Missing),
            (r#"{"refresh_token":"r"}"#, NoToken::Missing),
        ] {
            assert_eq!(
                TokenAnswer::parse(body.as_bytes()).err(),
                Some(why),
                "{body}"
            );
        }
    }

    #[test]
    fn an_empty_scope_or_service_is_not_sent() {
        assert_eq!(
            token_query(Some("reg"), ["a", "b"]),
            [("service", "reg"), ("scope", "a"), ("scope", "b")]
        );
        assert_eq!(token_query(Some(""), [""]), []);
        assert_eq!(token_query(None, []), []);
        let name: RepositoryName = "x/y".parse().unwrap();
        assert_eq!(pull_scope(&name), "repository:x/y:pull");
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = TokenAnswer::parse(&body);
        }
    }
}
