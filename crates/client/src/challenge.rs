//! What a registry asks for in `WWW-Authenticate` (RFC 9110 section 11.6.1; distribution
//! specification, token authentication). It reads and decides nothing.

/// Most challenges that are read of one header.
const MOST_CHALLENGES: usize = 8;

/// One challenge: a scheme and its parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenge {
    /// In lower case: `bearer`, `basic`.
    pub scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// All challenges of one header value; what cannot be read is skipped.
    #[must_use]
    pub fn all(header: &str) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        let mut rest = header;
        while found.len() <= MOST_CHALLENGES {
            rest = rest.trim_start_matches(|c: char| !is_token(c));
            let word = take(&mut rest, is_token).to_ascii_lowercase();
            if word.is_empty() {
                break;
            }
            let after = rest.trim_start();
            let Some(value) = after.strip_prefix('=') else {
                found.push(Self {
                    scheme: word,
                    parameters: Vec::new(),
                });
                continue;
            };
            rest = value.trim_start();
            let value = value_of(&mut rest);
            if let Some(challenge) = found.last_mut() {
                challenge.parameters.push((word, value));
            }
        }
        found.truncate(MOST_CHALLENGES);
        found
    }

    /// The value of a parameter, whose name is in lower case.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let (_, value) = self.parameters.iter().find(|(key, _)| key == name)?;
        Some(value)
    }
}

fn value_of(rest: &mut &str) -> String {
    let Some(quoted) = rest.strip_prefix('"') else {
        return take(rest, |c| c != ',' && !c.is_ascii_whitespace()).to_owned();
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
    *rest = letters.as_str();
    value
}

fn take<'t>(rest: &mut &'t str, wanted: impl Fn(char) -> bool) -> &'t str {
    let end = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
    let (taken, left) = rest.split_at(end);
    *rest = left;
    taken
}

fn is_token(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bearer_challenge_is_read_however_it_is_written() {
        for text in [
            r#"Bearer realm="https://a/token",service="reg",scope="repository:x/y:pull,push""#,
            r#"bearer realm = "https://a/token" , service=reg,  scope="repository:x/y:pull,push""#,
        ] {
            let [challenge] = &Challenge::all(text)[..] else {
                panic!("one challenge in {text}");
            };
            assert_eq!(challenge.scheme, "bearer");
            assert_eq!(challenge.parameter("realm"), Some("https://a/token"));
            assert_eq!(challenge.parameter("service"), Some("reg"));
            assert_eq!(
                challenge.parameter("scope"),
                Some("repository:x/y:pull,push")
            );
        }
    }

    #[test]
    fn several_challenges_are_told_apart_and_nonsense_is_skipped() {
        let all = Challenge::all(r#"Negotiate, Basic realm="a, b", Bearer realm="c\"d""#);
        let schemes: Vec<_> = all.iter().map(|c| c.scheme.as_str()).collect();
        assert_eq!(schemes, ["negotiate", "basic", "bearer"]);
        assert_eq!(all[2].parameter("realm"), Some("c\"d"));
        for nothing in ["", ",,,", "=", "\"\""] {
            assert_eq!(Challenge::all(nothing), [], "{nothing}");
        }
        assert_eq!(Challenge::all(&"a ".repeat(1000)).len(), MOST_CHALLENGES);
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(text in "\\PC{0,200}") {
            assert!(Challenge::all(&text).len() <= MOST_CHALLENGES);
        }
    }
}
