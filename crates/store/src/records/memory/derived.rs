//! Records of derived content.

use std::time::SystemTime;

use metahub_oci::{Digest, RepositoryName};

use super::MemoryRecords;
use super::state::{Outcome, State};
use crate::StoreError;
use crate::records::{
    Answer, Batch, Change, Cursor, Derived, DerivedRecords, DerivedTotal, EvictedRecords, Kind,
    Origin, digest_of,
};

impl DerivedRecords for MemoryRecords {
    fn derived(&self, key: &Digest) -> Answer<'_, Option<Derived>> {
        self.read(|state| {
            let outcome = state.outcomes.get(key);
            Ok(outcome.map(|outcome| Derived {
                repository: outcome.repository.clone(),
                digest: outcome.digest.clone(),
            }))
        })
    }

    fn put_derived(
        &self,
        key: &Digest,
        repository: &RepositoryName,
        digest: &Digest,
        bytes: u64,
    ) -> Answer<'_, bool> {
        self.write(|state| {
            let is_held = state.held(repository, digest).is_some();
            if is_held {
                let outcome = Outcome {
                    repository: repository.clone(),
                    digest: digest.clone(),
                    bytes,
                    used_at: state.now(),
                };
                state.outcomes.insert(key.clone(), outcome);
            }
            state.changed(Change::Derived(key.clone()));
            Ok::<_, StoreError>(is_held)
        })
    }

    fn derived_total(&self) -> Answer<'_, DerivedTotal> {
        self.read(|state| Ok(total(state)))
    }

    fn evict_derived(&self, target: u64, limit: u32) -> Answer<'_, EvictedRecords> {
        self.write(|state| Ok(evict(state, target, limit)))
    }

    fn stale_derived(
        &self,
        unused_since: SystemTime,
        after: Cursor,
        limit: u32,
    ) -> Answer<'_, Batch<Derived>> {
        self.read(|state| Ok(stale(state, unused_since, after, limit)))
    }

    fn remove_stale(&self, candidates: Vec<Derived>, unused_since: SystemTime) -> Answer<'_, u64> {
        self.write(|state| Ok(remove_stale(state, candidates, unused_since)))
    }

    fn count_stale(&self, unused_since: SystemTime) -> Answer<'_, u64> {
        self.read(|state| {
            let mut state = state.clone();
            let mut removed = 0;
            loop {
                let found = stale(&state, unused_since, Cursor::default(), u32::MAX);
                let gone = remove_stale(&mut state, found.items, unused_since);
                if gone == 0 {
                    return Ok(removed);
                }
                removed += gone;
            }
        })
    }
}

fn total(state: &State) -> DerivedTotal {
    DerivedTotal {
        records: state.outcomes.len() as u64,
        bytes: state.outcomes.values().map(|outcome| outcome.bytes).sum(),
    }
}

/// Whether a record leads to a manifest.
fn is_recorded(state: &State, name: &RepositoryName, digest: &Digest) -> bool {
    let mut outcomes = state.outcomes.values();
    outcomes.any(|outcome| outcome.repository == *name && outcome.digest == *digest)
}

/// Whether a manifest was derived in that repository and no tag, index or referrer there refers to
/// it.
fn is_free(state: &State, name: &RepositoryName, digest: &Digest) -> bool {
    let Some(repository) = state.repositories.get(name) else {
        return false;
    };
    let held = repository.manifests.get(digest);
    let is_tagged = repository.tags.values().any(|tag| tag.digest == *digest);
    let is_named = state
        .manifests(repository)
        .any(|(_, _, body)| body.names(digest, &[Kind::Child, Kind::Subject]));
    held.is_some_and(|held| held.origin == Origin::Derived) && !is_tagged && !is_named
}

/// Whether an image is held somewhere. What was itself derived in `name` does not count.
fn is_held(state: &State, name: &RepositoryName, image: &Digest) -> bool {
    let mut repositories = state.repositories.iter();
    repositories.any(|(other, repository)| {
        let held = repository.manifests.get(image);
        held.is_some_and(|held| other != name || held.origin != Origin::Derived)
    })
}

fn is_stale(
    state: &State,
    name: &RepositoryName,
    digest: &Digest,
    unused_since: SystemTime,
) -> bool {
    let Some(held) = state.held(name, digest) else {
        return false;
    };
    let sources = held.sources.iter();
    let mut sources = sources.filter_map(|image| digest_of(image));
    held.last_used() <= unused_since
        && is_free(state, name, digest)
        && (!is_recorded(state, name, digest)
            || sources.any(|source| !is_held(state, name, &source)))
}

fn stale(state: &State, unused_since: SystemTime, after: Cursor, limit: u32) -> Batch<Derived> {
    let mut found = Vec::new();
    for (name, repository) in &state.repositories {
        for (digest, _, body) in state.manifests(repository) {
            if is_stale(state, name, digest, unused_since) {
                let derived = Derived {
                    repository: name.clone(),
                    digest: digest.clone(),
                };
                found.push((Cursor([repository.id, body.id]), derived));
            }
        }
    }
    super::garbage::batch(found, after, limit)
}

fn remove_stale(state: &mut State, candidates: Vec<Derived>, unused_since: SystemTime) -> u64 {
    let mut removed = 0;
    for Derived { repository, digest } in candidates {
        if is_stale(state, &repository, &digest, unused_since) {
            removed += u64::from(state.delete_manifest(&repository, &digest));
        }
    }
    removed
}

fn evict(state: &mut State, target: u64, limit: u32) -> EvictedRecords {
    let mut bytes = total(state).bytes;
    let outcomes = state.outcomes.iter();
    let mut oldest: Vec<_> = outcomes
        .map(|(key, outcome)| (outcome.used_at, key.clone(), outcome.clone()))
        .collect();
    oldest.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    oldest.truncate(limit as usize);
    let mut evicted = EvictedRecords::default();
    let mut configurations = Vec::new();
    for (_, key, outcome) in oldest {
        if bytes <= target {
            break;
        }
        bytes = bytes.saturating_sub(outcome.bytes);
        evicted.records += 1;
        state.outcomes.remove(&key);
        state.changed(Change::Derived(key));
        let name = &outcome.repository;
        if !is_recorded(state, name, &outcome.digest) && is_free(state, name, &outcome.digest) {
            evicted.manifests += remove(state, &outcome, &mut configurations);
        }
    }
    for (name, blob) in configurations {
        if !state.is_needed(&name, &blob) {
            evicted.blobs.extend(state.take(&name, &blob));
        }
    }
    evicted
}

/// Removes the manifest of a record that went, and those of its children that only it needed; how
/// many. Adds the configurations that they named.
fn remove(
    state: &mut State,
    outcome: &Outcome,
    configurations: &mut Vec<(RepositoryName, Digest)>,
) -> u64 {
    let name = &outcome.repository;
    let named = |state: &State, digest: &Digest, kind: Kind| -> Vec<Digest> {
        let body = state.bodies.get(digest).into_iter();
        body.flat_map(|body| body.digests(&[kind]).cloned().collect::<Vec<_>>())
            .collect()
    };
    let children = named(state, &outcome.digest, Kind::Child);
    let blobs = named(state, &outcome.digest, Kind::Config);
    configurations.extend(blobs.into_iter().map(|blob| (name.clone(), blob)));
    let mut removed = u64::from(state.delete_manifest(name, &outcome.digest));
    // A child is free only once its index is gone.
    let free = children
        .into_iter()
        .filter(|child| !is_recorded(state, name, child) && is_free(state, name, child));
    for child in free.collect::<Vec<_>>() {
        let blobs = named(state, &child, Kind::Config);
        configurations.extend(blobs.into_iter().map(|blob| (name.clone(), blob)));
        removed += u64::from(state.delete_manifest(name, &child));
    }
    removed
}
