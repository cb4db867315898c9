//! Texts that must never be seen: passwords and tokens.
//!
//! They have no `Display`, their `Debug` says nothing, and they are compared nowhere.

use std::fmt;

/// A text that prints as `***`.
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text itself: for the one place that sends it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
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

/// What an upstream knows us by.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// A user name and its password or access token.
    Password {
        /// The user name.
        username: Box<str>,
        /// The password.
        password: Secret,
    },
    /// An OAuth2 refresh token, as `docker login` keeps it under `identitytoken`.
    IdentityToken(Secret),
}

impl Credentials {
    /// A user name with its password.
    #[must_use]
    pub fn password(username: impl Into<Box<str>>, password: impl Into<Secret>) -> Self {
        Self::Password {
            username: username.into(),
            password: password.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print_itself() {
        let credentials = Credentials::password("alice", "hunter2".to_owned());
        assert!(!format!("{credentials:?}").contains("hunter2"));
        assert!(!format!("{:#?}", Secret::new("hunter2")).contains("hunter2"));
    }
}
