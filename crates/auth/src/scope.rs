//! Token scopes: what a client requests a token for, and what a token grants. The grammar is the
//! one that registries share: `repository:NAME:ACTION[,ACTION…]`, several joined by blanks.

use std::fmt;
use std::str::FromStr;

use metahub_oci::RepositoryName;

use crate::Right;

/// Most scopes that one request is read for; a cross-repository mount needs two.
pub(crate) const MAX_SCOPES: usize = 32;

/// Why a text is not a scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a scope: expected repository:NAME:ACTIONS, for example repository:qnib/featuretest:pull"
)]
pub struct ScopeError(String);

/// A set of actions on one repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Actions(u8);

impl Actions {
    /// No action.
    pub const NONE: Self = Self(0);
    /// Read.
    pub const PULL: Self = Self(1);
    /// Add.
    pub const PUSH: Self = Self(2);
    /// Remove.
    pub const DELETE: Self = Self(4);
    /// The actions of `*`.
    pub const ALL: Self = Self(7);

    const NAMED: [(Self, &'static str, Right); 3] = [
        (Self::PULL, "pull", Right::Pull),
        (Self::PUSH, "push", Right::Push),
        (Self::DELETE, "delete", Right::Delete),
    ];

    /// The actions of both sets.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every action of `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there is no action in this set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The actions of this set whose right `allowed` accepts.
    #[must_use]
    pub fn retain(self, allowed: impl Fn(Right) -> bool) -> Self {
        Self::NAMED
            .iter()
            .filter(|(action, _, right)| self.contains(*action) && allowed(*right))
            .fold(Self::NONE, |kept, (action, _, _)| kept.union(*action))
    }

    /// The names of these actions, in the order pull, push, delete.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMED
            .into_iter()
            .filter(move |(action, _, _)| self.contains(*action))
            .map(|(_, name, _)| name)
    }

    /// The action of this name; `*` is all, an unknown name is none, which can only reduce the
    /// request.
    pub(crate) fn named(name: &str) -> Self {
        match name {
            "*" => Self::ALL,
            name => Self::NAMED
                .iter()
                .find(|(_, known, _)| *known == name)
                .map_or(Self::NONE, |(action, _, _)| *action),
        }
    }

    /// The action that a right on a repository needs. No token carries the right to administer.
    pub(crate) const fn of(right: Right) -> Option<Self> {
        match right {
            Right::Pull => Some(Self::PULL),
            Right::Push => Some(Self::PUSH),
            Right::Delete => Some(Self::DELETE),
            Right::Curate | Right::Admin => None,
        }
    }
}

impl fmt::Display for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, name) in self.names().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}

/// Actions on one repository, requested or granted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    /// The repository.
    pub repository: RepositoryName,
    /// The actions.
    pub actions: Actions,
}

impl Scope {
    /// The scope of the challenge for `right` on `repository`. A push includes the right to pull,
    /// since clients look for blobs before they send them.
    #[must_use]
    pub fn of(right: Right, repository: &RepositoryName) -> Self {
        let actions = match right {
            Right::Pull | Right::Curate | Right::Admin => Actions::PULL,
            Right::Push => Actions::PULL.union(Actions::PUSH),
            Right::Delete => Actions::DELETE,
        };
        Self {
            repository: repository.clone(),
            actions,
        }
    }

    /// The scope of the list of repositories (`_catalog`).
    pub const CATALOG: &'static str = "registry:catalog:*";

    /// Whether a token request includes the list of repositories: `registry:catalog:*`, among the
    /// first 32 scopes.
    #[must_use]
    pub fn asks_for_catalog<T: AsRef<str>>(parameters: impl IntoIterator<Item = T>) -> bool {
        let mut left = MAX_SCOPES;
        for parameter in parameters {
            for text in parameter.as_ref().split_ascii_whitespace().take(left) {
                left -= 1;
                let actions = text.strip_prefix("registry:catalog:");
                if actions.is_some_and(|actions| actions.split(',').any(|one| one == "*")) {
                    return true;
                }
            }
        }
        false
    }

    /// The scopes of a token request: any number of `scope` parameters, each one or several
    /// scopes joined by blanks. What is not a scope of a repository is passed over, because a
    /// scope that cannot be granted makes a reduced token, never an error; actions on the same
    /// repository are joined; scopes after the 32nd are not read.
    #[must_use]
    pub fn parse_all<T: AsRef<str>>(parameters: impl IntoIterator<Item = T>) -> Vec<Self> {
        let mut scopes: Vec<Self> = Vec::new();
        let mut read = 0;
        for parameter in parameters {
            for text in parameter.as_ref().split_ascii_whitespace() {
                if read == MAX_SCOPES {
                    return scopes;
                }
                read += 1;
                let Ok(scope) = text.parse::<Self>() else {
                    continue;
                };
                match scopes
                    .iter_mut()
                    .find(|known| known.repository == scope.repository)
                {
                    Some(known) => known.actions = known.actions.union(scope.actions),
                    None => scopes.push(scope),
                }
            }
        }
        scopes
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let parse = || {
            let (kind, rest) = text.split_once(':')?;
            // A class may follow the type, `repository(plugin)`; it changes no right.
            let kind = kind.split_once('(').map_or(kind, |(kind, _)| kind);
            let (name, actions) = rest.rsplit_once(':')?;
            let repository = name.parse().ok()?;
            let actions = actions
                .split(',')
                .fold(Actions::NONE, |all, name| all.union(Actions::named(name)));
            (kind == "repository").then_some(Self {
                repository,
                actions,
            })
        };
        parse().ok_or_else(|| ScopeError(text.chars().take(300).collect()))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "repository:{}:{}", self.repository, self.actions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("repository:qnib/featuretest:pull", "repository:qnib/featuretest:pull")]
    #[case("repository:a:push,pull", "repository:a:pull,push")]
    #[case("repository:a/b/c:*", "repository:a/b/c:pull,push,delete")]
    #[case("repository(plugin):a:pull", "repository:a:pull")]
    #[case("repository:a:pull,fly", "repository:a:pull")]
    #[case("repository:a:", "repository:a:")]
    fn scopes_are_read(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(text.parse::<Scope>().unwrap().to_string(), expected);
    }

    #[rstest]
    #[case("")]
    #[case("repository")]
    #[case("repository:a")]
    #[case("repository:A:pull")]
    #[case("repository:../x:pull")]
    #[case("repository::pull")]
    #[case("registry:catalog:*")]
    #[case("repository:localhost:5000/a:pull")]
    fn what_is_not_a_scope_of_a_repository_is_refused(#[case] text: &str) {
        assert!(text.parse::<Scope>().is_err());
    }

    #[test]
    fn several_parameters_and_blanks_are_joined_and_bounded() {
        let scopes = Scope::parse_all([
            "repository:a:pull repository:b:pull,push",
            "nonsense",
            "repository:a:push",
        ]);
        let texts: Vec<_> = scopes.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["repository:a:pull,push", "repository:b:pull,push"]);

        let many = (0..1000).map(|n| format!("repository:r{n}:pull"));
        assert_eq!(Scope::parse_all(many).len(), MAX_SCOPES);
    }

    #[test]
    fn the_list_of_repositories_is_asked_for_by_its_own_scope() {
        for (parameters, expected) in [
            (vec!["registry:catalog:*"], true),
            (vec!["repository:a:pull registry:catalog:*"], true),
            (vec!["repository:a:pull", "registry:catalog:read,*"], true),
            (vec!["registry:catalog:read"], false),
            (vec!["registry:other:*"], false),
            (vec!["repository:catalog:*"], false),
            (vec![], false),
        ] {
            assert_eq!(
                Scope::asks_for_catalog(&parameters),
                expected,
                "{parameters:?}"
            );
        }
        let late = (0..MAX_SCOPES).map(|_| "repository:a:pull");
        assert!(!Scope::asks_for_catalog(late.chain(["registry:catalog:*"])));
    }

    #[test]
    fn a_challenge_for_a_push_asks_to_pull_too_and_for_a_delete_only_to_delete() {
        let name = "a/b".parse().unwrap();
        assert_eq!(
            Scope::of(Right::Push, &name).to_string(),
            "repository:a/b:pull,push"
        );
        assert_eq!(
            Scope::of(Right::Delete, &name).to_string(),
            "repository:a/b:delete"
        );
        assert_eq!(
            Scope::of(Right::Pull, &name).to_string(),
            "repository:a/b:pull"
        );
    }
}
