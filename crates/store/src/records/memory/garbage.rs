//! Garbage.

use std::collections::HashSet;
use std::time::SystemTime;

use metahub_oci::{Algorithm, Digest, RepositoryName};

use super::MemoryRecords;
use super::state::{BLOBS, State};
use crate::StoreError;
use crate::records::{Answer, Batch, Cursor, Garbage, GarbageRecords, Link, Origin, UnlinkedBlob};

/// The items after `after`, at most `limit`.
pub(super) fn batch<T>(mut found: Vec<(Cursor, T)>, after: Cursor, limit: u32) -> Batch<T> {
    found.sort_by_key(|(cursor, _)| *cursor);
    found.retain(|(cursor, _)| *cursor > after);
    found.truncate(limit as usize);
    Batch {
        next: found.last().map(|(cursor, _)| *cursor),
        items: found.into_iter().map(|(_, item)| item).collect(),
    }
}

/// Whether a repository has a right to a blob that it does not need.
fn is_unneeded(state: &State, name: &RepositoryName, digest: &Digest, cutoff: SystemTime) -> bool {
    let link = state.repositories.get(name);
    let link = link.and_then(|repository| repository.blobs.get(digest));
    link.is_some_and(|link| link.linked_at <= cutoff) && !state.is_needed(name, digest)
}

/// Every link there is.
fn links(state: &State) -> impl Iterator<Item = (&RepositoryName, &Digest)> {
    let repositories = state.repositories.iter();
    repositories.flat_map(|(name, repository)| {
        let blobs = repository.blobs.keys();
        blobs.map(move |digest| (name, digest))
    })
}

fn is_linked(state: &State, digest: &Digest) -> bool {
    links(state).any(|(_, linked)| linked == digest)
}

/// Whether a blob has a file, or a manifest that was pushed names it.
fn is_file_named(state: &State, digest: &Digest) -> bool {
    let in_file = state.blobs.get(digest).is_some_and(|b| b.body.is_none());
    in_file || named_by_pushed(state).any(|named| named == digest)
}

fn named_by_pushed(state: &State) -> impl Iterator<Item = &Digest> {
    let repositories = state.repositories.values();
    repositories
        .flat_map(|repository| state.manifests(repository))
        .filter(|(_, held, _)| held.origin == Origin::Pushed)
        .flat_map(|(_, _, body)| body.digests(BLOBS))
}

impl GarbageRecords for MemoryRecords {
    fn unneeded_links(
        &self,
        cutoff: SystemTime,
        after: Cursor,
        limit: u32,
    ) -> Answer<'_, Batch<Link>> {
        self.read(|state| {
            let found =
                links(state).filter(|(name, digest)| is_unneeded(state, name, digest, cutoff));
            let found = found.filter_map(|(name, digest)| {
                let repository = state.repositories.get(name)?.id;
                let blob = state.blobs.get(digest)?.id;
                let link = Link {
                    repository: name.clone(),
                    digest: digest.clone(),
                };
                Some((Cursor([repository, blob]), link))
            });
            Ok(batch(found.collect(), after, limit))
        })
    }

    fn remove_links(&self, links: Vec<Link>, cutoff: SystemTime) -> Answer<'_, Vec<UnlinkedBlob>> {
        self.write(|state| {
            let mut blobs = Vec::new();
            for Link { repository, digest } in links {
                if is_unneeded(state, &repository, &digest, cutoff) {
                    blobs.extend(state.take(&repository, &digest));
                }
            }
            Ok::<_, StoreError>(blobs)
        })
    }

    fn unlinked_blobs(
        &self,
        cutoff: SystemTime,
        after: Cursor,
        limit: u32,
    ) -> Answer<'_, Batch<UnlinkedBlob>> {
        self.read(|state| {
            let found = state
                .blobs
                .iter()
                .filter(|(digest, blob)| blob.used_at <= cutoff && !is_linked(state, digest));
            let found = found.map(|(digest, blob)| {
                let unlinked = UnlinkedBlob {
                    digest: digest.clone(),
                    size: blob.size,
                };
                (Cursor([blob.id, 0]), unlinked)
            });
            Ok(batch(found.collect(), after, limit))
        })
    }

    fn remove_blob(&self, digest: &Digest, cutoff: SystemTime) -> Answer<'_, bool> {
        self.write(|state| {
            let blob = state.blobs.get(digest);
            let garbage =
                blob.is_some_and(|blob| blob.used_at <= cutoff) && !is_linked(state, digest);
            if garbage {
                state.blobs.remove(digest);
            }
            Ok::<_, StoreError>(garbage)
        })
    }

    fn count_garbage(&self, cutoff: SystemTime) -> Answer<'_, Garbage> {
        self.read(|state| {
            let unneeded =
                |name: &RepositoryName, digest: &Digest| is_unneeded(state, name, digest, cutoff);
            let mut garbage = Garbage {
                links: links(state)
                    .filter(|(name, digest)| unneeded(name, digest))
                    .count() as u64,
                ..Garbage::default()
            };
            for (digest, blob) in &state.blobs {
                let stays =
                    links(state).any(|(name, linked)| linked == digest && !unneeded(name, linked));
                if blob.used_at <= cutoff && !stays {
                    garbage.blobs += 1;
                    garbage.bytes += blob.size;
                }
            }
            Ok(garbage)
        })
    }

    fn remove_empty_repositories(&self, cutoff: SystemTime) -> Answer<'_, u64> {
        self.write(|state| {
            let before = state.repositories.len();
            state.repositories.retain(|_, repository| {
                let empty = repository.manifests.is_empty() && repository.blobs.is_empty();
                !empty || repository.created_at > cutoff
            });
            Ok::<_, StoreError>((before - state.repositories.len()) as u64)
        })
    }

    fn files_named(&self, algorithm: Algorithm, first: u8) -> Answer<'_, HashSet<Digest>> {
        self.read(|state| {
            let start = format!("{first:02x}");
            let named = state.blobs.keys().chain(named_by_pushed(state));
            let named = named
                .filter(|digest| digest.algorithm() == algorithm)
                .filter(|digest| digest.hex().starts_with(&start))
                .filter(|digest| is_file_named(state, digest));
            Ok(named.cloned().collect())
        })
    }

    fn is_file_named(&self, digest: &Digest) -> Answer<'_, bool> {
        self.read(|state| Ok(is_file_named(state, digest)))
    }

    fn give_back_space(&self) -> Answer<'_, bool> {
        self.read(|_| Ok(false))
    }
}
