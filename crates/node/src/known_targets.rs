//! Asks a registry which of this node's targets it knows, so that a node that is newer than its
//! registry still gets what fits it, and never loses access that anonymous readers have.

use metahub_client::blocking::{ClientError, Login, Registry};
use metahub_hardware::{Feature, Microarchitectures, Target};
use serde_json::Value;

use crate::cache::Known;
use crate::login;
use crate::policy::Policy;

/// The password of logins that name no account. A registry takes any.
pub const PASSWORD: &str = "node";
/// Where a registry lists the CPU targets that it knows.
const HARDWARE: &str = "/api/v1/hardware";
/// A refused login counts against an address, so only so many are tried.
const MOST_TRIES: usize = 6;

/// What this node provides, as far as logins need it.
#[derive(Clone, Debug)]
pub struct NodeFacts<'a> {
    /// Its CPU target.
    pub target: Option<&'a Target>,
    /// All its features.
    pub features: &'a [Feature],
    /// The site's policy.
    pub policy: &'a Policy,
}

impl NodeFacts<'_> {
    /// The login with `target` in the place of the node's own.
    #[must_use]
    pub fn login(&self, target: Option<&str>) -> Option<String> {
        login::compose(self.features, target, self.policy)
    }

    /// The login with the node's own target.
    #[must_use]
    pub fn own_login(&self) -> Option<String> {
        self.login(self.target.map(Target::as_str))
    }
}

/// Asks `registry` which of the node's targets it knows, and whether it accepts the login: by
/// itself, or with the `secret` that proves the node's identity.
///
/// # Errors
/// When the registry cannot be reached, or is none.
pub fn ask(
    registry: &Registry,
    node: &NodeFacts<'_>,
    secret: Option<&str>,
) -> Result<Known, ClientError> {
    let listed = match registry.document(HARDWARE, &[], None) {
        Ok(document) => targets(&document),
        // An older registry does not list them; it refuses a login with a target that it does not
        // know.
        Err(error) if error.status().is_some() => None,
        Err(error) => return Err(error),
    };
    let line = line(node);
    let tries: Vec<Option<String>> = match listed {
        Some(targets) => {
            let known = line.iter().find(|target| targets.contains(target));
            vec![known.cloned()]
        }
        None if line.is_empty() => vec![None],
        None => some_of(&line).into_iter().map(Some).collect(),
    };
    let mut first = None;
    for target in tries {
        let Some(login) = node.login(target.as_deref()) else {
            break;
        };
        let alone = takes(registry, &login, PASSWORD)?;
        let proven = match secret {
            Some(secret) if !alone => takes(registry, &login, secret)?,
            _ => false,
        };
        let known = Known {
            login: Some(login),
            alone,
            proven,
            target,
            checked: true,
        };
        if alone || proven {
            return Ok(known);
        }
        first.get_or_insert(known);
    }
    Ok(first.unwrap_or(Known {
        checked: true,
        ..Known::default()
    }))
}

/// Whether the registry takes this login with this password, without an account.
///
/// # Errors
/// When the registry cannot be reached, or is none.
fn takes(registry: &Registry, login: &str, secret: &str) -> Result<bool, ClientError> {
    let login = Login {
        user: login.to_owned(),
        secret: secret.to_owned(),
    };
    match registry.token(Some(&login), "") {
        Ok(_) => Ok(true),
        Err(error) => match error.status() {
            Some(401 | 403) => Ok(false),
            _ => Err(error),
        },
    }
}

/// The node's target and those whose builds run on it, nearest first.
fn line(node: &NodeFacts<'_>) -> Vec<String> {
    let Some(target) = node.target else {
        return Vec::new();
    };
    let graph = Microarchitectures::builtin();
    let ancestors = graph.ancestors(target).into_iter();
    std::iter::once(target.clone())
        .chain(ancestors)
        .map(|target| target.as_str().to_owned())
        .collect()
}

/// The nearest ancestors, and of the distant ones only the last, which every registry knows.
fn some_of(line: &[String]) -> Vec<String> {
    let near = line.iter().take(MOST_TRIES - 1);
    let far = line.iter().skip(MOST_TRIES - 1).last();
    near.chain(far).cloned().collect()
}

fn targets(document: &Value) -> Option<Vec<String>> {
    let targets = document.get("targets")?.as_array()?;
    let name = |value: &Value| value.as_str().map(str::to_owned);
    Some(targets.iter().filter_map(name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_logins_are_tried_and_the_last_is_one_that_all_know() {
        let graph = Microarchitectures::builtin();
        let target = graph.find("zen5").unwrap();
        let policy = Policy::default();
        let facts = NodeFacts {
            target: Some(&target),
            features: &[],
            policy: &policy,
        };
        let tried = some_of(&line(&facts));
        assert_eq!(tried.len(), MOST_TRIES);
        assert_eq!(tried.first().map(String::as_str), Some("zen5"));
        assert_eq!(tried.last().map(String::as_str), Some("x86_64"));
    }

    #[test]
    fn a_list_of_targets_is_read_leniently() {
        let document = serde_json::json!({"targets": ["zen3", 3, "x86_64"], "more": {}});
        assert_eq!(targets(&document).unwrap(), ["zen3", "x86_64"]);
        assert_eq!(targets(&serde_json::json!(["zen3"])), None);
    }
}
