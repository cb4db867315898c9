//! Immutable tags, by pattern. What they name, and all that it needs, cannot be deleted either.

use metahub_oci::{RepositoryName, Tag};
use regex::RegexSet;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// Patterns of immutable tags: regular expressions that match a whole `NAME:TAG`.
#[derive(Clone, Debug)]
pub struct ImmutableTags(RegexSet);

impl Default for ImmutableTags {
    fn default() -> Self {
        Self(RegexSet::empty())
    }
}

impl ImmutableTags {
    /// Parses patterns. The error names the invalid one.
    pub fn new<P: AsRef<str>>(patterns: &[P]) -> Result<Self, regex::Error> {
        let whole = patterns
            .iter()
            .map(|pattern| format!("^(?:{})$", pattern.as_ref()));
        RegexSet::new(whole).map(Self)
    }

    /// Whether nothing is immutable.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `tag` of the repository `name` is immutable.
    #[must_use]
    pub fn has(&self, name: &RepositoryName, tag: &Tag) -> bool {
        !self.is_empty() && self.0.is_match(&format!("{name}:{tag}"))
    }
}

impl<'de> Deserialize<'de> for ImmutableTags {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::new(&Vec::<String>::deserialize(from)?).map_err(|error| {
            D::Error::custom(format!(
                "this is no list of regular expressions such as ['prod/.*:v[0-9.]+']: {error}"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_a_whole_name_and_tag() {
        let tags = ImmutableTags::new(&["prod/.*:v[0-9.]+", ".*:release|site/app:.*"]).unwrap();
        for (name, tag, immutable) in [
            ("prod/app", "v1.0", true),
            ("prod/a/b", "v1", true),
            ("prod/app", "v1-rc", false),
            ("preprod/app", "v1", false),
            ("any", "release", true),
            ("any", "release-2", false),
            ("site/app", "latest", true),
        ] {
            let (name, tag) = (name.parse().unwrap(), tag.parse().unwrap());
            assert_eq!(tags.has(&name, &tag), immutable, "{name}:{tag}");
        }
        let (name, tag) = ("a".parse().unwrap(), "b".parse().unwrap());
        assert!(!ImmutableTags::default().has(&name, &tag));
    }
}
