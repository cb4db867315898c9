//! `slurm`: reads from the filter of Slurm's commands which image a job names, and prints the
//! constraint for the nodes that can run it, by their static features as `detect --format slurm`
//! prints them.

use std::collections::HashSet;
use std::process::{Command, Stdio};
use std::time::Duration;

use metahub_client::blocking::Login;
use metahub_hardware::{Feature, Microarchitectures, Target};

use crate::answer::Answer;
use crate::known_targets::PASSWORD;
use crate::login::{compose, joined};
use crate::logins::{LoginsFile, OwnLogin};
use crate::policy::{Environment, Policy};
use crate::reference::ImageRef;
use crate::resolve::{ResolveError, Resolver};
use crate::time_limit::within;

/// Most time for `sinfo`.
const SINFO_TIME: Duration = Duration::from_millis(900);
/// Most kinds of nodes in a constraint; with more, none is computed.
const MOST_KINDS: usize = 32;

/// Answers in lines: `image HOST/NAME:TAG`, `constraint zen3|zen4`, `note TEXT`; nothing where no
/// word names an image of a MetaHub.
#[must_use]
pub fn slurm(policy: &Policy, environment: Environment<'_>, words: &[String]) -> Answer {
    let Some((image, host)) = words.iter().find_map(|word| named(policy, word)) else {
        return Answer::ok("");
    };
    // Content by digest is what it is on every node.
    if image.digest.is_some() {
        return Answer::ok("");
    }
    let mut out = format!("image {}\n", image.by_tag());
    match constraint(policy, environment, &image, &host) {
        Ok(Some(constraint)) => out.push_str(&format!("constraint {constraint}\n")),
        Ok(None) => {}
        Err(note) => out.push_str(&format!("note {}\n", note.replace('\n', " "))),
    }
    Answer::ok(out)
}

/// The image of a MetaHub that a word of a command line names: `HOST/NAME:TAG`, `--image=…`, or
/// `[USER@]HOST#NAME:TAG` as Enroot and pyxis write it.
fn named(policy: &Policy, word: &str) -> Option<(ImageRef, String)> {
    let word = match word.split_once('=') {
        Some((option, value)) if option.starts_with('-') => value,
        _ => word,
    };
    let image = ImageRef::parse_enroot(word).or_else(|| ImageRef::parse(word))?;
    let host = image.registry().filter(|host| policy.is_metahub(host))?;
    Some((image, host))
}

/// The nodes of one kind, by their static features.
struct Kind {
    features: Vec<String>,
    fits: bool,
}

fn constraint(
    policy: &Policy,
    environment: Environment<'_>,
    image: &ImageRef,
    host: &str,
) -> Result<Option<String>, String> {
    let sets = sinfo(environment).ok_or("sinfo did not list the nodes: no constraint was set")?;
    if sets.len() > MOST_KINDS {
        return Err(format!(
            "more than {MOST_KINDS} kinds of nodes: no constraint was set"
        ));
    }
    // The site's own word on this node says nothing of others.
    let policy = Policy {
        login: None,
        ..policy.clone()
    };
    let resolver = Resolver::new(&policy, environment);
    let own = LoginsFile::of_user(environment)
        .and_then(|file| file.read())
        .ok()
        .and_then(|mut all| all.logins.remove(host));
    let mut kinds = Vec::new();
    let mut reason = String::new();
    for features in sets {
        let fits = match login_of(&features, own.as_ref(), &policy) {
            // Its hardware is not known.
            None => true,
            Some(login) => match resolver.digest_as(image, Some(&login)) {
                Ok(_) => true,
                Err(error @ ResolveError::NothingFits { .. }) => {
                    reason = error.to_string();
                    false
                }
                Err(error) => return Err(format!("{error}: no constraint was set")),
            },
        };
        kinds.push(Kind { features, fits });
    }
    if kinds.iter().all(|kind| kind.fits) {
        return Ok(None);
    }
    if kinds.iter().all(|kind| !kind.fits) {
        return Err(format!("no node of this cluster can run it: {reason}"));
    }
    cover(&kinds).map(Some).ok_or_else(|| {
        "no features tell the nodes that can run it from the others: no constraint was set"
            .to_owned()
    })
}

/// `a|b`: features that every node has one of which fits, and no other node has.
fn cover(kinds: &[Kind]) -> Option<String> {
    let others: HashSet<&String> = kinds
        .iter()
        .filter(|kind| !kind.fits)
        .flat_map(|kind| &kind.features)
        .collect();
    let mut left: Vec<&Kind> = kinds.iter().filter(|kind| kind.fits).collect();
    let mut chosen: Vec<&str> = Vec::new();
    while !left.is_empty() {
        let candidates = left.iter().flat_map(|kind| &kind.features);
        let candidates =
            candidates.filter(|feature| !others.contains(feature) && is_plain(feature));
        // Of those that cover equally many the first, which is the node's own target.
        let mut best: Option<(&String, usize)> = None;
        for feature in candidates {
            let covers = left.iter().filter(|kind| kind.features.contains(feature));
            let covers = covers.count();
            if best.is_none_or(|(_, most)| covers > most) {
                best = Some((feature, covers));
            }
        }
        let (feature, _) = best?;
        chosen.push(feature);
        left.retain(|kind| !kind.features.contains(feature));
    }
    Some(chosen.join("|"))
}

fn is_plain(feature: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !feature.is_empty() && feature.chars().all(is_part)
}

/// The different sets of features of the cluster's nodes.
fn sinfo(environment: Environment<'_>) -> Option<Vec<Vec<String>>> {
    let path = environment("PATH")?;
    let program = std::env::split_paths(&path)
        .map(|folder| folder.join("sinfo"))
        .find(|program| program.is_file())?;
    let mut command = Command::new(program);
    command
        .args(["--noheader", "--format=%f"])
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    let output = within(SINFO_TIME, move || command.output().ok())??;
    let text = String::from_utf8(output.stdout).ok()?;
    if !output.status.success() {
        return None;
    }
    Some(feature_sets(&text))
}

fn feature_sets(text: &str) -> Vec<Vec<String>> {
    let mut sets: Vec<Vec<String>> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let set: Vec<String> = match line {
            "(null)" => Vec::new(),
            line => line.split(',').map(str::to_owned).collect(),
        };
        if !sets.contains(&set) {
            sets.push(set);
        }
    }
    sets
}

/// The login of a node with these features, with the caller's own account.
fn login_of(features: &[String], own: Option<&OwnLogin>, policy: &Policy) -> Option<Login> {
    let (target, facts) = facts_of(features);
    let node = compose(&facts, target.as_ref().map(Target::as_str), policy)?;
    Some(match own {
        Some(own) => Login {
            user: joined(&own.username, own.join, Some(&node)),
            secret: own.secret.clone(),
        },
        None => Login {
            user: node,
            secret: PASSWORD.to_owned(),
        },
    })
}

/// What static features say of hardware: `zen3,zen2,…,cuda-12.4,gfx90a`.
fn facts_of(features: &[String]) -> (Option<Target>, Vec<Feature>) {
    let graph = Microarchitectures::builtin();
    let mut targets: Vec<Target> = Vec::new();
    let mut facts = Vec::new();
    for feature in features {
        if let Some(Ok(target)) = graph.look_up(feature) {
            targets.push(target);
        } else if feature.starts_with("gfx") {
            facts.extend(Feature::new("gfx", feature).ok());
        } else if let Some((key, value)) = feature.split_once('-') {
            facts.extend(Feature::new(key, value).ok().filter(Feature::is_understood));
        }
    }
    let target = targets.into_iter().max_by_key(|target| graph.depth(target));
    facts.extend(target.as_ref().map(Feature::of_target));
    (target, facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(all: &[(&str, bool)]) -> Vec<Kind> {
        all.iter()
            .map(|(features, fits)| Kind {
                features: features.split(',').map(str::to_owned).collect(),
                fits: *fits,
            })
            .collect()
    }

    #[rstest::rstest]
    #[case(&[("zen3,zen2", true), ("cascadelake", false)], Some("zen3"))]
    #[case(&[("zen3,zen2", true), ("zen4,zen3,zen2", true), ("clx", false)], Some("zen3"))]
    #[case(&[("zen3,x86_64", true), ("clx,x86_64", true), ("arm", false)], Some("x86_64"))]
    #[case(&[("zen3,x86_64", true), ("clx,x86_64", true), ("hsw,x86_64", false)], Some("zen3|clx"))]
    #[case(&[("zen3", true), ("zen3,cuda-12.4", false)], None)]
    #[case(&[("zen3", false), ("zen3,cuda-12.4", true)], Some("cuda-12.4"))]
    #[case(&[("a b", true), ("zen3", false)], None)]
    fn a_constraint_names_the_nodes_that_fit_and_no_others(
        #[case] of: &[(&str, bool)],
        #[case] expected: Option<&str>,
    ) {
        assert_eq!(cover(&kinds(of)).as_deref(), expected);
    }

    #[test]
    fn static_features_say_what_a_node_is() {
        let sets = feature_sets(
            "zen3,zen2,x86_64,cuda-12.4,fast\n(null)\nzen3,zen2,x86_64,cuda-12.4,fast\n",
        );
        assert_eq!(sets.len(), 2);
        let policy = Policy::default();
        let login = login_of(&sets[0], None, &policy).unwrap();
        assert_eq!(login.user, "zen3+cuda=12.4");
        assert!(login_of(&sets[1], None, &policy).is_none());
    }

    #[rstest::rstest]
    #[case("hub.example/app:1", Some("hub.example/app:1"))]
    #[case("--image=hub.example/app:1", Some("hub.example/app:1"))]
    #[case("docker://hub.example#lab/app:1", Some("hub.example/lab/app:1"))]
    #[case("docker://node@hub.example#app", Some("hub.example/app:latest"))]
    #[case("hub.example#app:1", Some("hub.example/app:1"))]
    #[case("other.example/app:1", None)]
    #[case("hub.example", None)]
    #[case("/home/hub.example/app", None)]
    fn images_are_found_however_they_are_written(#[case] word: &str, #[case] image: Option<&str>) {
        let mut policy = Policy::default();
        policy.registries.push("hub.example".to_owned());
        let found = named(&policy, word).map(|(image, _)| image.by_tag());
        assert_eq!(found.as_deref(), image);
    }
}
