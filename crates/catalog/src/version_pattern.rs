//! Which tags of a collection are versions, to find newer ones: a regular expression that matches a
//! whole tag, with the version as its first group where there is one.

use std::fmt;
use std::str::FromStr;

use regex::{Regex, RegexBuilder};
use serde::{Serialize, Serializer};

use crate::pattern::PatternError;

/// Most bytes that a pattern may have.
const MAX_PATTERN_BYTES: usize = 512;
/// Most memory that a compiled pattern may take, in bytes.
const MAX_COMPILED_BYTES: usize = 512 * 1024;

/// A pattern of tags that hold a version. Two are equal when they are written alike.
#[derive(Clone)]
pub struct VersionPattern {
    written: Box<str>,
    regex: Regex,
}

impl VersionPattern {
    /// The version in `tag`, where the whole of it matches: the first group, or all of it where
    /// the pattern has none.
    #[must_use]
    pub fn version<'t>(&self, tag: &'t str) -> Option<&'t str> {
        let found = self.regex.captures(tag)?;
        let version = if self.regex.captures_len() > 1 {
            found.get(1)?
        } else {
            found.get(0)?
        };
        Some(version.as_str()).filter(|version| !version.is_empty())
    }
}

impl FromStr for VersionPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.len() > MAX_PATTERN_BYTES {
            return Err(PatternError::TooLong(text.len()));
        }
        let regex = RegexBuilder::new(&format!("^(?:{text})$"))
            .size_limit(MAX_COMPILED_BYTES)
            .build()
            .map_err(|error| PatternError::Invalid {
                pattern: text.to_owned(),
                reason: error.to_string().replace('\n', " "),
            })?;
        Ok(Self {
            written: text.into(),
            regex,
        })
    }
}

impl PartialEq for VersionPattern {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl Eq for VersionPattern {}

impl fmt::Debug for VersionPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VersionPattern({})", self.written)
    }
}

impl Serialize for VersionPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.written)
    }
}
