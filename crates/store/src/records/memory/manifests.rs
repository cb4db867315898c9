//! Manifests.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use metahub_oci::{Descriptor, Digest, JsonMap, RepositoryName, Tag};

use super::MemoryRecords;
use super::state::{BLOBS, Body, Held, NEEDED, State};
use crate::StoreError;
use crate::records::{
    Answer, Change, Deletion, ManifestRecords, NewManifest, Origin, Page, PutError, Stays,
    StoredManifest, TagRecord,
};

impl ManifestRecords for MemoryRecords {
    fn manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Answer<'_, Option<StoredManifest>> {
        self.read(|state| {
            let found = state.held(repository, digest).zip(state.bodies.get(digest));
            Ok(found.map(|(held, body)| StoredManifest {
                digest: digest.clone(),
                media_type: held.media_type.clone(),
                bytes: body.bytes.clone(),
                origin: held.origin,
                sources: held.sources.clone(),
            }))
        })
    }

    fn publish_manifest(&self, new: NewManifest) -> Answer<'_, (), PutError> {
        self.write(|state| publish(state, new))
    }

    fn delete_manifest(&self, repository: &RepositoryName, digest: &Digest) -> Answer<'_, bool> {
        self.write(|state| Ok(state.delete_manifest(repository, digest)))
    }

    fn delete_manifest_unless(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        stays: Stays,
    ) -> Answer<'_, Deletion> {
        self.write(|state| {
            Ok(match needing(state, repository, digest, &stays) {
                Some(tag) => Deletion::Needed(tag),
                None => state.delete_manifest(repository, digest).into(),
            })
        })
    }

    fn sources_of_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Answer<'_, Vec<String>> {
        self.read(|state| {
            let naming = state.manifests_of(repository);
            let naming = naming.filter(|(_, _, body)| body.names(digest, BLOBS));
            // For each image, when the latest of its manifests came, and the first position.
            let mut found = HashMap::new();
            for (_, held, _) in naming {
                for (position, image) in held.sources.iter().enumerate() {
                    let entry = found
                        .entry(image.clone())
                        .or_insert((held.pushed_at, position));
                    *entry = (entry.0.max(held.pushed_at), entry.1.min(position));
                }
            }
            let mut found: Vec<_> = found.into_iter().collect();
            found.sort_by(|(a, (a_at, a_position)), (b, (b_at, b_position))| {
                (b_at, a_position, a).cmp(&(a_at, b_position, b))
            });
            Ok(found.into_iter().map(|(image, _)| image).collect())
        })
    }

    fn manifests_naming(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        limit: u32,
    ) -> Answer<'_, Vec<Bytes>> {
        self.read(|state| {
            let naming = state.manifests_of(repository);
            let mut naming: Vec<_> = naming
                .filter(|(_, _, body)| body.names(digest, NEEDED))
                .collect();
            naming.sort_by(|a, b| (b.1.pushed_at, a.0).cmp(&(a.1.pushed_at, b.0)));
            naming.truncate(limit as usize);
            Ok(naming
                .iter()
                .map(|(_, _, body)| body.bytes.clone())
                .collect())
        })
    }

    fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: Option<&Digest>,
        limit: usize,
        bytes: usize,
    ) -> Answer<'_, Page<JsonMap>> {
        self.read(|state| {
            let referring = state.manifests_of(repository).filter(|(digest, _, body)| {
                body.subject.as_ref() == Some(subject)
                    && artifact_type
                        .is_none_or(|wanted| body.artifact_type.as_deref() == Some(wanted))
                    && after.is_none_or(|after| *digest > after)
            });
            let (mut items, mut read) = (Vec::new(), 0);
            for (_, held, body) in referring.take(limit.saturating_add(1)) {
                let mut descriptor = body.referrer.clone().unwrap_or_default();
                read += serde_json::Value::Object(descriptor.clone())
                    .to_string()
                    .len();
                if !items.is_empty() && read > bytes {
                    return Ok(Page { items, more: true });
                }
                let media_type = held.media_type.as_str();
                descriptor.insert("mediaType".into(), media_type.into());
                items.push(descriptor);
            }
            Ok(Page::cut(items, limit))
        })
    }

    fn compatibility(
        &self,
        repository: &RepositoryName,
        image: &Digest,
    ) -> Answer<'_, Option<Option<Descriptor>>> {
        self.read(|state| {
            let held = state.held(repository, image);
            Ok(held.and_then(|held| held.compatibility.clone()))
        })
    }

    fn set_compatibility(
        &self,
        repository: &RepositoryName,
        image: &Digest,
        artifact: Option<&Descriptor>,
    ) -> Answer<'_, ()> {
        self.write(|state| {
            let repository = state.repositories.get_mut(repository);
            if let Some(held) = repository.and_then(|r| r.manifests.get_mut(image)) {
                held.compatibility = Some(artifact.cloned());
            }
            Ok::<_, StoreError>(())
        })
    }
}

pub(super) fn publish(state: &mut State, new: NewManifest) -> Result<(), PutError> {
    let mounted = mounted(state, &new);
    if new.options.origin == Origin::Pushed {
        check(state, &new, &mounted)?;
    }
    let digest = new.document.digest().clone();
    let repository = state.repositories.get(&new.repository);
    for tag in &new.options.fixed {
        let taken = repository.and_then(|repository| repository.tags.get(tag));
        if let Some(other) = taken.filter(|record| record.digest != digest) {
            return Err(PutError::TagExists {
                tag: tag.clone(),
                digest: other.digest.clone(),
            });
        }
    }
    // Nothing fails from here on.
    let now = state.now();
    for blob in mounted {
        if !state.repository(&new.repository).blobs.contains_key(&blob) {
            state.link(&new.repository, &blob, false);
        }
    }
    write_body(state, &new, &digest);
    let NewManifest {
        repository: name,
        document,
        options,
        ..
    } = new;
    let repository = state.repository(&name);
    let held = repository.manifests.entry(digest.clone()).or_insert(Held {
        media_type: document.media_type().clone(),
        origin: options.origin,
        sources: Vec::new(),
        pushed_at: now,
        used_at: std::time::SystemTime::UNIX_EPOCH,
        brought_by: options.brought_by,
        compatibility: None,
    });
    held.media_type = document.media_type().clone();
    // What was pushed stays pushed, even if an upstream has it too.
    held.origin = held.origin.min(options.origin);
    held.pushed_at = now;
    if held.brought_by != options.brought_by {
        held.brought_by = 0;
    }
    if !options.sources.is_empty() {
        held.sources = options.sources;
    }
    for tag in &options.tags {
        let record = TagRecord {
            digest: digest.clone(),
            origin: options.origin,
            checked_at: now,
            etag: options.etag.clone(),
        };
        repository.tags.insert(tag.clone(), record);
    }
    if options.origin == Origin::Pushed {
        state.claim(&name, options.account);
    }
    for tag in options.tags {
        state.changed(Change::Tag(name.clone(), tag));
    }
    state.changed(Change::Pushed(name.clone()));
    state.changed(Change::Manifest(name, digest));
    Ok(())
}

/// The blobs that come with it from other repositories.
fn mounted(state: &State, new: &NewManifest) -> BTreeSet<Digest> {
    let mountable = new.mountable();
    let from = new.options.mount_from.iter();
    from.filter_map(|name| state.repositories.get(name))
        .flat_map(|repository| {
            let there = |digest: &&&Digest| repository.blobs.contains_key(**digest);
            mountable
                .iter()
                .filter(there)
                .map(|digest| (*digest).clone())
        })
        .collect()
}

/// Checks what the repository is going to hold of what the manifest names.
fn check(state: &State, new: &NewManifest, mounted: &BTreeSet<Digest>) -> Result<(), PutError> {
    let repository = state.repositories.get(&new.repository);
    let linked = repository.into_iter().flat_map(|r| r.blobs.keys());
    let blobs = linked.chain(mounted).filter_map(|digest| {
        let blob = state.blobs.get(digest)?;
        Some((digest.clone(), blob.size))
    });
    let manifests = state.manifests_of(&new.repository);
    let manifests = manifests.map(|(digest, _, body)| (digest.clone(), body.bytes.len() as u64));
    new.check(&blobs.collect(), &manifests.collect())
}

fn write_body(state: &mut State, new: &NewManifest, digest: &Digest) {
    let document = &new.document;
    if let Some(body) = state.bodies.get_mut(digest) {
        body.bytes = document.bytes().clone();
        return;
    }
    let id = 1 + state.bodies.values().map(|b| b.id).max().unwrap_or(0);
    let body = Body {
        id,
        bytes: document.bytes().clone(),
        references: new.references.clone(),
        subject: document.subject().map(|subject| subject.digest().clone()),
        artifact_type: document.artifact_type().map(str::to_owned),
        referrer: new.referrer(),
    };
    state.bodies.insert(digest.clone(), body);
}

/// A tag of `repository` that `stays` and needs `digest`: it names it, or something that refers
/// to it at any depth, but as its subject.
pub(super) fn needing(
    state: &State,
    repository: &RepositoryName,
    digest: &Digest,
    stays: &Stays,
) -> Option<Tag> {
    let mut needing = BTreeSet::from([digest.clone()]);
    loop {
        let more: Vec<Digest> = state
            .bodies
            .iter()
            .filter(|(digest, _)| !needing.contains(*digest))
            .filter(|(_, body)| body.digests(NEEDED).any(|named| needing.contains(named)))
            .map(|(digest, _)| digest.clone())
            .collect();
        if more.is_empty() {
            break;
        }
        needing.extend(more);
    }
    let tags = &state.repositories.get(repository)?.tags;
    let mut tags = tags.iter();
    let (tag, _) = tags.find(|(tag, record)| needing.contains(&record.digest) && stays(tag))?;
    Some(tag.clone())
}
