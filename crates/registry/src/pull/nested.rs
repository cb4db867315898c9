//! Nested indexes: followed, within bounds, and replaced by their entries. Clients that take the
//! first match do not follow them.

use std::collections::HashSet;

use metahub_oci::{Descriptor, Digest, Document, Index};
use metahub_resolve::{below, excluded, unmarked};

use crate::Registry;
use crate::access::location::Location;
use crate::error::{RegistryError, unreadable};
use crate::pull::source::parse;

/// Bounds: levels of nested indexes, indexes read, and their entries and bytes in all.
const MAX_DEPTH: usize = 4;
const MAX_NESTED: usize = 32;
const MAX_ENTRIES: usize = 20_000;
const MAX_NESTED_BYTES: usize = 16 * 1024 * 1024;

impl Registry {
    /// The entries of an index at `place`, with nested indexes replaced by their entries, and
    /// whether one was missing.
    pub(crate) async fn flattened(
        &self,
        location: &Location,
        index: &Index,
    ) -> Result<(Vec<Descriptor>, bool), RegistryError> {
        let mut nested = Nested::default();
        // In reverse, so that an index's entries take its place.
        let mut waiting: Vec<(Descriptor, usize)> = index
            .manifests()
            .iter()
            .rev()
            .map(|entry| (unmarked(entry), 0))
            .collect();
        let mut all = Vec::with_capacity(waiting.len());
        while let Some((entry, depth)) = waiting.pop() {
            if !entry.media_type().is_index() || entry.is_attestation() {
                all.push(entry);
                continue;
            }
            match nested.read(self, location, &entry, depth).await? {
                Ok(within) => {
                    let within = within.manifests().iter().rev();
                    waiting.extend(within.map(|inner| (below(&entry, inner), depth + 1)));
                }
                Err(reason) => all.push(excluded(&entry, &reason)),
            }
        }
        Ok((all, nested.gaps))
    }
}

/// The nested indexes that were followed.
#[derive(Default)]
struct Nested {
    seen: HashSet<Digest>,
    entries: usize,
    bytes: usize,
    gaps: bool,
}

impl Nested {
    /// The index that an entry leads to, or why it is not followed.
    async fn read(
        &mut self,
        registry: &Registry,
        location: &Location,
        entry: &Descriptor,
        depth: usize,
    ) -> Result<Result<Index, String>, RegistryError> {
        if depth >= MAX_DEPTH || self.seen.len() >= MAX_NESTED {
            return Ok(Err(format!(
                "an index within the index, of which {MAX_NESTED} on {MAX_DEPTH} levels are read"
            )));
        }
        if !self.seen.insert(entry.digest().clone()) {
            return Ok(Err(
                "an index within the index that is listed twice".to_owned()
            ));
        }
        let stored = match registry.manifest_at(location, entry.digest()).await {
            Ok(Some(stored)) => stored,
            Ok(None) => {
                self.gaps = true;
                return Ok(Err("an index within the index that is not there".to_owned()));
            }
            Err(error) => return unreadable(error).map(Err),
        };
        self.bytes += stored.bytes.len();
        let index = match parse(&stored) {
            Ok(Document::Index(index)) => index,
            Ok(Document::Manifest(_)) => {
                return Ok(Err("is said to be an index, and is none".to_owned()));
            }
            Err(error) => return Ok(Err(error.to_string())),
        };
        self.entries += index.manifests().len();
        if self.bytes > MAX_NESTED_BYTES || self.entries > MAX_ENTRIES {
            return Ok(Err(format!(
                "an index within the index: more than {MAX_ENTRIES} entries or \
                 {MAX_NESTED_BYTES} bytes are not read"
            )));
        }
        Ok(Ok(index))
    }
}
