//! `ProfileName`: the name of a profile in documents and in logins. Names match without regard to
//! case, `-` and `_`; a name without a namespace is in `library`, one without a version is
//! `latest`.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::suggestions::fold;

const LIBRARY: &str = "library";
const LATEST: &str = "latest";
/// Most bytes of a namespace, a name or a version.
const MAX_PART_BYTES: usize = 128;

/// Why a text is not a profile's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileNameError {
    /// A namespace, a name or a version breaks the grammar.
    #[error(
        "'{part}' in '{name}' cannot be part of a profile's name: expected a letter or digit, \
         then up to {most} letters, digits, '.', '_' and '-'", most = MAX_PART_BYTES - 1
    )]
    Part {
        /// The whole name as written.
        name: String,
        /// The part that is wrong.
        part: String,
    },
    /// More than one slash.
    #[error("'{0}' has more than one namespace: expected [NAMESPACE/]NAME[:VERSION]")]
    Depth(String),
}

/// `[namespace/]name[:version]`, as in `library/cascadeLake:latest`. Shown as written; equal
/// without regard to case, `-` and `_` (the version: without regard to case).
#[derive(Clone)]
pub struct ProfileName {
    namespace: Box<str>,
    name: Box<str>,
    version: Box<str>,
    /// The form by which names are equal.
    key: Box<str>,
}

impl ProfileName {
    /// A name from its parts; `None` stands for `library` and `latest`.
    ///
    /// # Errors
    /// When a part is empty or has characters that no login can carry.
    pub fn new(
        namespace: Option<&str>,
        name: &str,
        version: Option<&str>,
    ) -> Result<Self, ProfileNameError> {
        let namespace = namespace.unwrap_or(LIBRARY);
        let version = version.unwrap_or(LATEST);
        for part in [namespace, name, version] {
            if !is_part(part) {
                return Err(ProfileNameError::Part {
                    name: format!("{namespace}/{name}:{version}"),
                    part: part.to_owned(),
                });
            }
        }
        let key = format!(
            "{}/{}:{}",
            fold(namespace),
            fold(name),
            version.to_ascii_lowercase()
        );
        Ok(Self {
            namespace: namespace.into(),
            name: name.into(),
            version: version.into(),
            key: key.into(),
        })
    }

    /// The namespace, `library` where none was written.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Whether its namespace is `library`, which logins need not write.
    #[must_use]
    pub fn is_in_library(&self) -> bool {
        is_library(&self.namespace)
    }

    /// The name alone.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version, `latest` where none was written.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// How a login names it: without `library/` and `latest`, the version after `=`.
    #[must_use]
    pub fn selector(&self) -> String {
        let mut text = String::new();
        if !self.is_in_library() {
            text.push_str(&self.namespace);
            text.push('/');
        }
        text.push_str(&self.name);
        if !self.version.eq_ignore_ascii_case(LATEST) {
            text.push('=');
            text.push_str(&self.version);
        }
        text
    }
}

/// Whether a namespace is the one that need not be written.
pub(crate) fn is_library(namespace: &str) -> bool {
    fold(namespace) == LIBRARY
}

/// A part also begins and ends so that it folds to something, and has no character that a
/// login gives a meaning to.
fn is_part(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.len() <= MAX_PART_BYTES
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

impl FromStr for ProfileName {
    type Err = ProfileNameError;

    fn from_str(text: &str) -> Result<Self, ProfileNameError> {
        let (path, version) = match text.split_once(':') {
            Some((path, version)) => (path, Some(version)),
            None => (text, None),
        };
        let (namespace, name) = match path.split_once('/') {
            Some((_, rest)) if rest.contains('/') => {
                return Err(ProfileNameError::Depth(text.to_owned()));
            }
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, path),
        };
        Self::new(namespace, name, version).map_err(|error| match error {
            ProfileNameError::Part { part, .. } => ProfileNameError::Part {
                name: text.to_owned(),
                part,
            },
            other => other,
        })
    }
}

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.namespace, self.name, self.version)
    }
}

impl fmt::Debug for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProfileName({self})")
    }
}

impl PartialEq for ProfileName {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for ProfileName {}

impl PartialOrd for ProfileName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ProfileName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

impl Hash for ProfileName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl Serialize for ProfileName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("zen3", "library/zen3:latest", "zen3")]
    #[case(
        "library/cascadeLake:latest",
        "library/cascadeLake:latest",
        "cascadeLake"
    )]
    #[case("aws/cli", "aws/cli:latest", "aws/cli")]
    #[case(
        "glow-extended:1.5.0",
        "library/glow-extended:1.5.0",
        "glow-extended=1.5.0"
    )]
    fn what_is_left_out_is_library_and_latest(
        #[case] text: &str,
        #[case] full: &str,
        #[case] selector: &str,
    ) {
        let name: ProfileName = text.parse().unwrap();
        assert_eq!(name.to_string(), full);
        assert_eq!(name.selector(), selector);
    }

    #[rstest]
    #[case("library/cascadeLake:latest", "cascade-lake")]
    #[case("skylake_avx512", "Skylake-AVX512:LATEST")]
    fn names_match_without_regard_to_case_dashes_and_underscores(#[case] a: &str, #[case] b: &str) {
        assert_eq!(
            a.parse::<ProfileName>().unwrap(),
            b.parse::<ProfileName>().unwrap()
        );
    }

    #[rstest]
    #[case("a/zen3", "b/zen3")]
    #[case("a:1.5", "a:15")]
    #[case("a:1-5", "a:15")]
    fn other_names_differ(#[case] a: &str, #[case] b: &str) {
        assert_ne!(
            a.parse::<ProfileName>().unwrap(),
            b.parse::<ProfileName>().unwrap()
        );
    }

    #[rstest]
    #[case("")]
    #[case("/a")]
    #[case("a/")]
    #[case("a/b/c")]
    #[case("a:")]
    #[case("a:b:c")]
    #[case("a+b")]
    #[case("a=b")]
    #[case("a b")]
    #[case("-a")]
    #[case("é")]
    fn what_no_login_could_name_is_refused(#[case] text: &str) {
        assert!(text.parse::<ProfileName>().is_err());
    }
}
