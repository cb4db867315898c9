//! What this node provides: detected features, and the site's overrides.

use std::path::PathBuf;
use std::time::Duration;

use metahub_hardware::detect::{CpuFinding, DetectOptions, Root, detect as detect_hardware};
use metahub_hardware::{Feature, Key, Microarchitectures, Target};
use metahub_probe::{MetadataService, Probe};
use serde::{Deserialize, Serialize};

use crate::policy::Policy;

/// A fact and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// The feature.
    pub feature: Feature,
    /// A path, the name of a tool, or the policy.
    pub from: String,
}

/// What a node provides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Detected {
    /// The CPU target: as the site states it, or as detected.
    pub target: Option<Target>,
    /// The detected CPU, hidden flags included.
    pub cpu: Option<CpuFinding>,
    /// All facts, one line each.
    pub facts: Vec<Fact>,
}

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The folder used as `/`.
    pub root: PathBuf,
    /// A text to read in place of `/proc/cpuinfo`.
    pub cpuinfo: Option<String>,
    /// Whether the node's tools may be run, and how long each may take; files alone otherwise.
    pub tools: Option<Duration>,
}

impl Default for Look {
    /// This node by its files alone.
    fn default() -> Self {
        Self {
            root: PathBuf::from("/"),
            cpuinfo: None,
            tools: None,
        }
    }
}

/// Finds out what the node provides. Tools are run only where `look` is at the running system.
#[must_use]
pub fn detect(policy: &Policy, look: &Look) -> Detected {
    let root = Root::new(&look.root);
    let mut options = match look.tools {
        Some(patience) if root.is_live() && look.cpuinfo.is_none() => probe(policy, patience),
        _ => DetectOptions::default(),
    };
    options.cpuinfo.clone_from(&look.cpuinfo);
    let node = detect_hardware(&root, &Microarchitectures::builtin(), &options);
    let found = node.facts.into_iter().map(|fact| Fact {
        feature: fact.feature,
        from: fact.from,
    });
    stated(policy, found.collect(), node.cpu)
}

fn probe(policy: &Policy, patience: Duration) -> DetectOptions {
    let usual = Probe::default();
    let probe = Probe {
        path: usual.path.clone().filter(|_| policy.tools),
        clouds: if policy.cloud {
            MetadataService::all()
        } else {
            Vec::new()
        },
        patience,
        ..usual
    };
    probe.ask()
}

/// Replaces detected facts by those that the site states for the same key.
fn stated(policy: &Policy, mut facts: Vec<Fact>, cpu: Option<CpuFinding>) -> Detected {
    facts.retain(|fact| {
        !policy
            .features
            .iter()
            .any(|stated| stated.key() == fact.feature.key())
    });
    facts.extend(policy.features.iter().map(|feature| Fact {
        feature: feature.clone(),
        from: "node.yaml".to_owned(),
    }));
    let arch = |fact: &&Fact| *fact.feature.key() == Key::Arch;
    let target = facts
        .iter()
        .find(arch)
        .and_then(|fact| fact.feature.target().cloned());
    Detected { target, cpu, facts }
}

impl Detected {
    /// The features alone.
    #[must_use]
    pub fn features(&self) -> Vec<Feature> {
        self.facts.iter().map(|fact| fact.feature.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_site_states_replaces_what_is_found_of_its_key() {
        let cpuinfo = "processor: 0\nvendor_id: AuthenticAMD\nflags: fpu lm\n";
        let policy = Policy {
            features: vec!["arch:zen2".parse().unwrap(), "mpi:mpich".parse().unwrap()],
            ..Policy::default()
        };
        let look = Look {
            root: tempfile::tempdir().unwrap().path().to_owned(),
            cpuinfo: Some(cpuinfo.to_owned()),
            tools: None,
        };
        let found = detect(&policy, &look);
        assert_eq!(found.target.unwrap().as_str(), "zen2");
        assert_eq!(found.cpu.unwrap().target.as_str(), "x86_64");
        let texts: Vec<String> = found.facts.iter().map(|f| f.feature.to_string()).collect();
        assert_eq!(texts, ["arch:zen2", "mpi:mpich"]);
    }
}
