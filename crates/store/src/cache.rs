//! Hot records in memory: tags, manifests, blob access and derived content.
//!
//! A cache never holds what the database no longer says. A reader takes a ticket before it reads
//! the database, and may fill the cache only if no change began since. The writer announces its
//! changes before it commits, and again before it acknowledges: in between nothing is cached, since
//! some readers already see the new value and others still bring the old one. All this happens
//! under the same small lock, so no order leaves an old value behind, and nobody sees the new value
//! and then the old one. Only this process's writes are seen: that is why one process alone serves
//! a data folder, and garbage collection runs in it. What another process may write (accounts) is
//! not cached.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use metahub_oci::{Digest, RepositoryName, Tag};
use moka::sync::Cache;
use parking_lot::Mutex;

use crate::records::{Access, Change, ChangeSink, Derived, StoredManifest, TagRecord};

/// Generations are counted for groups of keys; more groups mean fewer needless refusals to fill.
const SHARDS: usize = 64;

/// A cache that is exact about this process's writes.
pub(crate) struct ExactCache<K, V> {
    cache: Cache<K, V>,
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
}

/// The state of a group of keys.
#[derive(Default)]
struct Shard {
    /// Counts beginnings and ends of changes.
    generation: u64,
    /// Changes that have begun and not ended.
    changing: u32,
}

/// The right to fill a cache with values read from now on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket(u64);

impl<K, V> ExactCache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// A cache whose entries weigh `bytes` at most together.
    pub(crate) fn new(bytes: u64, weigh: impl Fn(&K, &V) -> usize + Send + Sync + 'static) -> Self {
        let cache = Cache::builder()
            .max_capacity(bytes)
            .weigher(move |key, value| u32::try_from(weigh(key, value)).unwrap_or(u32::MAX))
            .build();
        Self {
            cache,
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        self.cache.get(key)
    }

    fn shard(&self, key: &K) -> Option<&Mutex<Shard>> {
        let shard = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or(0);
        self.shards.get(shard)
    }

    /// A ticket, to be taken before the database is read.
    pub(crate) fn ticket(&self, key: &K) -> Ticket {
        Ticket(self.shard(key).map_or(0, |shard| shard.lock().generation))
    }

    /// Caches a value, unless it is changing or may have changed since the ticket was taken.
    pub(crate) fn fill(&self, ticket: Ticket, key: K, value: V) {
        let Some(shard) = self.shard(&key) else {
            return;
        };
        let shard = shard.lock();
        if shard.changing == 0 && shard.generation == ticket.0 {
            self.cache.insert(key, value);
        }
    }

    /// Drops a key, and invalidates the tickets of its current readers.
    pub(crate) fn forget(&self, key: &K) {
        self.begin_change(key);
        self.end_change(key);
    }

    /// Drops a key, invalidates the tickets of its current readers, and caches nothing for it until
    /// the change ends.
    pub(crate) fn begin_change(&self, key: &K) {
        let Some(shard) = self.shard(key) else {
            return;
        };
        let mut shard = shard.lock();
        shard.generation += 1;
        shard.changing += 1;
        self.cache.invalidate(key);
    }

    /// Invalidates the tickets of readers of the key during the change.
    pub(crate) fn end_change(&self, key: &K) {
        let Some(shard) = self.shard(key) else {
            return;
        };
        let mut shard = shard.lock();
        shard.generation += 1;
        shard.changing = shard.changing.saturating_sub(1);
    }
}

/// Repositories are counted in so many groups: more mean fewer needless invalidations.
const GROUPS: usize = 4096;

/// A generation of a repository: as long as it [is current](crate::Store::is_current), no tag and
/// no manifest of the repository changed, and there was no first push to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    group: u16,
    changes: u64,
}

/// Bits of a group's number that count the changes which have begun and not ended. The bits above
/// count all beginnings and ends.
const CHANGING_BITS: u32 = 24;
const CHANGING: u64 = (1 << CHANGING_BITS) - 1;

/// How often the tags and manifests of repositories changed, by groups of repositories.
struct Changes {
    groups: Box<[AtomicU64]>,
    hasher: RandomState,
}

impl Changes {
    fn new() -> Self {
        Self {
            groups: (0..GROUPS).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
        }
    }

    fn group_of(&self, repository: &RepositoryName) -> u16 {
        u16::try_from(self.hasher.hash_one(repository) % GROUPS as u64).unwrap_or(0)
    }

    fn in_group(&self, group: u16) -> Option<&AtomicU64> {
        self.groups.get(usize::from(group))
    }

    /// To be called before a change can be seen.
    fn begin(&self, repository: &RepositoryName) {
        if let Some(changes) = self.in_group(self.group_of(repository)) {
            changes.fetch_add((1 << CHANGING_BITS) + 1, Ordering::SeqCst);
        }
    }

    /// To be called after the caches know that a change is over, once for each beginning.
    fn end(&self, repository: &RepositoryName) {
        if let Some(changes) = self.in_group(self.group_of(repository)) {
            changes.fetch_add((1 << CHANGING_BITS) - 1, Ordering::SeqCst);
        }
    }
}

/// The caches of a store.
pub(crate) struct Caches {
    /// `None`: there is no such tag. A mirror asks for that on every pull.
    pub(crate) tags: ExactCache<(RepositoryName, Tag), Option<Arc<TagRecord>>>,
    /// Whether a repository was pushed to.
    pub(crate) pushed: ExactCache<RepositoryName, bool>,
    pub(crate) manifests: ExactCache<(RepositoryName, Digest), Arc<StoredManifest>>,
    /// The blobs that a repository may read.
    pub(crate) blobs: ExactCache<(RepositoryName, Digest), Access>,
    pub(crate) derived: ExactCache<Digest, Arc<Derived>>,
    changes: Changes,
}

impl Caches {
    /// Caches that hold about `bytes` together.
    pub(crate) fn new(bytes: u64) -> Self {
        // The approximate size of an entry without its texts.
        const ENTRY: usize = 256;
        Self {
            tags: ExactCache::new(bytes / 8, |(repository, tag): &(RepositoryName, Tag), _| {
                ENTRY + repository.as_str().len() + tag.as_str().len() + 80
            }),
            pushed: ExactCache::new(bytes / 16, |repository: &RepositoryName, _| {
                ENTRY + repository.as_str().len()
            }),
            manifests: ExactCache::new(bytes * 7 / 16, |_, manifest: &Arc<StoredManifest>| {
                2 * ENTRY + manifest.bytes.len()
            }),
            blobs: ExactCache::new(bytes / 4, |_, access: &Access| {
                ENTRY + 128 + access.body.as_ref().map_or(0, Bytes::len)
            }),
            derived: ExactCache::new(bytes / 8, |_, derived: &Arc<Derived>| {
                2 * ENTRY + derived.repository.as_str().len()
            }),
            changes: Changes::new(),
        }
    }

    /// The generation of a repository, to be taken before anything of it is read.
    pub(crate) fn generation(&self, repository: &RepositoryName) -> Generation {
        let group = self.changes.group_of(repository);
        let changes = self.changes.in_group(group);
        Generation {
            group,
            changes: changes.map_or(0, |changes| changes.load(Ordering::SeqCst)),
        }
    }

    /// Whether nothing changed since, or is changing.
    pub(crate) fn is_current(&self, generation: Generation) -> bool {
        let changes = self.changes.in_group(generation.group);
        changes.is_some_and(|changes| changes.load(Ordering::SeqCst) == generation.changes)
            && generation.changes & CHANGING == 0
    }
}

/// The beginning or the end of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edge {
    Begins,
    Ends,
}

impl<K, V> ExactCache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn change(&self, key: &K, edge: Edge) {
        match edge {
            Edge::Begins => self.begin_change(key),
            Edge::Ends => self.end_change(key),
        }
    }
}

impl Caches {
    /// Announces a change to the caches that it concerns.
    fn tell(&self, change: &Change, edge: Edge) {
        let of_repository = match change {
            Change::Tag(repository, tag) => {
                self.tags.change(&(repository.clone(), tag.clone()), edge);
                repository
            }
            Change::Manifest(repository, digest) => {
                let key = (repository.clone(), digest.clone());
                self.manifests.change(&key, edge);
                repository
            }
            Change::Pushed(repository) => {
                self.pushed.change(repository, edge);
                repository
            }
            Change::Blob(repository, digest) => {
                let key = (repository.clone(), digest.clone());
                return self.blobs.change(&key, edge);
            }
            Change::Derived(key) => return self.derived.change(key, edge),
        };
        match edge {
            Edge::Begins => self.changes.begin(of_repository),
            Edge::Ends => self.changes.end(of_repository),
        }
    }
}

impl ChangeSink for Caches {
    fn changing(&self, change: &Change) {
        self.tell(change, Edge::Begins);
    }

    fn changed(&self, change: &Change) {
        self.tell(change, Edge::Ends);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn nobody_finds_an_old_value_after_it_was_forgotten() {
        const READERS: usize = 3;
        let cache: ExactCache<u8, u64> = ExactCache::new(1_000_000, |_, _| 1);
        let (database, over) = (AtomicU64::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for _ in 0..READERS {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        if cache.get(&1).is_none() {
                            let ticket = cache.ticket(&1);
                            let value = database.load(Ordering::SeqCst);
                            std::thread::yield_now();
                            cache.fill(ticket, 1, value);
                        }
                    }
                });
            }
            let stale = (1..20_000).find_map(|value| {
                cache.begin_change(&1);
                database.store(value, Ordering::SeqCst);
                cache.end_change(&1);
                // Acknowledged: the caller now gets this value.
                let mut found = (0..5).filter_map(|_| cache.get(&1));
                found.find(|found| *found != value)
            });
            over.store(true, Ordering::Relaxed);
            assert_eq!(stale, None);
        });
    }

    #[test]
    fn a_generation_ends_with_any_change_of_what_leads_to_an_image() {
        let caches = Caches::new(1_000_000);
        let name: RepositoryName = "team/app".parse().unwrap();
        let digest = Digest::sha256(b"x");
        let ends = [
            (Change::Tag(name.clone(), "1".parse().unwrap()), true),
            (Change::Manifest(name.clone(), digest.clone()), true),
            (Change::Pushed(name.clone()), true),
            (Change::Blob(name.clone(), digest.clone()), false),
            (Change::Derived(digest), false),
        ];
        for (change, ended) in ends {
            let generation = caches.generation(&name);
            assert!(caches.is_current(generation));
            caches.changing(&change);
            assert_eq!(caches.is_current(generation), !ended, "{change:?}");
            let amid = caches.generation(&name);
            assert_eq!(caches.is_current(amid), !ended, "{change:?}");
            caches.changed(&change);
            assert_eq!(caches.is_current(generation), !ended, "{change:?}");
            assert_eq!(caches.is_current(amid), !ended, "{change:?}");
            assert!(caches.is_current(caches.generation(&name)), "{change:?}");
        }
    }

    #[test]
    fn a_value_read_before_or_during_a_change_is_not_kept() {
        let cache: ExactCache<u8, u64> = ExactCache::new(1_000_000, |_, _| 1);
        let early = cache.ticket(&1);
        cache.begin_change(&1);
        cache.fill(early, 1, 1);
        assert_eq!(cache.get(&1), None);
        let amid = cache.ticket(&1);
        cache.fill(amid, 1, 2);
        assert_eq!(
            cache.get(&1),
            None,
            "others may see the old value, or the new one"
        );
        // Another change of the same key, or of a neighbour, does not end with the first.
        cache.begin_change(&1);
        cache.end_change(&1);
        cache.fill(cache.ticket(&1), 1, 3);
        assert_eq!(cache.get(&1), None);
        cache.end_change(&1);
        cache.fill(amid, 1, 4);
        assert_eq!(cache.get(&1), None);
        cache.fill(cache.ticket(&1), 1, 5);
        assert_eq!(cache.get(&1), Some(5));
        cache.begin_change(&1);
        assert_eq!(cache.get(&1), None);
    }
}
