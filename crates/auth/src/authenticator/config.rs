//! The settings of logins and tokens.

use std::time::Duration;

use crate::{AnonymousAccess, ProfilesBy};

/// What a profile that is named without an account requires.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum ProfilePassword {
    /// Any password, the empty one too.
    #[default]
    Any,
    /// An account beside it: `ACCOUNT/PROFILE`.
    Account,
}

/// Settings of logins and tokens.
#[derive(Clone, Debug)]
pub struct AuthConfig {
    /// The rights of everyone. With [`AnonymousAccess::None`] a profile alone does not log in.
    pub anonymous: AnonymousAccess,
    /// What a profile alone requires.
    pub profile_password: ProfilePassword,
    /// Whether the header `X-Meta-Profile` of a request chooses a profile.
    pub profile_header: bool,
    /// Profiles by other properties of a request.
    pub profiles_by: ProfilesBy,
    /// The name of this registry in challenges and tokens. Replicas share it.
    pub service: String,
    /// How long a token lives; at least a minute.
    pub token_lifetime: Duration,
    /// How long an accepted login or token is accepted without reading the store.
    pub recheck: Duration,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            anonymous: AnonymousAccess::default(),
            profile_password: ProfilePassword::default(),
            profile_header: false,
            profiles_by: ProfilesBy::default(),
            service: "metahub".to_owned(),
            token_lifetime: Duration::from_secs(300),
            recheck: Duration::from_secs(5),
        }
    }
}
