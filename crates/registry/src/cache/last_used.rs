//! When cached content was used last: noted in memory by pulls, stored in batches. Noting costs a
//! hash and a lock that is rarely contended; a pull writes nothing to the store.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::time::SystemTime;

use metahub_oci::{Digest, RepositoryName};
use metahub_store::Use;
use parking_lot::Mutex;

/// Shards, each with its own lock.
const SHARDS: u64 = 16;
/// Most uses in a shard; further ones are not noted until these are stored.
const MOST: usize = 16 * 1024;

/// Uses that are not stored yet.
pub(crate) struct Usage {
    /// By the hash of repository and digest: noting the same again copies nothing. Two that
    /// share a hash share a use, which does no harm.
    shards: Vec<Mutex<HashMap<u64, Use>>>,
    hasher: RandomState,
}

impl Default for Usage {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl Usage {
    /// Notes a use of a manifest; [`Use`] explains `by`.
    pub(crate) fn note(&self, repository: &RepositoryName, digest: &Digest, by: i64) {
        let now = SystemTime::now();
        let hash = self.hasher.hash_one((repository, digest));
        let shard = usize::try_from(hash % SHARDS).unwrap_or(0);
        let Some(shard) = self.shards.get(shard) else {
            return;
        };
        let mut shard = shard.lock();
        if shard.len() >= MOST && !shard.contains_key(&hash) {
            return;
        }
        shard
            .entry(hash)
            .and_modify(|used| {
                used.at = now;
                // By two is as good as by an account.
                if used.by != by {
                    used.by = 0;
                }
            })
            .or_insert_with(|| Use {
                repository: repository.clone(),
                digest: digest.clone(),
                at: now,
                by,
            });
    }

    /// All uses since the last call.
    pub(crate) fn take(&self) -> Vec<Use> {
        let shards = self.shards.iter();
        shards
            .flat_map(|shard| std::mem::take(&mut *shard.lock()).into_values())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_use_is_given_once_with_its_last_time() {
        let usage = Usage::default();
        let name: RepositoryName = "quay.io/x".parse().unwrap();
        let (a, b) = (Digest::sha256(b"a"), Digest::sha256(b"b"));
        usage.note(&name, &a, 7);
        usage.note(&name, &b, 7);
        let before = SystemTime::now();
        usage.note(&name, &a, 8);
        usage.note(&name, &b, 7);
        let used = usage.take();
        assert_eq!(used.len(), 2);
        let of = |digest: &Digest| used.iter().find(|used| used.digest == *digest).unwrap();
        assert!(of(&a).at >= before);
        assert_eq!((of(&a).by, of(&b).by), (0, 7), "two clients used the first");
        assert!(usage.take().is_empty());
    }
}
