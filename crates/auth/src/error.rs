//! Why authentication failed. People read these texts in the body of a 401: they hold no secret,
//! and do not reveal whether an account exists.

use std::error::Error;
use std::time::Duration;

use metahub_catalog::LoginError;

use crate::{AccountStoreError, NodeRefused};

/// Why credentials were not accepted. All are answered 401, except [`TooMany`](Self::TooMany)
/// (429) and [`Unavailable`](Self::Unavailable) (503).
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// No account has this name and password. The same words whether or not the account exists, so
    /// they also name profiles like it.
    #[error("no account has this user name and password{}", also(.profile))]
    BadCredentials {
        /// Why the user name is not a profile's either; `None` where it is one.
        profile: Option<LoginError>,
    },
    /// No login has this name: it breaks the grammar, or the account is right and the profile
    /// beside it does not exist.
    #[error("{0}")]
    UnknownProfile(LoginError),
    /// A profile was named alone where only accounts may log in.
    #[error(
        "'{login}' is a profile, and this registry asks for an account beside it: log in as \
         ACCOUNT/{login} with the account's password"
    )]
    AccountRequired {
        /// The user name as it was sent.
        login: String,
    },
    /// No credentials, and this registry requires them.
    #[error("this registry asks for an account: log in as ACCOUNT or ACCOUNT/PROFILE")]
    LoginRequired,
    /// A token of ours that is no longer valid: too old, or its account has changed.
    #[error("the token has expired: ask for a new one")]
    Expired,
    /// A token that is not ours: wrong signature, wrong service, another algorithm, or cut.
    #[error("the token is not one of this registry's: log in again")]
    BadToken,
    /// An invalid credential of a node.
    #[error("{0}")]
    Node(#[from] NodeRefused),
    /// The header cannot be read.
    #[error("the credentials cannot be read: {0}")]
    Malformed(&'static str),
    /// Too many failures of this name from this address, or more passwords to check than there
    /// is time for.
    #[error(
        "too many logins to check: try again in {} seconds",
        .retry_after.as_secs()
    )]
    TooMany {
        /// The time to retry, for `Retry-After`.
        retry_after: Duration,
    },
    /// The store of accounts does not answer, or a password cannot be checked. The cause is the
    /// source, and in the log.
    #[error("nobody can be logged in at the moment: the registry's log says why")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
}

impl AuthError {
    /// Wraps what went wrong below, which is for the log and not for the client.
    pub(crate) fn unavailable(source: impl Error + Send + Sync + 'static) -> Self {
        tracing::error!(error = %source, "nobody can be logged in");
        Self::Unavailable(Box::new(source))
    }

    /// The code for the challenge's `error` parameter (RFC 6750, section 3.1), where one fits.
    #[must_use]
    pub const fn challenge_code(&self) -> Option<&'static str> {
        match self {
            Self::Expired | Self::BadToken => Some("invalid_token"),
            _ => None,
        }
    }
}

impl From<AccountStoreError> for AuthError {
    fn from(error: AccountStoreError) -> Self {
        Self::unavailable(error)
    }
}

fn also(profile: &Option<LoginError>) -> String {
    profile
        .as_ref()
        .map_or_else(String::new, |error| format!(", and {error}"))
}
