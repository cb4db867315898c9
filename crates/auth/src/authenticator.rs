//! From credentials to an identity, and from an identity to a token.
//!
//! A login or token that was accepted is accepted again without reading the store for
//! [`AuthConfig::recheck`], unless the catalog changed. After that the account is read again, so
//! the removal, demotion or new password of an account (by this process or another) takes effect
//! everywhere within that time. Refusals are never remembered.

mod arrival;
mod config;
mod node_login;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

pub use config::{AuthConfig, ProfilePassword};
use jiff::Timestamp;
use metahub_catalog::{Catalog, Composed, Login, LoginError};
use tokio::sync::watch;

use crate::grants::Grants;
use crate::identity::TokenLimits;
use crate::remembered::Remembered;
use crate::token::{Access, Claims, until};
use crate::verifier::Verifier;
use crate::{
    AccountName, AccountStore, Actions, AnonymousAccess, AuthError, Credentials, Identity, Issued,
    Nodes, Password, Scope, SigningKey, StoredAccount,
};

/// The shortest life of a token that clients cope with.
const MIN_TOKEN_LIFETIME: Duration = Duration::from_secs(60);

/// Authenticates clients and issues tokens. One per server, shared.
pub struct Authenticator {
    accounts: Arc<dyn AccountStore>,
    config: AuthConfig,
    key: SigningKey,
    verifier: Verifier,
    remembered: Remembered,
    anonymous: Option<Arc<Identity>>,
    nodes: Option<Nodes>,
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Authenticator {
    /// Checks logins against `accounts` and the current `catalog`, and signs tokens with `key`.
    #[must_use]
    pub fn new(
        accounts: Arc<dyn AccountStore>,
        catalog: watch::Receiver<Arc<Catalog>>,
        config: AuthConfig,
        key: SigningKey,
    ) -> Self {
        let anonymous = (config.anonymous != AnonymousAccess::None).then(|| {
            Arc::new(Identity {
                login: "".into(),
                grants: Grants {
                    anonymous: config.anonymous,
                    account: None,
                    node: false,
                },
                profile: Arc::new(Composed::none()),
                token: None,
                profile_by: None,
                version: None,
                node: None,
            })
        });
        Self {
            accounts,
            remembered: Remembered::new(catalog, config.recheck),
            key,
            verifier: Verifier::new(),
            anonymous,
            config,
            nodes: None,
        }
    }

    /// The same with nodes that prove their identity.
    #[must_use]
    pub fn with_nodes(self, nodes: Option<Nodes>) -> Self {
        Self { nodes, ..self }
    }

    /// The nodes, if any way of proving their identity is configured.
    #[must_use]
    pub const fn nodes(&self) -> Option<&Nodes> {
        self.nodes.as_ref()
    }

    /// The settings.
    #[must_use]
    pub const fn config(&self) -> &AuthConfig {
        &self.config
    }

    /// The current catalog.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.remembered.catalog()
    }

    /// The identity without credentials; `None` where that is not allowed.
    #[must_use]
    pub fn anonymous(&self) -> Option<Arc<Identity>> {
        self.anonymous.clone()
    }

    /// Authenticates credentials, sent from that address if it is known.
    ///
    /// # Errors Refused credentials; see [`AuthError`] for the answers.
    pub async fn authenticate(
        &self,
        credentials: &Credentials,
        from: Option<IpAddr>,
    ) -> Result<Arc<Identity>, AuthError> {
        match credentials {
            Credentials::Anonymous => self.anonymous().ok_or(AuthError::LoginRequired),
            Credentials::Basic { user, password } => self.basic(user, password, from).await,
            Credentials::Bearer(token) => self.bearer(token.expose()).await,
        }
    }

    /// Authenticates a user name, of an account, a profile, or both, with its password.
    ///
    /// # Errors
    /// The account does not exist or its password is another, the profile does not exist, too
    /// many tries, or the store failed.
    pub async fn basic(
        &self,
        user: &str,
        password: &Password,
        from: Option<IpAddr>,
    ) -> Result<Arc<Identity>, AuthError> {
        if let Some(identity) = self.remembered.login(user, password).await {
            return Ok(identity);
        }
        let catalog = self.remembered.catalog();
        let identity = Arc::new(self.check_login(user, password, from, &catalog).await?);
        self.remembered
            .keep_login(user, password, &identity, catalog)
            .await;
        Ok(identity)
    }

    /// The identity to which a token was issued, with no more rights than the token grants and its
    /// account has now.
    ///
    /// # Errors
    /// The token is not ours, has expired, its account is gone or has another password, or its
    /// profile is gone.
    pub async fn bearer(&self, token: &str) -> Result<Arc<Identity>, AuthError> {
        if let Some(identity) = self.remembered.token(token).await {
            return Ok(identity);
        }
        let claims = self.key.verify(token, &self.config.service)?;
        let left = until(claims.expires(), Timestamp::now());
        let catalog = self.remembered.catalog();
        let identity = Arc::new(self.check_claims(claims, &catalog).await?);
        self.remembered
            .keep_token(token, left, &identity, catalog)
            .await;
        Ok(identity)
    }

    /// Issues a token for `identity`, with those scopes of `asked` that it has, possibly none: a
    /// reduced token is not an error. A token requested with a token lives no longer than that.
    ///
    /// # Errors
    /// The token cannot be signed.
    pub fn issue(&self, identity: &Identity, asked: &[Scope]) -> Result<Issued, AuthError> {
        self.issue_for(identity, asked, false)
    }

    /// The same, also for the list of repositories if `catalog` is requested and the identity may
    /// read that.
    ///
    /// # Errors
    /// The token cannot be signed.
    pub fn issue_for(
        &self,
        identity: &Identity,
        asked: &[Scope],
        catalog: bool,
    ) -> Result<Issued, AuthError> {
        let issued_at =
            Timestamp::from_second(Timestamp::now().as_second()).map_err(AuthError::unavailable)?;
        let lifetime = self.config.token_lifetime.max(MIN_TOKEN_LIFETIME);
        let left = identity
            .token
            .as_ref()
            .map(|token| until(token.expires, issued_at));
        let lifetime = left.map_or(lifetime, |left| lifetime.min(left));
        let granted = asked.iter().filter_map(|scope| {
            let repository = scope.repository.clone();
            let actions = scope
                .actions
                .retain(|right| identity.may(right, &repository));
            (actions != Actions::NONE).then(|| {
                Access::from(Scope {
                    repository,
                    actions,
                })
            })
        });
        let claims = Claims {
            sub: identity.login.to_string(),
            account: identity.account().cloned(),
            version: identity.version.clone(),
            node: identity.node().cloned(),
            access: granted.collect(),
            catalog: catalog && identity.may_list(),
            ..Claims::new(&self.config.service, issued_at, lifetime)
        };
        let token = self.key.sign(&claims)?;
        Ok(Issued {
            token,
            expires_in: lifetime.as_secs(),
            issued_at,
        })
    }

    async fn check_login(
        &self,
        user: &str,
        password: &Password,
        from: Option<IpAddr>,
        catalog: &Catalog,
    ) -> Result<Identity, AuthError> {
        if let Some(nodes) = &self.nodes
            && let Some(credential) = nodes.credential(password)
        {
            return self
                .node_login(nodes, user, &credential, from, catalog)
                .await;
        }
        // What the name means without any account. Its error is all that a wrong password may show,
        // or refusals would tell which accounts exist.
        let public = match catalog.interpret(user, &|_| false) {
            Err(error @ LoginError::Grammar(_)) => return Err(AuthError::UnknownProfile(error)),
            public => public,
        };
        let name = user
            .split('/')
            .next()
            .and_then(|name| name.parse::<AccountName>().ok());
        let stored = match &name {
            Some(name) => self.accounts.get(name).await?,
            None => None,
        };
        let login = match &stored {
            Some(stored) => catalog.interpret(user, &|text| text == stored.account.name.as_str()),
            None => public.clone(),
        };
        if let Ok(Login {
            account: None,
            profile,
        }) = login
        {
            return self.profile_alone(user, profile);
        }
        // An account, or nothing. A text that cannot be an account's name has no password to guess;
        // anything else takes as long as a wrong password.
        let Some(name) = name else {
            return Err(match public {
                Err(error) => AuthError::UnknownProfile(error),
                Ok(_) => AuthError::BadCredentials { profile: None },
            });
        };
        match (
            self.verify(&name, stored.as_ref(), password, from).await?,
            stored,
        ) {
            (true, Some(stored)) => {
                let login = login.map_err(AuthError::UnknownProfile)?;
                self.with_account(user, &stored, login.profile)
            }
            _ => Err(AuthError::BadCredentials {
                profile: public.err(),
            }),
        }
    }

    async fn check_claims(&self, claims: Claims, catalog: &Catalog) -> Result<Identity, AuthError> {
        let token = Some(TokenLimits {
            scopes: claims.scopes(),
            catalog: claims.catalog,
            expires: claims.expires(),
        });
        let identity = match &claims.account {
            None if claims.node.is_some() => self.node_again(&claims, catalog).await?,
            None if claims.sub.is_empty() => {
                let anonymous = self.anonymous.as_ref().ok_or(AuthError::LoginRequired)?;
                Identity::clone(anonymous)
            }
            None => {
                let login = catalog.interpret(&claims.sub, &|_| false);
                let login = login.map_err(AuthError::UnknownProfile)?;
                if login.account.is_some() {
                    // It was a profile, and now it could only be an account: log in again.
                    return Err(AuthError::Expired);
                }
                self.profile_alone(&claims.sub, login.profile)?
            }
            Some(name) => {
                let stored = self.accounts.get(name).await?.ok_or(AuthError::Expired)?;
                let login = catalog.interpret(&claims.sub, &|text| text == name.as_str());
                let login = login.map_err(AuthError::UnknownProfile)?;
                if login.account.as_deref() != Some(name.as_str()) {
                    return Err(AuthError::Expired);
                }
                let identity = self.with_account(&claims.sub, &stored, login.profile)?;
                if identity.version != claims.version {
                    return Err(AuthError::Expired);
                }
                identity
            }
        };
        Ok(Identity { token, ..identity })
    }

    fn profile_alone(&self, user: &str, profile: Arc<Composed>) -> Result<Identity, AuthError> {
        if self.config.anonymous == AnonymousAccess::None
            || self.config.profile_password == ProfilePassword::Account
        {
            return Err(AuthError::AccountRequired {
                login: user.to_owned(),
            });
        }
        Ok(Identity {
            login: user.into(),
            grants: Grants {
                anonymous: self.config.anonymous,
                account: None,
                node: false,
            },
            profile,
            token: None,
            profile_by: None,
            version: None,
            node: None,
        })
    }

    fn with_account(
        &self,
        user: &str,
        stored: &StoredAccount,
        profile: Arc<Composed>,
    ) -> Result<Identity, AuthError> {
        let account = &stored.account;
        Ok(Identity {
            login: user.into(),
            grants: Grants {
                anonymous: self.config.anonymous,
                account: Some((account.name.clone(), account.role)),
                node: false,
            },
            profile,
            token: None,
            profile_by: None,
            version: Some(self.key.version_of(&stored.password)?),
            node: None,
        })
    }

    async fn verify(
        &self,
        name: &AccountName,
        stored: Option<&StoredAccount>,
        password: &Password,
        from: Option<IpAddr>,
    ) -> Result<bool, AuthError> {
        let hash = stored.map(|stored| &stored.password);
        if let Some(hash) = hash
            && self.verifier.remembers(name.as_str(), hash, password).await
        {
            // Failures of others do not block a recently accepted password.
            return Ok(true);
        }
        let verifying = self.verifier.verify(name.as_str(), hash, password, from);
        let right = verifying.await?;
        if !right {
            tracing::info!(account = %name, ?from, "login refused");
        }
        Ok(right)
    }
}

#[cfg(test)]
mod login_tests;
#[cfg(test)]
mod setup;
#[cfg(test)]
mod token_tests;
