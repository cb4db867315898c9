//! A collection's source index: the current images of its entries, as one index in which every
//! entry states its requirements. Events then run on it as on any index.
//!
//! The index is a function of the entries and of their current images; it is rebuilt when one of
//! those changes, and periodically to notice new referrers of an image.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use metahub_catalog::{Catalog, Collection, Entry};
use metahub_hardware::Statements;
use metahub_oci::{Digest, Document, RepositoryName, Tag};
use metahub_resolve::{Pointed, collection_candidates, says_everything};
use metahub_store::{Origin, StoredManifest};
use parking_lot::Mutex;

use crate::Registry;
use crate::access::location::Location;
use crate::cache::coalesced::Coalesced;
use crate::cache::single_flight::{Limits, SingleFlight};
use crate::error::RegistryError;
use crate::pull::explanation::SourceKind;
use crate::pull::judgement::Own;
use crate::pull::source::{Children, Source};
use crate::pull::standing::{CatalogIdentity, Lookups, Standing, bytes_of};

/// Entries looked up at once. Most are in memory; the others wait for an upstream.
const LOOKUPS: usize = 8;

/// How long a built index is cached while its images are unchanged: a compatibility artifact may be
/// pushed later than its image.
const LIFETIME: Duration = Duration::from_secs(600);

/// A collection's index, and the location of each of its children.
#[derive(Clone)]
pub(crate) struct Built {
    stored: Arc<StoredManifest>,
    locations: Arc<HashMap<Digest, Location>>,
    /// Whether all statements of the images could be read.
    complete: bool,
    /// Why an image could not be read, if that may pass.
    failure: Option<Arc<RegistryError>>,
}

impl Built {
    fn size(&self) -> u64 {
        self.stored.bytes.len() as u64 + self.locations.len() as u64 * 512
    }
}

/// Recently built indexes of collections.
pub(crate) type Collections = Coalesced<Digest, Built>;

pub(crate) fn collections_lately() -> Collections {
    let cache = moka::future::Cache::builder()
        .max_capacity(1000)
        .time_to_live(LIFETIME)
        .build();
    Coalesced::new(cache, Built::size)
}

/// The result of looking up one entry's image.
type Lookup = Result<Source, Arc<RegistryError>>;

/// Recent look-ups of collections.
pub(crate) type CollectionsFound = Lookups<CollectionKey, Source>;

/// Collections whose entries are being looked up: the documents by their address, name, tag, and
/// whether an account asks. The result is shared while it is valid.
pub(crate) type CollectionLookups =
    SingleFlight<(usize, RepositoryName, Tag, bool), Option<(Source, Standing)>>;

pub(crate) fn collection_lookups() -> CollectionLookups {
    SingleFlight::new(Limits::default(), |found: &Option<(Source, Standing)>| {
        found
            .as_ref()
            .map_or(0, |(source, _)| bytes_of(source) as u64)
    })
}

/// A requested collection.
pub(crate) struct CollectionKey {
    catalog: CatalogIdentity,
    name: RepositoryName,
    tag: Tag,
    /// Whether an account asked: each notes uses of cached content as its own.
    account: bool,
}

impl CollectionKey {
    fn is(&self, catalog: &Arc<Catalog>, asked: (&RepositoryName, &Tag, bool)) -> bool {
        self.catalog.is(catalog) && (&self.name, &self.tag, self.account) == asked
    }
}

impl Registry {
    /// The source of a collection: the index of everything that its entries lead to.
    ///
    /// An entry that cannot be read now is left out with a warning, so that one failing upstream
    /// does not affect the images of others; if none can be read, the first error is the answer.
    pub(crate) async fn collection_source(
        &self,
        catalog: &Arc<Catalog>,
        collection: &Collection,
    ) -> Result<Source, RegistryError> {
        let found = &self.inner.collections_found;
        let (name, tag) = (&collection.name, &collection.tag);
        let account = self.client == 0;
        let asked = (name, tag, account);
        let hash = found.hash(&asked);
        if let Some(source) = found.get(self, hash, |key| key.is(catalog, asked)) {
            return Ok(source);
        }
        let mut own = None;
        let work = async {
            // It may have been found since the caller looked.
            if let Some(source) = found.get(self, hash, |key| key.is(catalog, asked)) {
                own = Some(Ok(source));
                return None;
            }
            let found = self.find_collection(catalog, collection, hash).await;
            let shared = found.as_ref().ok().and_then(|(source, standing)| {
                let standing = standing.as_ref()?;
                Some((source.clone(), standing.clone()))
            });
            own = Some(found.map(|(source, _)| source));
            shared
        };
        let key = (
            Arc::as_ptr(catalog) as usize,
            name.clone(),
            tag.clone(),
            account,
        );
        // Boxed: looking its entries up is rare, and its state would make every pull's larger.
        let landed = Box::pin(self.inner.collection_lookups.run(key, work)).await?;
        if let Some(own) = own {
            return own;
        }
        match landed.value {
            // Another began to look before this caller asked: something may have changed since.
            Some((source, standing)) if self.holds(&standing) => Ok(source),
            _ => Ok(Box::pin(self.find_collection(catalog, collection, hash))
                .await?
                .0),
        }
    }

    /// Looks up a collection's entries, and caches the result.
    async fn find_collection(
        &self,
        catalog: &Arc<Catalog>,
        collection: &Collection,
        hash: u64,
    ) -> Result<(Source, Option<Standing>), RegistryError> {
        let (source, standing) = self.look_up_entries(collection).await?;
        if let Some(standing) = &standing {
            let asked = CollectionKey {
                catalog: CatalogIdentity::of(catalog),
                name: collection.name.clone(),
                tag: collection.tag.clone(),
                account: self.client == 0,
            };
            let bytes = bytes_of(&source);
            let found = &self.inner.collections_found;
            found.keep(hash, asked, source.clone(), standing.clone(), bytes);
        }
        Ok((source, standing))
    }

    /// How long the look-up of a collection stays valid; `None` if its entries must be looked up
    /// again.
    pub(crate) fn collection_standing(
        &self,
        catalog: &Arc<Catalog>,
        collection: &Collection,
    ) -> Option<(Source, Standing)> {
        let found = &self.inner.collections_found;
        let asked = (&collection.name, &collection.tag, self.client == 0);
        found.standing(self, found.hash(&asked), |key| key.is(catalog, asked))
    }

    async fn look_up_entries(
        &self,
        collection: &Collection,
    ) -> Result<(Source, Option<Standing>), RegistryError> {
        let mut lookups = Vec::with_capacity(collection.entries.len());
        for entry in &collection.entries {
            lookups.push(self.look_up(entry));
        }
        let looked_up: Vec<_> = stream::iter(lookups).buffered(LOOKUPS).collect().await;
        let mut standing = Some(Standing::default());
        let mut lookups: Vec<Lookup> = Vec::with_capacity(looked_up.len());
        for (lookup, stands) in looked_up {
            standing = standing.zip(stands).map(|(a, b)| a.and(b));
            lookups.push(lookup);
        }
        let found = lookups.iter().any(Result::is_ok);
        if let Some(Err(error)) = lookups.first().filter(|_| !found) {
            return Err(RegistryError::Shared(Arc::clone(error)));
        }
        let warnings: Vec<String> = collection
            .entries
            .iter()
            .zip(&lookups)
            .filter_map(|(entry, lookup)| match lookup {
                Ok(source) => source.warning.clone(),
                Err(error) => Some(format!("{} could not be read: {error}", entry.image)),
            })
            .collect();
        let failure = lookups
            .iter()
            .filter_map(|lookup| lookup.as_ref().err())
            .find(|error| error.is_upstreams())
            .cloned();
        let key = key(collection, &lookups);
        let built = self
            .inner
            .collections
            .get_or_share(key.clone(), self.build(collection, lookups))
            .await?;
        if !built.complete {
            // The next pull requests again what could not be read.
            self.inner.collections.cache().invalidate(&key).await;
            standing = None;
        }
        let source = Source {
            kind: SourceKind::Collection,
            stored: built.stored,
            children: Children::Each(built.locations),
            warning: (!warnings.is_empty()).then(|| warnings.join("; ")),
            redirected: None,
            failure: failure.or(built.failure),
        };
        Ok((source, standing))
    }

    async fn look_up(&self, entry: &Entry) -> (Lookup, Option<Standing>) {
        match self.standing_source(&entry.image).await {
            Ok((Some(source), standing)) => (Ok(source), standing),
            Ok((None, _)) => {
                let unknown = RegistryError::unknown(&repository(entry), entry.image.reference());
                (Err(Arc::new(unknown)), None)
            }
            Err(error) => {
                tracing::warn!(image = %entry.image, %error, "an entry could not be read");
                (Err(Arc::new(error)), None)
            }
        }
    }

    async fn build(
        &self,
        collection: &Collection,
        lookups: Vec<Lookup>,
    ) -> Result<Built, RegistryError> {
        let complete = AtomicBool::new(true);
        let failure = Mutex::new(None);
        let mut readings = Vec::with_capacity(lookups.len());
        for (entry, lookup) in collection.entries.iter().zip(lookups) {
            readings.push(self.pointed(entry, lookup, &complete, &failure));
        }
        let pointed: Vec<(Pointed, Option<Location>)> =
            stream::iter(readings).buffered(LOOKUPS).collect().await;
        let mut locations = HashMap::new();
        for (pointed, location) in &pointed {
            let Some(location) = location else { continue };
            let descriptors = match pointed {
                Pointed::Image(descriptor, _) => std::slice::from_ref(descriptor),
                Pointed::Index(entries) => entries.as_slice(),
                Pointed::Missing(_) => &[],
            };
            for descriptor in descriptors {
                locations.insert(descriptor.digest().clone(), location.clone());
            }
        }
        let pointed: Vec<Pointed> = pointed.into_iter().map(|(pointed, _)| pointed).collect();
        let unknown = self.settings().policy.unknown;
        let candidates = collection_candidates(collection, &pointed, unknown);
        for left_out in &candidates.left_out {
            tracing::warn!(
                collection = %collection.name, image = left_out.image, reason = left_out.reason,
                "an entry gives no image"
            );
        }
        let document = Document::from(candidates.index);
        let stored = StoredManifest {
            digest: document.digest().clone(),
            media_type: document.media_type().clone(),
            bytes: document.bytes().clone(),
            origin: Origin::Derived,
            sources: Vec::new(),
        };
        Ok(Built {
            stored: Arc::new(stored),
            locations: Arc::new(locations),
            complete: complete.into_inner(),
            failure: failure.into_inner(),
        })
    }

    /// The image of an entry, and the location of its manifests. The image is read only for what
    /// the entry does not state. An image that cannot be read now counts as missing, and is
    /// requested again.
    async fn pointed(
        &self,
        entry: &Entry,
        lookup: Lookup,
        complete: &AtomicBool,
        failure: &Mutex<Option<Arc<RegistryError>>>,
    ) -> (Pointed, Option<Location>) {
        let found = match lookup {
            Ok(source) => self.pointed_at(entry, &source).await,
            Err(error) => Ok((Pointed::Missing(error.to_string()), None, false)),
        };
        let (pointed, location, gap) = found.unwrap_or_else(|error| {
            tracing::warn!(image = %entry.image, %error, "an entry could not be read");
            let missing = Pointed::Missing(error.to_string());
            failure.lock().get_or_insert(Arc::new(error));
            (missing, None, true)
        });
        if gap {
            complete.store(false, Ordering::Relaxed);
        }
        (pointed, location)
    }

    /// The same, and whether a part of it is missing that may appear.
    async fn pointed_at(
        &self,
        entry: &Entry,
        source: &Source,
    ) -> Result<(Pointed, Option<Location>, bool), RegistryError> {
        let Children::At(location) = &source.children else {
            let missing = Pointed::Missing("it is a collection itself".to_owned());
            return Ok((missing, None, false));
        };
        let mut gap = false;
        let pointed = match source.document()? {
            Document::Index(index) => {
                let (entries, gaps) = self.flattened(location, &index).await?;
                gap = gaps;
                Pointed::Index(entries)
            }
            Document::Manifest(manifest) if manifest.is_image() && says_everything(entry) => {
                let descriptor = Document::from(manifest).descriptor();
                Pointed::Image(descriptor, Statements::default())
            }
            Document::Manifest(manifest) => {
                let descriptor = Document::from(manifest).descriptor();
                match self.own_words(location, descriptor.digest()).await? {
                    Own::Image(said) => {
                        let descriptor = descriptor.with_platform(&said.platform);
                        Pointed::Image(descriptor, said.statements.clone())
                    }
                    Own::NoImage => Pointed::Missing("it is no runnable image".to_owned()),
                    Own::Absent(reason) => {
                        gap = true;
                        Pointed::Missing(reason)
                    }
                }
            }
        };
        Ok((pointed, Some(location.clone()), gap))
    }
}

/// The repository that an entry names, for messages.
fn repository(entry: &Entry) -> RepositoryName {
    entry.image.name().clone()
}

/// A digest over everything that the built index depends on.
fn key(collection: &Collection, lookups: &[Lookup]) -> Digest {
    let digests: Vec<Option<&str>> = lookups
        .iter()
        .map(|lookup| {
            lookup
                .as_ref()
                .ok()
                .map(|source| source.stored.digest.as_str())
        })
        .collect();
    let entries: Vec<_> = collection
        .entries
        .iter()
        .map(|entry| {
            let requires: Vec<String> = entry.requires.iter().map(ToString::to_string).collect();
            let open = !entry.requires_nothing;
            serde_json::json!([entry.image, entry.platform, requires, open, entry.weight])
        })
        .collect();
    let inputs = serde_json::json!([
        collection.name,
        collection.tag,
        collection.annotations,
        entries,
        digests
    ]);
    Digest::sha256(inputs.to_string().as_bytes())
}
