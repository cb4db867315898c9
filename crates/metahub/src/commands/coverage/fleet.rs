//! The machines of the site: nodes that proved their identity, grouped by kind.

use std::collections::BTreeMap;

use metahub_catalog::Catalog;
use metahub_hardware::{Feature, Key};
use metahub_store::{Mode, NodeRecord, Store};
use miette::{IntoDiagnostic as _, miette};

use crate::config::Config;
use crate::data;

/// Kinds of nodes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fleet {
    /// Logins for the features of each kind of nodes, and the number of nodes: most nodes first.
    pub(super) kinds: Vec<(String, u64)>,
    /// Nodes for which no login can be made.
    pub(super) left_out: Vec<String>,
}

impl Fleet {
    /// The nodes of the data folder, also while a server runs on it.
    pub(super) async fn read(config: &Config) -> miette::Result<Self> {
        data::must_exist(&config.data)?;
        let store = Store::open(&config.data, Mode::Beside).await;
        let store = store.map_err(|error| data::failed(&config.data, &error))?;
        let nodes = store.nodes().await.into_diagnostic();
        store.close().await;
        let fleet = Self::of(&nodes?);
        if fleet.kinds.is_empty() {
            return Err(miette!(
                help = "nodes are known that prove who they are (nodes in the configuration) and \
                        report with metahub-node refresh",
                "no node has reported a processor"
            ));
        }
        Ok(fleet)
    }

    /// Without revoked nodes.
    pub(super) fn of(nodes: &[NodeRecord]) -> Self {
        let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
        let mut fleet = Self::default();
        let known = Catalog::builtin();
        for node in nodes.iter().filter(|node| node.revoked_at.is_none()) {
            let login = login(&node.features);
            match login.filter(|login| known.interpret(login, &|_| false).is_ok()) {
                Some(login) => *kinds.entry(login).or_default() += 1,
                None => fleet.left_out.push(node.name.clone()),
            }
        }
        fleet.kinds = kinds.into_iter().collect();
        fleet
            .kinds
            .sort_by_key(|(_, nodes)| std::cmp::Reverse(*nodes));
        fleet
    }

    /// The names of the kinds in a table.
    pub(super) fn labels(&self) -> Vec<String> {
        let label = |(login, nodes): &(String, u64)| match nodes {
            1 => format!("{login} (1 node)"),
            nodes => format!("{login} ({nodes} nodes)"),
        };
        self.kinds.iter().map(label).collect()
    }
}

/// The login of a node: the features by which images are chosen. `None` without a processor.
fn login(features: &[String]) -> Option<String> {
    let features = features.iter().filter_map(|text| Feature::parse(text).ok());
    let mut features: Vec<Feature> = features.filter(is_chosen_by).collect();
    features.sort();
    features.dedup();
    features
        .iter()
        .find(|feature| *feature.key() == Key::Arch)?;
    let selector = |feature: &Feature| match feature.key() {
        Key::Arch => feature.value().to_owned(),
        _ => feature.to_string().replacen(':', "=", 1),
    };
    let selectors: Vec<String> = features.iter().map(selector).collect();
    Some(selectors.join("+"))
}

/// Whether a login can state a feature by which images are chosen. Container images state nothing
/// about kernel and C library that distinguishes nodes.
fn is_chosen_by(feature: &Feature) -> bool {
    let is_named = matches!(
        feature.key(),
        Key::Arch
            | Key::Cuda
            | Key::Driver
            | Key::Cc
            | Key::Rocm
            | Key::Gfx
            | Key::Gpu
            | Key::Mpi
            | Key::Libfabric
    );
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
    is_named && feature.value().chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn node(name: &str, features: &[&str], revoked: bool) -> NodeRecord {
        NodeRecord {
            name: name.to_owned(),
            way: "token".to_owned(),
            token_hash: None,
            features: features.iter().map(ToString::to_string).collect(),
            version: None,
            first_seen: SystemTime::UNIX_EPOCH,
            last_seen: SystemTime::UNIX_EPOCH,
            last_pull: None,
            images: Vec::new(),
            revoked_at: revoked.then_some(SystemTime::UNIX_EPOCH),
        }
    }

    #[test]
    fn nodes_of_one_kind_are_counted_together_and_the_unknown_left_out() {
        let fleet = Fleet::of(&[
            node("n1", &["arch:haswell"], false),
            node(
                "n2",
                &["arch:zen4", "driver:550.54", "kernel:5.14.0"],
                false,
            ),
            node("n3", &["driver:550.54", "arch:zen4", "kernel:6.1"], false),
            node("n4", &["arch:zen4"], true),
            node("n5", &[], false),
            node("n6", &["arch:no such", "driver:x"], false),
        ]);
        let labels = ["zen4+driver=550.54 (2 nodes)", "haswell (1 node)"];
        assert_eq!(fleet.labels(), labels);
        assert_eq!(fleet.left_out, ["n5", "n6"]);
    }
}
