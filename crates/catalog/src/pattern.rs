//! Regular expressions that match whole texts only, bounded in size and in time: `TextPattern`,
//! and `RepositoryPattern`, which says which repositories a profile's action is for.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use metahub_oci::RepositoryName;
use regex::{Regex, RegexBuilder};
use serde::{Serialize, Serializer};

/// Most bytes that a pattern may have.
const MAX_PATTERN_BYTES: usize = 512;
/// Most memory that a compiled pattern may take, in bytes.
const MAX_COMPILED_BYTES: usize = 512 * 1024;

/// Why a text is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Longer than 512 bytes.
    #[error("a pattern of {0} bytes is too long: at most {MAX_PATTERN_BYTES} are accepted")]
    TooLong(usize),
    /// Not a regular expression, or one that would take too much memory.
    #[error("'{pattern}' is not a usable regular expression: {reason}")]
    Invalid {
        /// The pattern as written.
        pattern: String,
        /// What the expression's parser says, in one line.
        reason: String,
    },
}

/// An anchored regular expression. Two are equal when they are written alike.
#[derive(Clone)]
pub struct TextPattern(Arc<Compiled>);

struct Compiled {
    written: Box<str>,
    regex: Regex,
}

/// The compiled patterns that are in use. Compiling costs much more than looking one up, and many
/// documents write the same few.
static IN_USE: LazyLock<Mutex<InUse>> = LazyLock::new(Mutex::default);

/// Looked through for those that nobody uses any more when there are this many.
const FEW: usize = 64;

#[derive(Default)]
struct InUse {
    patterns: HashMap<Box<str>, Weak<Compiled>>,
    /// How many there were when those in use were last counted.
    counted: usize,
}

impl InUse {
    fn find(&self, text: &str) -> Option<Arc<Compiled>> {
        self.patterns.get(text).and_then(Weak::upgrade)
    }

    /// Never holds more than twice as many as are in use, and a few.
    fn add(&mut self, compiled: &Arc<Compiled>) {
        if self.patterns.len() >= 2 * self.counted + FEW {
            self.patterns
                .retain(|_, pattern| pattern.strong_count() > 0);
            self.counted = self.patterns.len();
        }
        let written = compiled.written.clone();
        self.patterns.insert(written, Arc::downgrade(compiled));
    }
}

impl TextPattern {
    /// Whether the whole of `text` matches.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.0.regex.is_match(text)
    }

    /// The pattern as written, without anchors.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.written
    }
}

/// A [`TextPattern`] over repository names: `qnib/.*` matches every name below `qnib`, and
/// `qnib/featuretest` matches itself only.
#[derive(Clone, PartialEq, Eq)]
pub struct RepositoryPattern(TextPattern);

impl RepositoryPattern {
    /// Whether the whole of `name` matches.
    #[must_use]
    pub fn matches(&self, name: &RepositoryName) -> bool {
        self.0.matches(name.as_str())
    }

    /// The pattern as written, without anchors.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for RepositoryPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        text.parse().map(Self)
    }
}

impl Serialize for RepositoryPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl fmt::Display for RepositoryPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for RepositoryPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RepositoryPattern({})", self.as_str())
    }
}

fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern)
        .size_limit(MAX_COMPILED_BYTES)
        .dfa_size_limit(MAX_COMPILED_BYTES)
        .nest_limit(32)
        .build()
}

/// The last line of the parser's report says what is wrong; the others draw it.
fn reason(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => "it would take too much memory".to_owned(),
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default();
            last.trim_start_matches("error: ").to_owned()
        }
    }
}

impl FromStr for TextPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.len() > MAX_PATTERN_BYTES {
            return Err(PatternError::TooLong(text.len()));
        }
        let in_use = || IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(compiled) = in_use().find(text) {
            return Ok(Self(compiled));
        }
        // Compiled alone first: `a)|(b` must not come to be by standing in our group.
        let regex = compile(text)
            .and_then(|_| compile(&format!(r"\A(?:{text})\z")))
            .map_err(|error| PatternError::Invalid {
                pattern: text.to_owned(),
                reason: reason(&error),
            })?;
        let compiled = Arc::new(Compiled {
            written: text.into(),
            regex,
        });
        in_use().add(&compiled);
        Ok(Self(compiled))
    }
}

impl PartialEq for TextPattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.written == other.0.written
    }
}

impl Eq for TextPattern {}

impl Serialize for TextPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Display for TextPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for TextPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TextPattern({})", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("qnib/featuretest", "qnib/featuretest", true)]
    #[case("qnib/featuretest", "qnib/featuretest2", false)]
    #[case("qnib/featuretest", "x/qnib/featuretest", false)]
    #[case("qnib/.*", "qnib/a/b", true)]
    #[case("qnib/.*", "other/qnib/a", false)]
    #[case("a|b/c", "a", true)]
    #[case("a|b/c", "a/c", false)]
    #[case("", "a", false)]
    #[case(".*", "anything/at-all", true)]
    fn a_pattern_matches_whole_names(
        #[case] pattern: &str,
        #[case] name: &str,
        #[case] expected: bool,
    ) {
        let pattern: RepositoryPattern = pattern.parse().unwrap();
        assert_eq!(pattern.matches(&name.parse().unwrap()), expected);
    }

    #[rstest]
    #[case("(")]
    #[case("a)|(?:b")]
    #[case("(?x)a # b")]
    #[case("a{1000}{1000}")]
    #[case(r"\w{500}{20}")]
    #[case("*")]
    fn what_cannot_be_compiled_in_bounds_is_refused(#[case] pattern: &str) {
        assert!(pattern.parse::<RepositoryPattern>().is_err());
    }

    #[test]
    fn patterns_that_are_written_alike_are_compiled_once_and_forgotten_when_unused() {
        let [one, two]: [TextPattern; 2] = ["shared/.*"; 2].map(|text| text.parse().unwrap());
        assert!(Arc::ptr_eq(&one.0, &two.0));
        drop((one, two));
        for number in 0..10 * FEW {
            let _: TextPattern = format!("own/{number}").parse().unwrap();
        }
        // Other tests have some of theirs in use.
        let known = IN_USE.lock().unwrap().patterns.len();
        assert!(known < 5 * FEW, "{known}");
    }

    #[test]
    fn the_error_says_in_one_line_what_is_wrong() {
        let error = "qnib/(".parse::<RepositoryPattern>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "'qnib/(' is not a usable regular expression: unclosed group"
        );
        let long = "a".repeat(513).parse::<RepositoryPattern>().unwrap_err();
        assert!(matches!(long, PatternError::TooLong(513)));
    }
}
