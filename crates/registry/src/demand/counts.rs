//! Pulls by what they got, in memory until they are recorded. Noting one costs two hashes and a
//! lock that is rarely contended; a repeated pull copies nothing.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use metahub_oci::{RepositoryName, Tag};
use metahub_store::{DemandCount, DemandKey, MOST_NODES};
use parking_lot::Mutex;

use crate::demand::got::Got;
use crate::demand::settings::Puller;

/// Shards, each with its own lock.
const SHARDS: u64 = 16;
/// Most counts in a shard of accounts and nodes, and as many again of others, which cannot displace
/// the former.
const MOST: usize = 512;
/// Most clients with only a `HEAD` request so far, for each count.
const MOST_HEADS: usize = 16;

/// Counts that are not recorded yet.
pub(crate) struct Counts {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
}

#[derive(Default)]
struct Shard {
    known: HashMap<u64, Counted>,
    strangers: HashMap<u64, Counted>,
}

/// A count, found by the hash of its key: two keys with one hash share a count, which does no harm.
struct Counted {
    count: DemandCount,
    /// Clients with a `HEAD` request for the tag, as hashes: the pull that follows is not counted
    /// again.
    heads: Vec<u64>,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl Counts {
    /// Notes a pull. Returns whether there was room. `node` identifies the node.
    pub(crate) fn note(
        &self,
        (repository, tag): (&RepositoryName, &Tag),
        got: &Got,
        puller: &Puller<'_>,
        node: Option<i64>,
    ) -> bool {
        let known = puller.has_account || puller.node.is_some();
        let told_apart = (repository, tag, &got.target, &got.gpu, &got.got);
        let hash = self.hasher.hash_one(told_apart);
        let client = self
            .hasher
            .hash_one((puller.address, puller.agent, puller.node));
        let shard = usize::try_from(hash % SHARDS).unwrap_or(0);
        let Some(shard) = self.shards.get(shard) else {
            return false;
        };
        let mut shard = shard.lock();
        let counts = if known {
            &mut shard.known
        } else {
            &mut shard.strangers
        };
        if counts.len() >= MOST && !counts.contains_key(&hash) {
            return false;
        }
        let counted = counts.entry(hash).or_insert_with(|| Counted {
            count: DemandCount {
                key: DemandKey {
                    repository: repository.clone(),
                    tag: tag.clone(),
                    target: got.target.clone(),
                    gpu: got.gpu.clone(),
                    got: got.got.clone(),
                },
                known,
                pulls: 0,
                bytes: 0,
                nodes: Vec::new(),
            },
            heads: Vec::new(),
        });
        counted.note(got.bytes, client, puller.is_head, node);
        true
    }

    /// Everything since the last call.
    pub(crate) fn take(&self) -> Vec<DemandCount> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let Shard { known, strangers } = std::mem::take(&mut *shard.lock());
            let counted = known.into_values().chain(strangers.into_values());
            all.extend(counted.map(|counted| counted.count));
        }
        all
    }
}

impl Counted {
    fn note(&mut self, bytes: u64, client: u64, is_head: bool, node: Option<i64>) {
        if let Some(node) = node
            && self.count.nodes.len() <= MOST_NODES
            && !self.count.nodes.contains(&node)
        {
            self.count.nodes.push(node);
        }
        if is_head {
            if self.heads.len() >= MOST_HEADS {
                self.heads.remove(0);
            }
            self.heads.push(client);
        } else if let Some(at) = self.heads.iter().position(|head| *head == client) {
            self.heads.remove(at);
            return;
        }
        self.count.pulls += 1;
        self.count.bytes = self.count.bytes.saturating_add(bytes);
    }
}

#[cfg(test)]
mod tests;
