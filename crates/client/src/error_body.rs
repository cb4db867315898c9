//! The body of an error answer (distribution specification, "Error Codes"), and the other forms
//! that registries, token servers and proxies send instead.

use serde_json::Value;

/// A registry's message about a refusal, unchanged: neither shortened nor made printable, see
/// [`printable()`](crate::printable()).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ErrorBody {
    /// The code of the first error, such as `DENIED`.
    pub code: Option<String>,
    /// The message of the first error; `details`, `error_description` or `error` where a server
    /// writes it there.
    pub message: Option<String>,
    /// The detail of the first error, where servers put data for programs.
    pub detail: Value,
}

impl ErrorBody {
    /// Reads a body; `None` where it is no JSON.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(body).ok()?;
        let error = value.pointer("/errors/0").unwrap_or(&value);
        let text = |key: &str| {
            let text = error.get(key)?.as_str()?;
            let says_something = text
                .chars()
                .any(|letter| !letter.is_whitespace() && !letter.is_control());
            says_something.then(|| text.to_owned())
        };
        let message = ["message", "details", "error_description", "error"]
            .into_iter()
            .find_map(text);
        Some(Self {
            code: text("code"),
            message,
            detail: error.get("detail").cloned().unwrap_or_default(),
        })
    }

    /// `reason` in the detail, by which a MetaHub tells programs why: `nothing-fits`.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.detail.get("reason")?.as_str()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> Option<(Option<String>, Option<String>)> {
        ErrorBody::parse(text.as_bytes()).map(|body| (body.code, body.message))
    }

    #[test]
    fn the_first_error_counts_and_other_forms_are_read_too() {
        let some = |code: Option<&str>, message: Option<&str>| {
            Some((code.map(str::to_owned), message.map(str::to_owned)))
        };
        for (text, expected) in [
            (
                r#"{"errors":[{"code":"DENIED","message":"no"},{"code":"X"}]}"#,
                some(Some("DENIED"), Some("no")),
            ),
            (
                r#"{"details":"wrong password"}"#,
                some(None, Some("wrong password")),
            ),
            (
                r#"{"error":"invalid_grant","error_description":"expired"}"#,
                some(None, Some("expired")),
            ),
            (
                r#"{"error":"invalid_grant"}"#,
                some(None, Some("invalid_grant")),
            ),
            // Nothing that can be read says nothing.
            (r#"{"errors":[]}"#, some(None, None)),
            (r#"{"errors":{"0":{"message":"x"}}}"#, some(None, Some("x"))),
            (
                r#"{"errors":[{"code":7,"message":["no"]}]}"#,
                some(None, None),
            ),
            (
                r#"{"errors":[{"message":" \u0000\n","details":"d"}]}"#,
                some(None, Some("d")),
            ),
            (r#"{"errors":"no"}"#, some(None, None)),
            ("[]", some(None, None)),
            ("null", some(None, None)),
            ("", None),
            ("<html>", None),
            (r#"{"errors":[{"message":"cut"#, None),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn a_reason_for_programs_stands_in_the_detail() {
        let reason = |text: &str| {
            let body = ErrorBody::parse(text.as_bytes()).unwrap();
            body.reason().map(str::to_owned)
        };
        let said = r#"{"errors":[{"code":"X","detail":{"reason":"nothing-fits"}}]}"#;
        assert_eq!(reason(said).as_deref(), Some("nothing-fits"));
        for nothing in [
            "{}",
            r#"{"errors":[{"detail":"nothing-fits"}]}"#,
            r#"{"errors":[{"detail":{"reason":1}}]}"#,
        ] {
            assert_eq!(reason(nothing), None, "{nothing}");
        }
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = ErrorBody::parse(&body);
        }
    }
}
