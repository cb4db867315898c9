//! `WWW-Authenticate` (RFC 9110 section 11.6.1), as registries really send it: several challenges
//! in one header or in several, blanks or none, values quoted or not.

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

/// Most challenges that are read of one answer.
const MAX_CHALLENGES: usize = 16;

/// One way to authenticate that a server offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Lower case: `bearer`, `basic`.
    scheme: String,
    /// Names in lower case.
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// All challenges of an answer, in order, at most 16. What cannot be read is skipped.
    #[must_use]
    pub fn all(headers: &HeaderMap) -> Vec<Self> {
        let mut challenges = Vec::new();
        for value in headers.get_all(WWW_AUTHENTICATE) {
            let text = String::from_utf8_lossy(value.as_bytes());
            Scanner::new(&text).challenges(&mut challenges);
        }
        challenges.truncate(MAX_CHALLENGES);
        challenges
    }

    /// Whether its scheme is `scheme`, which is in lower case.
    #[must_use]
    pub fn is(&self, scheme: &str) -> bool {
        self.scheme == scheme
    }

    /// A parameter by its lower-case name; an empty one counts as absent.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }
}

struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    fn new(rest: &'a str) -> Self {
        Self { rest }
    }

    fn challenges(&mut self, found: &mut Vec<Challenge>) {
        loop {
            self.skip(|c| c == ',' || c.is_ascii_whitespace());
            let word = self.take(is_token);
            if word.is_empty() {
                // Nothing that a challenge is made of: step over it.
                let mut letters = self.rest.chars();
                if letters.next().is_none() {
                    return;
                }
                self.rest = letters.as_str();
                continue;
            }
            let word = word.to_ascii_lowercase();
            self.skip(|c| c.is_ascii_whitespace());
            match self.rest.strip_prefix('=') {
                Some(rest) => {
                    self.rest = rest;
                    self.skip(|c| c.is_ascii_whitespace());
                    let value = self.value();
                    if let Some(challenge) = found.last_mut() {
                        challenge.parameters.push((word, value));
                    }
                }
                None => found.push(Challenge {
                    scheme: word,
                    parameters: Vec::new(),
                }),
            }
        }
    }

    fn value(&mut self) -> String {
        let Some(quoted) = self.rest.strip_prefix('"') else {
            return self
                .take(|c| c != ',' && !c.is_ascii_whitespace())
                .to_owned();
        };
        let mut value = String::new();
        let mut letters = quoted.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '"' => break,
                '\\' => value.extend(letters.next()),
                other => value.push(other),
            }
        }
        self.rest = letters.as_str();
        value
    }

    fn skip(&mut self, unwanted: impl Fn(char) -> bool) {
        self.rest = self.rest.trim_start_matches(unwanted);
    }

    fn take(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }
}

fn is_token(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn read(values: &[&str]) -> Vec<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(value).unwrap());
        }
        Challenge::all(&headers)
    }

    #[test]
    fn a_bearer_challenge_is_read_with_and_without_blanks() {
        for text in [
            r#"Bearer realm="https://a/token",service="reg",scope="repository:x/y:pull,push""#,
            r#"bearer realm = "https://a/token" , service=reg,  scope="repository:x/y:pull,push""#,
            r#"BEARER Realm="https://a/token", SERVICE="reg" scope="repository:x/y:pull,push","#,
        ] {
            let [challenge] = &read(&[text])[..] else {
                panic!("one challenge in {text}");
            };
            assert!(challenge.is("bearer"));
            assert_eq!(challenge.parameter("realm"), Some("https://a/token"));
            assert_eq!(challenge.parameter("service"), Some("reg"));
            assert_eq!(
                challenge.parameter("scope"),
                Some("repository:x/y:pull,push")
            );
            assert_eq!(challenge.parameter("error"), None);
        }
    }

    #[test]
    fn several_challenges_are_told_apart() {
        let one_header = read(&[r#"Negotiate, Basic realm="a, b", Bearer realm="c\"d""#]);
        let schemes: Vec<_> = one_header.iter().map(|c| c.scheme.as_str()).collect();
        assert_eq!(schemes, ["negotiate", "basic", "bearer"]);
        assert_eq!(one_header[1].parameter("realm"), Some("a, b"));
        assert_eq!(one_header[2].parameter("realm"), Some("c\"d"));
        let two_headers = read(&[r#"Basic realm="x""#, r#"Bearer realm="y""#]);
        assert_eq!(two_headers.len(), 2);
    }

    #[test]
    fn nonsense_is_skipped() {
        assert!(read(&["", ",,,", "=", "\"\""]).is_empty());
        assert_eq!(
            read(&["Basic realm=\"unclosed"])[0].parameter("realm"),
            Some("unclosed")
        );
        assert_eq!(read(&["Negotiate a87421000492aa874209af8bc028=="]).len(), 1);
        assert_eq!(read(&[&"a ".repeat(1000)]).len(), MAX_CHALLENGES);
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(text in "[ -~\u{80}-\u{ff}]{0,200}") {
            if let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) {
                let mut headers = HeaderMap::new();
                headers.append(WWW_AUTHENTICATE, value);
                let _ = Challenge::all(&headers);
            }
        }
    }
}
