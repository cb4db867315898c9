//! The state of the records in memory, and queries of it that several modules use.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use bytes::Bytes;
use metahub_oci::{Descriptor, Digest, JsonMap, RepositoryName, Tag};

use crate::content::Known;
use crate::records::{
    AccountRecord, Change, Clock, DemandKey, DocumentVersion, JoinToken, Kind, NodeRecord, Origin,
    Redacted, Reference, TagRecord, UnlinkedBlob, host_of,
};
use crate::uploads::upload_id::UploadId;

/// A blob that is stored.
#[derive(Clone, Debug)]
pub(super) struct Blob {
    /// Greater than that of each blob that was there when it came.
    pub(super) id: i64,
    pub(super) size: u64,
    pub(super) body: Option<Bytes>,
    pub(super) used_at: SystemTime,
    /// What it needs, and by which version of the rule.
    pub(super) needs: Option<(u32, String)>,
}

/// The body of a manifest that a repository holds.
#[derive(Clone, Debug)]
pub(super) struct Body {
    /// Greater than that of each body that was there when it came.
    pub(super) id: i64,
    pub(super) bytes: Bytes,
    pub(super) references: BTreeSet<Reference>,
    pub(super) subject: Option<Digest>,
    pub(super) artifact_type: Option<String>,
    pub(super) referrer: Option<JsonMap>,
}

impl Body {
    /// Whether it names `digest` as one of `kinds`.
    pub(super) fn names(&self, digest: &Digest, kinds: &[Kind]) -> bool {
        self.digests(kinds).any(|named| named == digest)
    }

    /// What it names as one of `kinds`.
    pub(super) fn digests<'b>(&'b self, kinds: &'b [Kind]) -> impl Iterator<Item = &'b Digest> {
        let references = self.references.iter();
        references
            .filter(|reference| kinds.contains(&reference.kind))
            .map(|reference| &reference.digest)
    }
}

/// Everything but the subject.
pub(super) const NEEDED: &[Kind] = &[Kind::Config, Kind::Layer, Kind::Child];
pub(super) const BLOBS: &[Kind] = &[Kind::Config, Kind::Layer];

/// A repository's right to a blob.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) linked_at: SystemTime,
    /// Whether its own upstream gave it.
    pub(super) given: bool,
}

/// A manifest's entry in a repository.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) media_type: metahub_oci::MediaType,
    pub(super) origin: Origin,
    pub(super) sources: Vec<String>,
    pub(super) pushed_at: SystemTime,
    pub(super) used_at: SystemTime,
    pub(super) brought_by: i64,
    /// What its upstream answered of its compatibility artifact, if it was asked.
    pub(super) compatibility: Option<Option<Descriptor>>,
}

impl Held {
    /// When it was stored or used last.
    pub(super) fn last_used(&self) -> SystemTime {
        self.pushed_at.max(self.used_at)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Repository {
    /// Greater than that of each repository that was there when it came.
    pub(super) id: i64,
    pub(super) created_at: SystemTime,
    pub(super) blobs: BTreeMap<Digest, Link>,
    pub(super) manifests: BTreeMap<Digest, Held>,
    pub(super) tags: BTreeMap<Tag, TagRecord>,
}

/// The account that claimed a name, and when.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) account: Option<String>,
    pub(super) claimed_at: SystemTime,
}

/// What an outcome led to.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) repository: RepositoryName,
    pub(super) digest: Digest,
    pub(super) bytes: u64,
    pub(super) used_at: SystemTime,
}

/// The counts of pulls under one key.
#[derive(Clone, Debug)]
pub(super) struct Demand {
    /// Greater than that of each that was there when it came.
    pub(super) id: i64,
    pub(super) known: bool,
    pub(super) pulls: u64,
    pub(super) last_day: i64,
    pub(super) more_nodes: Option<i64>,
    /// Pulls and bytes by day.
    pub(super) days: BTreeMap<i64, (u64, u64)>,
    /// The last day of each node.
    pub(super) nodes: BTreeMap<i64, i64>,
}

/// Everything.
#[derive(Clone)]
pub(super) struct State {
    clock: Clock,
    changes: Vec<Change>,
    pub(super) repositories: BTreeMap<RepositoryName, Repository>,
    pub(super) blobs: BTreeMap<Digest, Blob>,
    pub(super) bodies: BTreeMap<Digest, Body>,
    pub(super) local_names: BTreeMap<RepositoryName, Claim>,
    pub(super) outcomes: BTreeMap<Digest, Outcome>,
    /// A pinned manifest, and since when.
    pub(super) pins: BTreeMap<(RepositoryName, Digest), SystemTime>,
    pub(super) demand: BTreeMap<DemandKey, Demand>,
    pub(super) uploads: BTreeMap<String, (UploadId, RepositoryName)>,
    pub(super) accounts: BTreeMap<String, AccountRecord>,
    pub(super) secrets: BTreeMap<String, Redacted<[u8; 32]>>,
    /// The versions of each document, oldest first, by kind and name.
    pub(super) documents: BTreeMap<(String, String), Vec<DocumentVersion>>,
    pub(super) nodes: BTreeMap<String, NodeRecord>,
    /// By their hashes.
    pub(super) join_tokens: BTreeMap<[u8; 32], JoinToken>,
    pub(super) identity: Option<Known>,
    pub(super) suspect: Option<String>,
}

impl State {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            changes: Vec::new(),
            repositories: BTreeMap::new(),
            blobs: BTreeMap::new(),
            bodies: BTreeMap::new(),
            local_names: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            pins: BTreeMap::new(),
            demand: BTreeMap::new(),
            uploads: BTreeMap::new(),
            accounts: BTreeMap::new(),
            secrets: BTreeMap::new(),
            documents: BTreeMap::new(),
            nodes: BTreeMap::new(),
            join_tokens: BTreeMap::new(),
            identity: None,
            suspect: None,
        }
    }

    pub(super) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// Notes what caches must forget.
    pub(super) fn changed(&mut self, change: Change) {
        self.changes.push(change);
    }

    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// A repository, made if it is missing.
    pub(super) fn repository(&mut self, name: &RepositoryName) -> &mut Repository {
        let id = 1 + self.repositories.values().map(|r| r.id).max().unwrap_or(0);
        let created_at = self.now();
        let entry = self.repositories.entry(name.clone());
        entry.or_insert_with(|| Repository {
            id,
            created_at,
            blobs: BTreeMap::new(),
            manifests: BTreeMap::new(),
            tags: BTreeMap::new(),
        })
    }

    /// Links a blob to a repository; `given` if its upstream has it.
    pub(super) fn link(&mut self, name: &RepositoryName, digest: &Digest, given: bool) {
        let linked_at = self.now();
        let links = &mut self.repository(name).blobs;
        let given = given || links.get(digest).is_some_and(|link| link.given);
        links.insert(digest.clone(), Link { linked_at, given });
    }

    /// Takes a blob out of a repository. Returns whether it was there.
    pub(super) fn unlink(&mut self, name: &RepositoryName, digest: &Digest) -> bool {
        self.changed(Change::Blob(name.clone(), digest.clone()));
        let repository = self.repositories.get_mut(name);
        repository.is_some_and(|repository| repository.blobs.remove(digest).is_some())
    }

    /// The same, for callers that then check whether another repository holds it.
    pub(super) fn take(&mut self, name: &RepositoryName, digest: &Digest) -> Option<UnlinkedBlob> {
        if !self.unlink(name, digest) {
            return None;
        }
        Some(UnlinkedBlob {
            digest: digest.clone(),
            size: self.blobs.get(digest)?.size,
        })
    }

    /// The entry of the manifest `digest` in `name`.
    pub(super) fn held(&self, name: &RepositoryName, digest: &Digest) -> Option<&Held> {
        self.repositories.get(name)?.manifests.get(digest)
    }

    /// Whether it is pinned there.
    pub(super) fn is_pinned(&self, name: &RepositoryName, digest: &Digest) -> bool {
        self.pins.contains_key(&(name.clone(), digest.clone()))
    }

    /// The manifests that a repository holds, with their bodies.
    pub(super) fn manifests<'s>(
        &'s self,
        repository: &'s Repository,
    ) -> impl Iterator<Item = (&'s Digest, &'s Held, &'s Body)> {
        let held = repository.manifests.iter();
        held.filter_map(|(digest, held)| Some((digest, held, self.bodies.get(digest)?)))
    }

    /// The same for a repository that may not be there.
    pub(super) fn manifests_of<'s>(
        &'s self,
        name: &RepositoryName,
    ) -> impl Iterator<Item = (&'s Digest, &'s Held, &'s Body)> {
        let repository = self.repositories.get(name).into_iter();
        repository.flat_map(|repository| self.manifests(repository))
    }

    /// Whether a manifest of a repository names `digest` as something that it needs.
    pub(super) fn is_needed(&self, name: &RepositoryName, digest: &Digest) -> bool {
        self.manifests_of(name)
            .any(|(_, _, body)| body.names(digest, NEEDED))
    }

    /// Whether one that was not derived does, or a referrer that was made here.
    pub(super) fn is_needed_by_original(&self, name: &RepositoryName, digest: &Digest) -> bool {
        self.manifests_of(name).any(|(_, held, body)| {
            let counts = held.origin != Origin::Derived || body.subject.is_some();
            counts && body.names(digest, NEEDED)
        })
    }

    /// The upstream whose repository this is, if it is one.
    pub(super) fn upstream<'n>(&self, name: &'n RepositoryName) -> Option<&'n str> {
        let repository = self.repositories.get(name)?;
        let fetched = |held: &Held| held.origin == Origin::Upstream;
        let mirrors = repository.manifests.values().any(fetched)
            || repository.blobs.values().any(|link| link.given);
        let counts = mirrors && !self.local_names.contains_key(name);
        host_of(name).filter(|_| counts)
    }

    /// Removes a manifest from a repository, and its body if no other repository holds it. Returns
    /// whether it was there.
    pub(super) fn delete_manifest(&mut self, name: &RepositoryName, digest: &Digest) -> bool {
        let Some(repository) = self.repositories.get_mut(name) else {
            return false;
        };
        if repository.manifests.remove(digest).is_none() {
            return false;
        }
        self.pins.remove(&(name.clone(), digest.clone()));
        let tags = repository
            .tags
            .extract_if(.., |_, record| record.digest == *digest);
        let tags: Vec<Tag> = tags.map(|(tag, _)| tag).collect();
        let outcomes = self.outcomes.extract_if(.., |_, outcome| {
            outcome.repository == *name && outcome.digest == *digest
        });
        let outcomes: Vec<Digest> = outcomes.map(|(key, _)| key).collect();
        let is_held = |repository: &Repository| repository.manifests.contains_key(digest);
        if !self.repositories.values().any(is_held) {
            self.bodies.remove(digest);
        }
        for tag in tags {
            self.changed(Change::Tag(name.clone(), tag));
        }
        for key in outcomes {
            self.changed(Change::Derived(key));
        }
        self.changed(Change::Pushed(name.clone()));
        self.changed(Change::Manifest(name.clone(), digest.clone()));
        true
    }
}
