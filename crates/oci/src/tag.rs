//! Tags, as the distribution specification defines them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not a tag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a tag: expected up to 128 letters, digits, '_', '.' and '-', not starting with '.' or '-'"
)]
pub struct TagError(String);

/// A tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(Box<str>);

impl Tag {
    /// The tag `latest`, the default.
    #[must_use]
    pub fn latest() -> Self {
        Self("latest".into())
    }

    /// The tag as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let starts_well = text.as_bytes().first().copied().is_some_and(letter);
        let well_formed = starts_well
            && text.len() <= 128
            && text.bytes().all(|b| letter(b) || b == b'.' || b == b'-');
        if well_formed {
            Ok(Self(text.into()))
        } else {
            Err(TagError(text.to_owned()))
        }
    }
}

impl TryFrom<String> for Tag {
    type Error = TagError;

    fn try_from(text: String) -> Result<Self, TagError> {
        text.parse()
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> Self {
        tag.0.into()
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_follow_the_grammar() {
        for tag in ["latest", "2021.5", "_x", "x86_64_v4", "A-b"] {
            assert!(tag.parse::<Tag>().is_ok(), "{tag}");
        }
        for tag in ["", ".x", "-x", "a b", "a/b", "a:b", "é"] {
            assert!(tag.parse::<Tag>().is_err(), "{tag}");
        }
        assert!("a".repeat(128).parse::<Tag>().is_ok());
        assert!("a".repeat(129).parse::<Tag>().is_err());
    }
}
