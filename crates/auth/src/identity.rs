//! The identity of a caller: the outcome of authentication, and the one place where rights are
//! checked.

use std::sync::Arc;

use jiff::Timestamp;
use metahub_catalog::Composed;
use metahub_oci::RepositoryName;

use crate::grants::Grants;
use crate::{AccountName, Actions, Node, Right, Role, Scope};

/// Why an identity lacks a right. The text is for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// An account is needed: answer 401, so that the client logs in.
    #[error("an account is needed to {right} {repository}: log in as ACCOUNT or ACCOUNT/PROFILE")]
    Login {
        /// The needed right.
        right: Right,
        /// The repository.
        repository: RepositoryName,
    },
    /// The identity may, but its token was not issued for this: answer 401 with
    /// `insufficient_scope`, so that the client asks for a wider token.
    #[error("this token is not for that: ask for one with the scope {0}")]
    Scope(Scope),
    /// The account may not: answer 403.
    #[error("account {account} ({role}) may not {right} {repository}{}", hint(*.role, *.right, .account))]
    Role {
        /// The account.
        account: AccountName,
        /// Its role.
        role: Role,
        /// What was asked.
        right: Right,
        /// Of what.
        repository: RepositoryName,
    },
}

fn hint(role: Role, right: Right, account: &AccountName) -> String {
    match (role, right) {
        (Role::Pusher, Right::Push | Right::Delete) => format!(": a pusher may in {account}/ only"),
        (Role::Reader, Right::Push | Right::Delete) => ": a reader may only pull".to_owned(),
        _ => String::new(),
    }
}

/// A right on a repository that was granted to an identity. Only [`Identity`] makes one, so code
/// that demands it knows that the right was checked, and for which repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    right: Right,
    repository: RepositoryName,
    account: Option<Arc<str>>,
    is_admin: bool,
    is_node: bool,
}

impl Granted {
    /// The right.
    #[must_use]
    pub fn right(&self) -> Right {
        self.right
    }

    /// The repository.
    #[must_use]
    pub fn repository(&self) -> &RepositoryName {
        &self.repository
    }

    /// The account; `None` without one.
    #[must_use]
    pub fn account(&self) -> Option<&Arc<str>> {
        self.account.as_ref()
    }

    /// Whether it is an admin's.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.is_admin
    }

    /// Whether it is a node's that proved its identity.
    #[must_use]
    pub fn is_node(&self) -> bool {
        self.is_node
    }
}

/// The limits in a token.
#[derive(Clone, Debug)]
pub(crate) struct TokenLimits {
    pub(crate) scopes: Box<[Scope]>,
    /// Whether it was issued for the list of repositories.
    pub(crate) catalog: bool,
    /// When it expires, and every token made from it.
    pub(crate) expires: Timestamp,
}

/// The identity of a caller: its account or node, its rights and its profile. Holds no secret.
#[derive(Clone, Debug)]
pub struct Identity {
    pub(crate) login: Box<str>,
    pub(crate) grants: Grants,
    pub(crate) profile: Arc<Composed>,
    /// The channel by which the profile was chosen besides the login.
    pub(crate) profile_by: Option<Box<str>>,
    /// The limits of the token; `None` for a password or no credentials.
    pub(crate) token: Option<TokenLimits>,
    /// The version of the account's password, or of the node's credential, that was used; see
    /// `SigningKey::version_of`.
    pub(crate) version: Option<Box<str>>,
    /// The node, if one proved its identity.
    pub(crate) node: Option<Arc<Node>>,
}

impl Identity {
    /// The account, if there is one.
    #[must_use]
    pub fn account(&self) -> Option<&AccountName> {
        self.grants.account.as_ref().map(|(name, _)| name)
    }

    /// The account's role, if there is one.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        self.grants.account.as_ref().map(|(_, role)| *role)
    }

    /// The node, if one proved its identity.
    #[must_use]
    pub fn node(&self) -> Option<&Node> {
        self.node.as_deref()
    }

    /// The user name as the client sent it; empty for the anonymous.
    #[must_use]
    pub fn login(&self) -> &str {
        &self.login
    }

    /// The profile that pulls run under; the empty one if none was named.
    #[must_use]
    pub fn profile(&self) -> &Arc<Composed> {
        &self.profile
    }

    /// The channel by which the profile was chosen besides the login, such as `network
    /// 10.2.0.0/16`; `None` if the login alone decides.
    #[must_use]
    pub fn profile_by(&self) -> Option<&str> {
        self.profile_by.as_deref()
    }

    /// Checks that the identity has `right` on `repository`.
    ///
    /// # Errors Why not, for the client.
    pub fn check(&self, right: Right, repository: &RepositoryName) -> Result<Granted, Denied> {
        if !self.grants.allows(right, Some(repository)) {
            let repository = repository.clone();
            return Err(match &self.grants.account {
                None => Denied::Login { right, repository },
                Some((account, role)) => Denied::Role {
                    account: account.clone(),
                    role: *role,
                    right,
                    repository,
                },
            });
        }
        if self.token_covers(right, repository) {
            Ok(self.granted(right, repository))
        } else {
            Err(Denied::Scope(Scope::of(right, repository)))
        }
    }

    /// The right to pull from `repository` if the login has it, whatever its token's scopes: a
    /// client that names no repository to mount from cannot request a token for it.
    #[must_use]
    pub fn check_mount_from(&self, repository: &RepositoryName) -> Option<Granted> {
        let right = Right::Pull;
        let allowed = self.grants.allows(right, Some(repository));
        allowed.then(|| self.granted(right, repository))
    }

    fn granted(&self, right: Right, repository: &RepositoryName) -> Granted {
        Granted {
            right,
            repository: repository.clone(),
            account: self.account().map(|account| account.as_str().into()),
            is_admin: self.role() == Some(Role::Admin),
            is_node: self.node.is_some(),
        }
    }

    /// Whether the identity has `right` on `repository`.
    #[must_use]
    pub fn may(&self, right: Right, repository: &RepositoryName) -> bool {
        self.grants.allows(right, Some(repository)) && self.token_covers(right, repository)
    }

    /// Whether this is a token for pushing to `repository`: its client is about to push.
    #[must_use]
    pub fn pushes_to(&self, repository: &RepositoryName) -> bool {
        self.token.is_some() && self.may(Right::Push, repository)
    }

    /// Whether the names of repositories may be listed: by identities that may pull everywhere;
    /// with a token, only if it was issued for that.
    #[must_use]
    pub fn may_list(&self) -> bool {
        self.may_be_granted_list() && self.token.as_ref().is_none_or(|token| token.catalog)
    }

    /// Whether another token than this one would allow listing the names of repositories.
    #[must_use]
    pub fn may_be_granted_list(&self) -> bool {
        self.grants.allows(Right::Pull, None)
    }

    /// Whether a list may contain `repository`. A token's scopes do not restrict that, since a
    /// client does not know the names yet.
    #[must_use]
    pub fn may_see(&self, repository: &RepositoryName) -> bool {
        self.may_list() && self.grants.allows(Right::Pull, Some(repository))
    }

    /// Whether the registry itself may be changed: by admins who sent their password, never
    /// through a token.
    #[must_use]
    pub fn may_administer(&self) -> bool {
        self.token.is_none() && self.grants.allows(Right::Admin, None)
    }

    /// Whether profiles and collections may be changed: by curators and admins who sent their
    /// password, never through a token.
    #[must_use]
    pub fn may_curate(&self) -> bool {
        self.token.is_none() && self.grants.allows(Right::Curate, None)
    }

    fn token_covers(&self, right: Right, repository: &RepositoryName) -> bool {
        let Some(token) = &self.token else {
            return true;
        };
        Actions::of(right).is_some_and(|action| {
            token
                .scopes
                .iter()
                .any(|scope| scope.repository == *repository && scope.actions.contains(action))
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::AnonymousAccess;

    /// Somebody, for tests that do not care who.
    pub(crate) fn nobody() -> Identity {
        identity(None, None)
    }

    fn identity(account: Option<(&str, Role)>, scopes: Option<&[&str]>) -> Identity {
        Identity {
            login: "".into(),
            grants: Grants {
                anonymous: AnonymousAccess::Read,
                account: account.map(|(name, role)| (name.parse().unwrap(), role)),
                node: false,
            },
            profile: Arc::new(Composed::none()),
            profile_by: None,
            token: scopes.map(|scopes| TokenLimits {
                scopes: scopes.iter().map(|s| s.parse().unwrap()).collect(),
                catalog: false,
                expires: Timestamp::now(),
            }),
            version: None,
            node: None,
        }
    }

    fn why(identity: &Identity, right: Right, repository: &str) -> String {
        identity
            .check(right, &repository.parse().unwrap())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_refusal_says_who_may_not_do_what_and_what_to_do() {
        assert_eq!(
            why(&identity(None, None), Right::Push, "qnib/x"),
            "an account is needed to push qnib/x: log in as ACCOUNT or ACCOUNT/PROFILE"
        );
        assert_eq!(
            why(
                &identity(Some(("alice", Role::Pusher)), None),
                Right::Delete,
                "bob/x"
            ),
            "account alice (pusher) may not delete bob/x: a pusher may in alice/ only"
        );
        assert_eq!(
            why(
                &identity(Some(("alice", Role::Reader)), None),
                Right::Push,
                "alice/x"
            ),
            "account alice (reader) may not push alice/x: a reader may only pull"
        );
        assert_eq!(
            why(
                &identity(Some(("root", Role::Admin)), Some(&[])),
                Right::Push,
                "a/x"
            ),
            "this token is not for that: ask for one with the scope repository:a/x:pull,push"
        );
    }

    #[test]
    fn a_grant_says_what_was_checked_and_whose_it_is() {
        let repository: RepositoryName = "a/x".parse().unwrap();
        let admin = identity(Some(("root", Role::Admin)), None);
        let granted = admin.check(Right::Delete, &repository).unwrap();
        assert_eq!(granted.right(), Right::Delete);
        assert_eq!(granted.repository(), &repository);
        assert_eq!(granted.account().map(|account| &**account), Some("root"));
        assert!(granted.is_admin());
        let nobody = identity(None, None);
        let granted = nobody.check(Right::Pull, &repository).unwrap();
        assert_eq!((granted.account(), granted.is_admin()), (None, false));
    }

    #[test]
    fn a_mount_from_any_repository_depends_on_the_login_and_not_on_its_token() {
        let login = identity(
            Some(("alice", Role::Reader)),
            Some(&["repository:alice/x:*"]),
        );
        let other = "bob/y".parse().unwrap();
        assert!(login.check(Right::Pull, &other).is_err());
        assert!(login.check_mount_from(&other).is_some());
    }

    #[test]
    fn a_token_for_pushing_deletes_nothing_and_reaches_no_other_repository() {
        let admin = Some(("root", Role::Admin));
        let identity = identity(admin, Some(&["repository:a/x:pull,push"]));
        let (x, y) = ("a/x".parse().unwrap(), "a/y".parse().unwrap());
        assert!(identity.may(Right::Push, &x) && identity.may(Right::Pull, &x));
        assert!(!identity.may(Right::Delete, &x) && !identity.may(Right::Admin, &x));
        assert!(!identity.may(Right::Pull, &y));
        assert!(!identity.may_administer());
    }

    #[test]
    fn a_token_adds_nothing_to_what_its_account_may() {
        let identity = identity(
            Some(("alice", Role::Reader)),
            Some(&["repository:alice/x:*"]),
        );
        assert!(!identity.may(Right::Push, &"alice/x".parse().unwrap()));
    }
}
