//! Finds one image that several logins can run, as an MPI job over unlike nodes needs it: composes
//! the login that provides only what all of them provide, and checks that an image fits each of
//! them.

use metahub_hardware::{Feature, Key, Microarchitectures, Target};
use metahub_oci::Digest;
use metahub_registry::Resolution;

/// The common part of several logins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommonLogin {
    /// Logins that provide no more than all of them do, the one to try first before the others:
    /// with the account and the profiles that all name, then with the hardware alone.
    pub logins: Vec<String>,
    /// The features that those logins provide: every login provides each of them.
    pub provides: Vec<String>,
}

/// Keys whose later versions run everything that earlier ones run.
const LATER_RUNS: &[Key] = &[
    Key::Cuda,
    Key::Driver,
    Key::Rocm,
    Key::Libfabric,
    Key::Glibc,
    Key::Kernel,
];

impl CommonLogin {
    /// The common part of `logins`, each with the features that it provides. `None` if they have no
    /// CPU target in common.
    #[must_use]
    pub fn of(graph: &Microarchitectures, logins: &[(&str, &[String])]) -> Option<Self> {
        let provided: Vec<Vec<Feature>> = logins
            .iter()
            .map(|(_, features)| features.iter().filter_map(|f| f.parse().ok()).collect())
            .collect();
        let target = common_target(graph, &provided)?;
        let mut features = vec![Feature::of_target(&target)];
        let (first, others) = provided.split_first()?;
        for feature in first {
            let key = feature.key();
            if *key == Key::Arch || features.iter().any(|have| have.key() == key) {
                continue;
            }
            features.extend(in_all(feature, first, others));
        }
        let words: Vec<String> = features.iter().filter_map(selector).collect();
        let provides = features
            .iter()
            .filter(|feature| selector(feature).is_some())
            .map(ToString::to_string)
            .collect();
        let hardware = words.join("+");
        let names: Vec<&str> = logins.iter().map(|(login, _)| *login).collect();
        let mut logins = Vec::new();
        let (account, profiles) = shared(graph, &names);
        if account.is_some() || !profiles.is_empty() {
            let account = account.map(|name| format!("{name}/")).unwrap_or_default();
            let mut all = profiles;
            all.extend(words);
            logins.push(format!("{account}{}", all.join("+")));
        }
        logins.push(hardware);
        Some(Self { logins, provides })
    }

    /// Whether a login that provides `features` provides no more than the common part.
    #[must_use]
    pub fn covers(&self, features: &[String]) -> bool {
        !features.is_empty() && features.iter().all(|one| self.provides.contains(one))
    }
}

/// Why the login may not get the image with this manifest, as it is before layers are added; `None`
/// if it may.
#[must_use]
pub fn objection(of: &Resolution, image: &Digest) -> Option<String> {
    let entries = &of.explanation.entries;
    if entries.is_empty() {
        // A single image, which was judged and served.
        let same = of.explanation.source_digest == *image || served(of) == image;
        return (!same).then(|| "another image is served: it changed meanwhile".to_owned());
    }
    let mut reason = None;
    for entry in entries.iter().filter(|entry| entry.digest == image) {
        if entry.kept || entry.rank.is_some() {
            return None;
        }
        reason = Some(entry.reason.to_owned());
    }
    let moved = || "it is not among the entries: the image changed meanwhile".to_owned();
    Some(reason.unwrap_or_else(moved))
}

/// The served manifest, as it is before layers are added.
#[must_use]
pub fn served(of: &Resolution) -> &Digest {
    let children = of.explanation.children.iter();
    let mut children = children.filter(|child| child.digest == of.manifest);
    let from = children.find_map(|child| child.derived_from.as_ref());
    from.unwrap_or(&of.manifest)
}

/// The most demanding of the targets that every machine runs.
fn common_target(graph: &Microarchitectures, provided: &[Vec<Feature>]) -> Option<Target> {
    let lines: Vec<Vec<Target>> = provided
        .iter()
        .map(|features| {
            let own = features.iter().filter_map(Feature::target);
            own.flat_map(|own| std::iter::once(own.clone()).chain(graph.ancestors(own)))
                .collect()
        })
        .collect();
    let (first, others) = lines.split_first()?;
    first
        .iter()
        .filter(|target| others.iter().all(|line| line.contains(target)))
        .max_by_key(|target| graph.depth(target))
        .cloned()
}

/// The value of the feature's key that all provide: the earliest of versions.
fn in_all(feature: &Feature, first: &[Feature], others: &[Vec<Feature>]) -> Option<Feature> {
    let key = feature.key();
    let of = |features: &[Feature]| -> Vec<Feature> {
        let same = features.iter().filter(|f| f.key() == key);
        same.cloned().collect()
    };
    let groups: Vec<Vec<Feature>> = std::iter::once(of(first))
        .chain(others.iter().map(|features| of(features)))
        .collect();
    if LATER_RUNS.contains(key) {
        let latest = |group: &Vec<Feature>| {
            let versions = group.iter().filter_map(|f| Some((version(f)?, f.clone())));
            versions.max_by(|(a, _), (b, _)| a.cmp(b))
        };
        let latest: Option<Vec<_>> = groups.iter().map(latest).collect();
        return latest?
            .into_iter()
            .min_by(|(a, _), (b, _)| a.cmp(b))
            .map(|(_, feature)| feature);
    }
    let mut candidates = first.iter().filter(|f| f.key() == key);
    candidates
        .find(|one| groups.iter().all(|group| group.contains(one)))
        .cloned()
}

fn version(feature: &Feature) -> Option<metahub_hardware::Version> {
    metahub_hardware::Version::parse(feature.value())
}

/// The feature as a selector of a login; `None` if it has a character that logins cannot have.
fn selector(feature: &Feature) -> Option<String> {
    let key = match feature.key() {
        Key::Arch => "cpu",
        key => key.as_str(),
    };
    let value = feature.value();
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let well_written = !value.is_empty() && value.chars().all(is_part);
    well_written.then(|| format!("{key}={value}"))
}

/// The account that all logins name, and the profiles.
fn shared<'a>(graph: &Microarchitectures, logins: &[&'a str]) -> (Option<&'a str>, Vec<String>) {
    let Some((first, others)) = logins.split_first() else {
        return (None, Vec::new());
    };
    // What states hardware by itself is among what is provided.
    let is_profile =
        |word: &str| Feature::parse_login(word).is_err() && graph.look_up(word).is_none();
    let profiles = first
        .split('+')
        .filter(|word| !word.is_empty() && is_profile(word))
        .filter(|word| {
            others
                .iter()
                .all(|other| other.split('+').any(|w| w == *word))
        })
        .map(str::to_owned)
        .collect();
    let start = |login: &'a str| login.split('+').next().unwrap_or_default();
    let account_of = |login: &'a str| Some(start(login).split_once('/')?.0);
    // `aws/cli` may be a profile: what all logins begin with is among the profiles above.
    let differ = others.iter().any(|other| start(other) != start(first));
    let same = others
        .iter()
        .all(|other| account_of(other) == account_of(first));
    let account = account_of(first).filter(|_| differ && same);
    (account, profiles)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common(logins: &[(&str, &[&str])]) -> Option<(Vec<String>, Vec<String>)> {
        let owned: Vec<(&str, Vec<String>)> = logins
            .iter()
            .map(|(login, all)| (*login, all.iter().map(|f| (*f).to_owned()).collect()))
            .collect();
        let borrowed: Vec<(&str, &[String])> = owned
            .iter()
            .map(|(login, all)| (*login, &all[..]))
            .collect();
        let found = CommonLogin::of(&Microarchitectures::builtin(), &borrowed)?;
        Some((found.logins, found.provides))
    }

    #[rstest::rstest]
    #[case(&["arch:zen3"], &["arch:zen4"], &["arch:zen3"])]
    #[case(&["arch:zen3"], &["arch:cascadelake"], &["arch:x86_64_v3"])]
    #[case(&["arch:zen3"], &["arch:neoverse_v1"], &[])]
    #[case(&["arch:zen3"], &["mpi:mpich"], &[])]
    #[case(&["arch:zen3", "cuda:12.4"], &["arch:zen3", "cuda:12.10"], &["arch:zen3", "cuda:12.4"])]
    #[case(&["arch:zen3", "driver:550.54"], &["arch:zen3"], &["arch:zen3"])]
    #[case(&["arch:zen3", "mpi:mpich"], &["arch:zen3", "mpi:openmpi"], &["arch:zen3"])]
    #[case(&["arch:zen3", "cc:8.0"], &["arch:zen3", "cc:9.0", "cc:8.0"], &["arch:zen3", "cc:8.0"])]
    fn only_what_all_provide_is_in_common(
        #[case] one: &[&str],
        #[case] other: &[&str],
        #[case] expected: &[&str],
    ) {
        let found = common(&[("a", one), ("b", other)]).map(|(_, provides)| provides);
        assert_eq!(found.clone().unwrap_or_default(), expected);
        assert_eq!(found.is_none(), expected.is_empty());
        // The order of the logins does not count.
        let turned = common(&[("b", other), ("a", one)]).map(|(_, provides)| provides);
        assert_eq!(turned, found);
    }

    #[test]
    fn every_two_machines_run_what_they_have_in_common() {
        let graph = Microarchitectures::builtin();
        let targets: Vec<Target> = graph.iter().map(|known| known.target().clone()).collect();
        let mut pairs = 0;
        for one in &targets {
            for other in &targets {
                let features = |target| vec![Feature::of_target(target)];
                let found = common_target(&graph, &[features(one), features(other)]);
                let both = |target: &&Target| graph.runs(one, target) && graph.runs(other, target);
                match &found {
                    Some(found) => {
                        assert!(both(&found), "{one} and {other} do not both run {found}");
                        let depth = |target: &&Target| graph.depth(target);
                        let most = targets.iter().filter(both).map(|t| depth(&t)).max();
                        assert_eq!(Some(graph.depth(found)), most, "{one} and {other}: {found}");
                    }
                    None => assert!(!targets.iter().any(|t| both(&t)), "{one} and {other}"),
                }
                pairs += 1;
            }
        }
        assert!(pairs > 1000, "{pairs} pairs");
    }

    #[rstest::rstest]
    #[case(&["zen3", "zen4"], &["cpu=zen3"])]
    #[case(&["aws/cli+zen3", "aws/cli+zen4"], &["aws/cli+cpu=zen3", "cpu=zen3"])]
    #[case(&["alice/zen3", "alice/zen4"], &["alice/cpu=zen3", "cpu=zen3"])]
    #[case(&["alice/zen3", "bob/zen4"], &["cpu=zen3"])]
    fn the_account_and_the_profiles_of_all_stay(
        #[case] logins: &[&str],
        #[case] expected: &[&str],
    ) {
        let provides: &[&str] = &["arch:zen3"];
        let logins: Vec<_> = logins.iter().map(|login| (*login, provides)).collect();
        assert_eq!(common(&logins).unwrap().0, expected);
    }
}
