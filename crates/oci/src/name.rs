//! Repository names, as the distribution specification defines `<name>`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest name accepted. The specification leaves the limit open; 255 is what clients assume.
const MAX_NAME_BYTES: usize = 255;

/// Why a text is not a repository name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("a repository name is empty: expected path components such as qnib/featuretest")]
    Empty,
    /// More than 255 bytes.
    #[error("a repository name of {0} bytes is too long: at most 255 are accepted")]
    TooLong(usize),
    /// One path component breaks the grammar.
    #[error(
        "'{component}' in repository name '{name}' is not a path component: expected lower-case \
         letters and digits, joined by single '.', one or two '_', or any number of '-'"
    )]
    Component {
        /// The whole name as written.
        name: String,
        /// The first component that is wrong.
        component: String,
    },
}

/// A repository name: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*` joined by `/`, at most 255 bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepositoryName(Box<str>);

impl RepositoryName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first path component: the namespace that accounts push into.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.0.split('/').next().unwrap_or("")
    }

    /// What follows the first path component, if anything does.
    #[must_use]
    pub fn without_namespace(&self) -> Option<Self> {
        self.0.split_once('/').map(|(_, rest)| Self(rest.into()))
    }

    /// This name under the namespace `library`, as Docker Hub keeps its official images.
    /// Unchanged if the name has a namespace already.
    #[must_use]
    pub fn in_library(&self) -> Self {
        if self.0.contains('/') {
            self.clone()
        } else {
            Self(format!("library/{}", self.0).into())
        }
    }
}

fn is_component(text: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends_well = bytes.first().copied().is_some_and(alphanumeric)
        && bytes.last().copied().is_some_and(alphanumeric);
    ends_well
        && text
            .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            .all(|separator| {
                matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-')
            })
}

impl FromStr for RepositoryName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > MAX_NAME_BYTES {
            return Err(NameError::TooLong(text.len()));
        }
        match text.split('/').find(|component| !is_component(component)) {
            Some(component) => Err(NameError::Component {
                name: text.to_owned(),
                component: component.to_owned(),
            }),
            None => Ok(Self(text.into())),
        }
    }
}

impl TryFrom<String> for RepositoryName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<RepositoryName> for String {
    fn from(name: RepositoryName) -> Self {
        name.0.into()
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_specification_are_accepted() {
        for name in [
            "a",
            "qnib/featuretest",
            "a.b/c_d/e__f/g---h",
            "gromacs-2021.5_gcc-7.3.1",
            "0",
        ] {
            assert_eq!(name.parse::<RepositoryName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn names_outside_the_grammar_are_refused() {
        for name in [
            "", "/", "a/", "/a", "a//b", "A", "a..b", "a___b", "-a", "a-", "a/../b", "a b", "é",
            "a:b",
        ] {
            assert!(name.parse::<RepositoryName>().is_err(), "{name}");
        }
        assert_eq!(
            "a".repeat(256).parse::<RepositoryName>(),
            Err(NameError::TooLong(256))
        );
    }

    #[test]
    fn official_images_live_in_library() {
        let bare: RepositoryName = "debian".parse().unwrap();
        assert_eq!(bare.in_library().as_str(), "library/debian");
        let full: RepositoryName = "qnib/featuretest".parse().unwrap();
        assert_eq!(full.in_library(), full);
        assert_eq!(full.namespace(), "qnib");
    }
}
