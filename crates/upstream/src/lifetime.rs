//! The lifetime of an upstream's tags in the cache, by upstream and by pattern, and the policy for
//! tags that vanish there. Only rules; `registry` caches and revalidates.

use std::time::Duration;

use metahub_oci::{RepositoryName, Tag};
use regex::Regex;
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::duration::duration;

/// The lifetime of a cached tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// A duration.
    For(Duration),
    /// For ever: it is never revalidated.
    Immutable,
}

impl Lifetime {
    /// Whether a tag of this age must be revalidated.
    #[must_use]
    pub fn is_over(self, age: Duration) -> bool {
        match self {
            Self::For(lifetime) => age >= lifetime,
            Self::Immutable => false,
        }
    }

    /// The remaining lifetime of a tag of this age: zero if it must be revalidated, `None` if it
    /// never must.
    #[must_use]
    pub fn left(self, age: Duration) -> Option<Duration> {
        match self {
            Self::For(lifetime) => Some(lifetime.saturating_sub(age)),
            Self::Immutable => None,
        }
    }
}

impl<'de> Deserialize<'de> for Lifetime {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text == "immutable" {
            return Ok(Self::Immutable);
        }
        let from = serde::de::value::StringDeserializer::<D::Error>::new(text.clone());
        duration(from).map(Self::For).map_err(|_| {
            D::Error::custom(format!(
                "'{text}' is no lifetime of a tag: expected immutable, or a number with a unit, \
                 such as 10s or 12h"
            ))
        })
    }
}

/// Lifetimes by pattern.
#[derive(Clone, Debug, Default)]
pub struct TagLifetimes(Vec<(Regex, Lifetime)>);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// A regular expression that matches a whole `NAME:TAG`, the name as it is at the upstream.
    #[serde(rename = "match")]
    pattern: String,
    #[schemars(with = "String")]
    lifetime: Lifetime,
}

impl TagLifetimes {
    /// The lifetime of the first pattern that matches.
    #[must_use]
    pub fn of(&self, name: &RepositoryName, tag: &Tag) -> Option<Lifetime> {
        if self.0.is_empty() {
            return None;
        }
        let whole = format!("{name}:{tag}");
        let found = self.0.iter().find(|(pattern, _)| pattern.is_match(&whole));
        found.map(|(_, lifetime)| *lifetime)
    }
}

impl<'de> Deserialize<'de> for TagLifetimes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let rules = Vec::<Rule>::deserialize(from)?;
        let rules = rules.into_iter().map(|rule| {
            Regex::new(&format!("^(?:{})$", rule.pattern))
                .map(|pattern| (pattern, rule.lifetime))
                .map_err(|error| {
                    D::Error::custom(format!(
                        "'{}' is no regular expression for a whole NAME:TAG, such as \
                         '.*:v[0-9.]+': {error}",
                        rule.pattern
                    ))
                })
        });
        rules.collect::<Result<_, _>>().map(Self)
    }
}

/// The policy for a tag that vanished at its upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Gone {
    /// The cached copy is served, with a warning, until it is deleted here.
    #[default]
    Keep,
    /// It is unknown here too.
    Follow,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pattern_that_matches_the_whole_name_and_tag_counts() {
        let rules: TagLifetimes = serde_json::from_str(
            r#"[{"match": "site/.*:latest", "lifetime": "0s"},
                {"match": ".*:(v[0-9.]+|latest)", "lifetime": "immutable"},
                {"match": ".*:nightly", "lifetime": "12h"}]"#,
        )
        .unwrap();
        let of = |name: &str, tag: &str| rules.of(&name.parse().unwrap(), &tag.parse().unwrap());
        assert_eq!(of("site/a", "latest"), Some(Lifetime::For(Duration::ZERO)));
        assert_eq!(of("a", "latest"), Some(Lifetime::Immutable));
        assert_eq!(of("a", "v1.2"), Some(Lifetime::Immutable));
        assert_eq!(of("a", "v1.2-rc"), None);
        let half_a_day = Duration::from_hours(12);
        assert_eq!(of("a", "nightly"), Some(Lifetime::For(half_a_day)));
        assert!(Lifetime::For(half_a_day).is_over(half_a_day));
        assert!(!Lifetime::Immutable.is_over(Duration::MAX));
    }

    #[test]
    fn a_wrong_rule_says_what_is_expected() {
        for (json, words) in [
            (
                r#"[{"match": "a(", "lifetime": "1s"}]"#,
                "regular expression",
            ),
            (r#"[{"match": "a", "lifetime": "always"}]"#, "immutable"),
            (r#"[{"match": "a", "lifetime": "-1s"}]"#, "immutable"),
            (r#"[{"match": "a"}]"#, "lifetime"),
            (r#"[{"tag": "a", "lifetime": "1s"}]"#, "tag"),
        ] {
            let error = serde_json::from_str::<TagLifetimes>(json).unwrap_err();
            assert!(error.to_string().contains(words), "{json}: {error}");
        }
    }
}
