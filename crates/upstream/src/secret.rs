//! Texts that must never be shown: passwords and tokens.
//!
//! They have no `Display`, their `Debug` prints nothing, and they are compared only with each
//! other, never with what a client sends.

use std::fmt;

/// Shorter secrets are not masked in other texts, where they would be found everywhere.
const SHORTEST: usize = 4;

/// A text that prints as `***`.
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text itself, for sending it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether two secrets of ours are equal.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    /// Masks this secret in `text`: an upstream may repeat what it was sent.
    pub(crate) fn scrub(&self, text: &str) -> String {
        if self.0.len() < SHORTEST {
            text.to_owned()
        } else {
            text.replace(&*self.0, "***")
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print_itself() {
        assert!(!format!("{:?}", Secret::new("hunter2")).contains("hunter2"));
    }

    #[test]
    fn a_repeated_secret_is_covered() {
        let secret = Secret::new("hunter2");
        assert_eq!(secret.scrub("got 'hunter2'!"), "got '***'!");
        assert_eq!(Secret::new("a").scrub("a cat"), "a cat");
    }
}
