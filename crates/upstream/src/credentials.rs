//! Where our credentials at an upstream come from: a file, the environment, Docker's own
//! configuration, or a credential helper. Never our configuration.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::secret::Secret;

/// Credentials at an upstream.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// A user name and its password or access token.
    Password {
        /// The user name.
        username: Box<str>,
        /// The password.
        password: Secret,
    },
    /// An OAuth2 refresh token, as `docker login` stores it under `identitytoken`.
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

    /// User name and password, for another client of the same registry; `None` for a token.
    #[must_use]
    pub fn login(&self) -> Option<(&str, &str)> {
        match self {
            Self::Password { username, password } => Some((username, password.reveal())),
            Self::IdentityToken(_) => None,
        }
    }

    /// Whether the credentials are unchanged.
    #[must_use]
    pub fn are_still(&self, before: &Self) -> bool {
        match (self, before) {
            (
                Self::Password { username, password },
                Self::Password {
                    username: former,
                    password: old,
                },
            ) => username == former && password.is(old),
            (Self::IdentityToken(token), Self::IdentityToken(old)) => token.is(old),
            _ => false,
        }
    }
}

/// The source of credentials; exactly one of the four.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CredentialsConfig {
    /// The user name, with a password from one of the next two.
    pub username: Option<String>,
    /// A file that holds the password; one line break at its end is not part of it.
    pub password_file: Option<PathBuf>,
    /// An environment variable that holds the password.
    pub password_env: Option<String>,
    /// Docker's `config.json`, with its credential helpers: what it holds for the host, or
    /// anonymous if it holds nothing.
    pub docker_config: Option<PathBuf>,
    /// A credential helper by the last part of its name: `ecr-login` for
    /// `docker-credential-ecr-login`.
    pub helper: Option<String>,
}
