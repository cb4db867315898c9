//! The login of a node: short, stable, and in the characters of user names (`[account "/"] selector
//! { "+" selector }`). It contains only known features; a feature that cannot be written is left
//! out, which excludes images and never admits one.

use metahub_hardware::{Feature, KEYS, Key, Microarchitectures, Provided, fit};

use crate::policy::Policy;
use crate::user_name::{MOST_USER_BYTES, is_login};

/// Most bytes of a node's login, so that an account's name fits before it.
const MOST_BYTES: usize = 384;
/// Most selectors of a node's login.
const MOST_SELECTORS: usize = 24;

/// The selectors that follow from facts under a policy; `target` is the CPU target to name, which
/// is an ancestor of the node's own where a registry does not know that. `None` where nothing is
/// known.
#[must_use]
pub fn compose(features: &[Feature], target: Option<&str>, policy: &Policy) -> Option<String> {
    if let Some(login) = &policy.login {
        return Some(login.clone());
    }
    let mut selectors: Vec<String> = Vec::new();
    for key in &policy.keys {
        match key.as_str() {
            "arch" => selectors.extend(target.map(str::to_owned)),
            "cuda" => {
                let mut found = of_key(features, "cuda");
                if found.is_empty() {
                    // The registry knows which CUDA a driver runs.
                    found = of_key(features, "driver");
                }
                selectors.extend(found);
            }
            other => selectors.extend(of_key(features, other)),
        }
    }
    selectors.extend(policy.profiles.iter().cloned());
    let mut login = String::new();
    let mut taken: Vec<&String> = Vec::new();
    for selector in &selectors {
        let fits = login.len() + selector.len() < MOST_BYTES && taken.len() < MOST_SELECTORS;
        if !is_login(selector) || taken.contains(&selector) || !fits {
            continue;
        }
        if !login.is_empty() {
            login.push('+');
        }
        login.push_str(selector);
        taken.push(selector);
    }
    (!login.is_empty()).then_some(login)
}

fn of_key(features: &[Feature], key: &str) -> Vec<String> {
    features
        .iter()
        .filter(|feature| feature.key().as_str() == key)
        .map(|feature| (feature.key().to_string(), short_value(feature)))
        // A selector's value has neither blanks nor separators.
        .filter(|(_, value)| {
            let part = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            !value.is_empty() && value.chars().all(part)
        })
        .map(|(key, value)| format!("{key}={value}"))
        .collect()
}

/// The value without what changes with every update: of an MPI library its name alone, where
/// that claims no more than the version does.
fn short_value(feature: &Feature) -> String {
    let value = feature.value();
    if *feature.key() != Key::Mpi {
        return value.to_owned();
    }
    let name = value
        .rfind(['-', '@'])
        .and_then(|at| value.split_at_checked(at))
        .filter(|(_, version)| version.chars().nth(1).is_some_and(|c| c.is_ascii_digit()))
        .and_then(|(name, _)| Feature::new("mpi", name).ok());
    match name {
        Some(name)
            if fit(
                std::slice::from_ref(&name),
                &Provided::new([feature.clone()]),
            )
            .fits() =>
        {
            name.value().to_owned()
        }
        _ => value.to_owned(),
    }
}

/// How the node's login is joined to a user's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Join {
    /// `alice` is an account: `alice/zen4`.
    #[serde(rename = "/")]
    Account,
    /// `aws/cli` has selectors: `aws/cli+zen4`.
    #[serde(rename = "+")]
    Selector,
    /// It names hardware itself, or is no login of MetaHub's grammar: it stays as it is.
    #[serde(rename = "")]
    Nothing,
}

/// How a user name takes the node's login, as far as the name alone tells: a bare name may be an
/// account or a profile, which only the registry knows.
#[must_use]
pub fn join_of(user: &str) -> Join {
    if !is_login(user) || names_hardware(user) {
        return Join::Nothing;
    }
    if user.contains(['/', '+', '=', '#']) {
        return Join::Selector;
    }
    Join::Account
}

/// The user name that carries both.
#[must_use]
pub fn joined(user: &str, join: Join, node: Option<&str>) -> String {
    let joined = match (join, node) {
        (Join::Account, Some(node)) => format!("{user}/{node}"),
        (Join::Selector, Some(node)) => format!("{user}+{node}"),
        (Join::Nothing, _) | (_, None) => user.to_owned(),
    };
    if joined.len() > MOST_USER_BYTES {
        return user.to_owned();
    }
    joined
}

fn names_hardware(user: &str) -> bool {
    let graph = Microarchitectures::builtin();
    let is_key = |word: &str| {
        KEYS.iter()
            .any(|row| row.name == word || row.aliases.contains(&word))
    };
    user.split('+').any(|selector| {
        let (path, value) = match selector.split_once(['=', '#']) {
            Some((path, value)) => (path, Some(value)),
            None => (selector, None),
        };
        let name = path.rsplit('/').next().unwrap_or(path);
        match value {
            Some(_) => is_key(&name.to_ascii_lowercase()),
            None => {
                graph.look_up(name).is_some()
                    || graph.look_up(selector).is_some()
                    || selector.starts_with("accel/")
                    || selector.contains("/accel/")
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn features(texts: &[&str]) -> Vec<Feature> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[rstest::rstest]
    #[case(&["arch:zen4", "cuda:12.4", "driver:550.54.15", "mpi:mpich-4.1.2"], "zen4+cuda=12.4+mpi=mpich")]
    #[case(&["arch:zen4", "driver:550.54.15", "cc:9.0", "gpu:nvidia"], "zen4+driver=550.54.15+cc=9.0")]
    #[case(&["arch:zen3", "gfx:gfx90a", "rocm:6.2.0-66"], "zen3+rocm=6.2.0-66+gfx=gfx90a")]
    #[case(&["arch:zen3", "mpi:openmpi-4.1.5", "mpi:mpich-4.0", "kernel:6.1"], "zen3+mpi=openmpi+mpi=mpich")]
    // Its ABI is not today's: the version must stay, or it would claim more.
    #[case(&["arch:zen3", "mpi:mpich-3.0"], "zen3+mpi=mpich-3.0")]
    #[case(&["arch:zen3", "mpi:site+special"], "zen3")]
    fn a_login_is_short_and_claims_no_more_than_is_known(
        #[case] found: &[&str],
        #[case] login: &str,
    ) {
        let features = features(found);
        let target = features[0].value().to_owned();
        let composed = compose(&features, Some(&target), &Policy::default());
        assert_eq!(composed.as_deref(), Some(login));
    }

    #[test]
    fn the_policy_says_which_facts_count() {
        let features = features(&["arch:zen3", "fabric:efa", "mpi:openmpi-4.1"]);
        let policy = |keys: &[&str], profiles: &[&str], login: Option<&str>| Policy {
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            profiles: profiles.iter().map(|name| (*name).to_owned()).collect(),
            login: login.map(str::to_owned),
            ..Policy::default()
        };
        let of = |policy: &Policy| compose(&features, Some("zen3"), policy);
        assert_eq!(
            of(&policy(&["fabric", "arch"], &["aws/cli"], None)).unwrap(),
            "fabric=efa+zen3+aws/cli"
        );
        assert_eq!(of(&policy(&["arch"], &[], Some("zen2"))).unwrap(), "zen2");
        assert_eq!(of(&policy(&[], &[], None)), None);
        // An older registry knows an ancestor only.
        let older = compose(&features, Some("x86_64_v3"), &policy(&["arch"], &[], None));
        assert_eq!(older.as_deref(), Some("x86_64_v3"));
    }

    #[rstest::rstest]
    #[case("alice", "alice/zen4")]
    #[case("aws/cli", "aws/cli+zen4")]
    #[case("glow-extended=1.5.0", "glow-extended=1.5.0+zen4")]
    #[case("zen3", "zen3")]
    #[case("alice/zen3", "alice/zen3")]
    #[case("alice/cuda=12.4", "alice/cuda=12.4")]
    #[case("cpu#zen2", "cpu#zen2")]
    #[case("x86_64/amd/zen3", "x86_64/amd/zen3")]
    #[case("<token>", "<token>")]
    #[case("bob@site", "bob@site")]
    fn a_login_that_names_hardware_stays_as_it_is(#[case] user: &str, #[case] whole: &str) {
        assert_eq!(joined(user, join_of(user), Some("zen4")), whole);
        assert_eq!(joined(user, join_of(user), None), user);
    }

    proptest! {
        #[test]
        fn every_login_is_of_the_grammar(
            values in proptest::collection::vec("\\PC{1,40}", 0..60),
            target in proptest::option::of("\\PC{1,20}"),
        ) {
            let features: Vec<Feature> = values
                .iter()
                .filter_map(|value| Feature::new("mpi", value).ok())
                .collect();
            if let Some(login) = compose(&features, target.as_deref(), &Policy::default()) {
                prop_assert!(is_login(&login), "{}", login);
                prop_assert!(login.len() <= MOST_BYTES);
                prop_assert!(login.split('+').count() <= MOST_SELECTORS);
            }
        }
    }
}
