//! The table of rights: what everyone may do, and what an account's role adds.

use metahub_oci::RepositoryName;

use crate::account::AccountName;
use crate::role::{AnonymousAccess, Right, Role};

/// The sources of an identity's rights: those of everyone, the role of its account, if any, and the
/// right to pull of a node that proved its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grants {
    pub(crate) anonymous: AnonymousAccess,
    pub(crate) account: Option<(AccountName, Role)>,
    /// Whether a node proved its identity.
    pub(crate) node: bool,
}

impl Grants {
    /// The one table of rights. `repository` is `None` for what belongs to no repository.
    pub(crate) fn allows(&self, right: Right, repository: Option<&RepositoryName>) -> bool {
        let everybody = match self.anonymous {
            AnonymousAccess::None => false,
            AnonymousAccess::Read => right == Right::Pull,
            AnonymousAccess::Write => matches!(right, Right::Pull | Right::Push | Right::Delete),
        };
        let own = |name: &AccountName| {
            repository.is_some_and(|repository| repository.namespace() == name.as_str())
        };
        let account = match &self.account {
            None => false,
            Some((_, Role::Admin)) => true,
            Some((_, Role::Reader)) => right == Right::Pull,
            Some((name, Role::Pusher)) => match right {
                Right::Pull => true,
                Right::Push | Right::Delete => own(name),
                Right::Curate | Right::Admin => false,
            },
            Some((_, Role::Curator)) => matches!(right, Right::Pull | Right::Curate),
        };
        let node = self.node && right == Right::Pull;
        everybody || account || node
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const ALL: [Right; 5] = [
        Right::Pull,
        Right::Push,
        Right::Delete,
        Right::Curate,
        Right::Admin,
    ];

    /// Columns: pull, push, delete, curate, admin in `alice/x`; then the same in `bob/x`.
    #[rstest]
    #[case("none", None, "----- -----")]
    #[case("read", None, "p---- p----")]
    #[case("write", None, "ppp-- ppp--")]
    #[case("none", Some(Role::Reader), "p---- p----")]
    #[case("read", Some(Role::Reader), "p---- p----")]
    #[case("write", Some(Role::Reader), "ppp-- ppp--")]
    #[case("none", Some(Role::Pusher), "ppp-- p----")]
    #[case("read", Some(Role::Pusher), "ppp-- p----")]
    #[case("write", Some(Role::Pusher), "ppp-- ppp--")]
    #[case("none", Some(Role::Curator), "p--p- p--p-")]
    #[case("read", Some(Role::Curator), "p--p- p--p-")]
    #[case("write", Some(Role::Curator), "pppp- pppp-")]
    #[case("none", Some(Role::Admin), "ppppp ppppp")]
    #[case("read", Some(Role::Admin), "ppppp ppppp")]
    #[case("write", Some(Role::Admin), "ppppp ppppp")]
    fn the_table_of_rights(
        #[case] anonymous: &str,
        #[case] role: Option<Role>,
        #[case] expected: &str,
    ) {
        let grants = Grants {
            anonymous: anonymous.parse().unwrap(),
            account: role.map(|role| ("alice".parse().unwrap(), role)),
            node: false,
        };
        let row = ["alice/x", "bob/x"].map(|name| {
            let name = name.parse().unwrap();
            ALL.map(|right| {
                if grants.allows(right, Some(&name)) {
                    'p'
                } else {
                    '-'
                }
            })
            .iter()
            .collect::<String>()
        });
        assert_eq!(row.join(" "), expected);
    }

    #[rstest]
    #[case("alice", true)]
    #[case("alice/a/b", true)]
    #[case("alice2/x", false)]
    #[case("bob/alice/x", false)]
    #[case("alic", false)]
    fn a_pusher_pushes_only_under_its_own_name(#[case] repository: &str, #[case] allowed: bool) {
        let grants = Grants {
            anonymous: AnonymousAccess::Read,
            account: Some(("alice".parse().unwrap(), Role::Pusher)),
            node: false,
        };
        let name = repository.parse().unwrap();
        assert_eq!(grants.allows(Right::Push, Some(&name)), allowed);
        assert!(!grants.allows(Right::Push, None));
    }

    #[test]
    fn a_node_may_pull_where_nobody_else_may_and_do_nothing_more() {
        let grants = Grants {
            anonymous: AnonymousAccess::None,
            account: None,
            node: true,
        };
        let name = "alice/x".parse().unwrap();
        let allowed = ALL.map(|right| grants.allows(right, Some(&name)));
        assert_eq!(allowed, [true, false, false, false, false]);
    }

    #[test]
    fn roles_and_access_levels_read_what_they_print() {
        for role in [Role::Reader, Role::Pusher, Role::Curator, Role::Admin] {
            assert_eq!(role.to_string().parse::<Role>(), Ok(role));
        }
        assert_eq!(
            "owner".parse::<Role>().unwrap_err().to_string(),
            "'owner' is not a role: expected reader, pusher, curator or admin"
        );
        assert!("yes".parse::<AnonymousAccess>().is_err());
    }
}
