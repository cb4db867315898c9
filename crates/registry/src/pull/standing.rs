//! How long a look-up of an image that a document names stays valid: a profile with twenty layer
//! images, or a collection of a thousand entries, then costs a warm pull no more than a pushed
//! image.
//!
//! A look-up is valid while nothing changed in the repositories that were searched, and while no
//! tag of an upstream is due for revalidation. Documents are the same for everybody, and lead to no
//! pass-through upstream, so the result does not depend on the caller.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use metahub_catalog::Catalog;
use metahub_oci::{ImageReference, Reference, Tag};
use metahub_store::Generation;
use metahub_upstream::Lifetime;
use moka::sync::Cache;

use crate::Registry;
use crate::access::location::Location;
use crate::error::RegistryError;
use crate::pull::source::{Children, Source};

/// The longest time for which a look-up stays valid: cached content is in use while documents name
/// it, and its uses are noted on look-ups.
const LONGEST: Duration = Duration::from_secs(5);
/// Bytes of look-ups that are cached in memory.
const MEMORY: u64 = 16 * 1024 * 1024;
/// What one image, or one child of a collection, takes beside its manifest, in bytes, roughly.
const EACH: usize = 1024;

/// The documents under which a look-up was made: others may give another result. A weak reference.
pub(crate) struct CatalogIdentity(Weak<Catalog>);

impl CatalogIdentity {
    pub(crate) fn of(catalog: &Arc<Catalog>) -> Self {
        Self(Arc::downgrade(catalog))
    }

    /// Whether it is this one.
    pub(crate) fn is(&self, catalog: &Arc<Catalog>) -> bool {
        std::ptr::eq(self.0.as_ptr(), Arc::as_ptr(catalog))
    }
}

/// How long a result stays valid.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    generations: Vec<Generation>,
    until: Instant,
    /// How many upstream tags were looked up.
    upstream_tags: u64,
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            generations: Vec::new(),
            until: Instant::now() + LONGEST,
            upstream_tags: 0,
        }
    }
}

impl Standing {
    /// Valid while nothing changes in the repositories of these generations.
    pub(crate) fn of(generations: impl IntoIterator<Item = Generation>) -> Self {
        Self {
            generations: generations.into_iter().collect(),
            ..Self::default()
        }
    }

    /// The same, for at most `time`, with the number of upstream tags that were looked up.
    pub(crate) fn at_most(self, time: Duration, upstream_tags: u64) -> Self {
        self.and(Self {
            generations: Vec::new(),
            until: Instant::now() + time.min(LONGEST),
            upstream_tags,
        })
    }

    /// Valid while both are.
    pub(crate) fn and(mut self, other: Self) -> Self {
        for generation in other.generations {
            // Most images of a document are in few repositories.
            if !self
                .generations
                .iter()
                .rev()
                .take(4)
                .any(|known| *known == generation)
            {
                self.generations.push(generation);
            }
        }
        self.until = self.until.min(other.until);
        self.upstream_tags += other.upstream_tags;
        self
    }

    /// `is_current` says whether nothing changed since a generation.
    fn holds(&self, is_current: impl Fn(Generation) -> bool) -> bool {
        Instant::now() < self.until && self.generations.iter().copied().all(is_current)
    }
}

/// A cache of recent look-ups with their validity. Bounded in memory.
pub(crate) struct Lookups<K, V> {
    /// By the hash of the key, so that a look-up need not build a key.
    cache: Cache<u64, Arc<Entry<K, V>>>,
    hasher: RandomState,
}

struct Entry<K, V> {
    key: K,
    value: V,
    standing: Standing,
    bytes: usize,
}

impl<K, V> Default for Lookups<K, V>
where
    K: Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn default() -> Self {
        let weigh = |_: &u64, entry: &Arc<Entry<K, V>>| {
            let generations = entry.standing.generations.len() * size_of::<Generation>();
            u32::try_from(entry.bytes + generations).unwrap_or(u32::MAX)
        };
        Self {
            cache: Cache::builder()
                .weigher(weigh)
                .max_capacity(MEMORY)
                .time_to_live(LONGEST)
                .build(),
            hasher: RandomState::new(),
        }
    }
}

impl<K, V> Lookups<K, V>
where
    K: Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The result under `hash` whose key `is` the right one, if it is still valid.
    pub(crate) fn get(
        &self,
        registry: &Registry,
        hash: u64,
        is: impl FnOnce(&K) -> bool,
    ) -> Option<V> {
        let entry = self.standing_entry(registry, hash, is)?;
        let upstream_tags = entry.standing.upstream_tags;
        if upstream_tags > 0 {
            registry.counters().tags_kept.inc_by(upstream_tags);
        }
        Some(entry.value.clone())
    }

    /// The validity of a result, for something that depends on it. Does not count as a use.
    pub(crate) fn standing(
        &self,
        registry: &Registry,
        hash: u64,
        is: impl FnOnce(&K) -> bool,
    ) -> Option<(V, Standing)> {
        let entry = self.standing_entry(registry, hash, is)?;
        Some((entry.value.clone(), entry.standing.clone()))
    }

    fn standing_entry(
        &self,
        registry: &Registry,
        hash: u64,
        is: impl FnOnce(&K) -> bool,
    ) -> Option<Arc<Entry<K, V>>> {
        let entry = self.cache.get(&hash)?;
        let current = |generation| registry.is_current(generation);
        (is(&entry.key) && entry.standing.holds(current)).then_some(entry)
    }

    /// Caches a result, which takes `bytes` of memory.
    pub(crate) fn keep(&self, hash: u64, key: K, value: V, standing: Standing, bytes: usize) {
        let entry = Entry {
            key,
            value,
            standing,
            bytes,
        };
        self.cache.insert(hash, Arc::new(entry));
    }

    /// The hash of a key's parts.
    pub(crate) fn hash(&self, parts: &impl Hash) -> u64 {
        self.hasher.hash_one(parts)
    }
}

/// Bytes of memory that a found image takes.
pub(crate) fn bytes_of(source: &Source) -> usize {
    let places = match &source.children {
        Children::At(_) => 1,
        Children::Each(locations) => 1 + locations.len(),
    };
    EACH * places + source.stored.bytes.len()
}

impl Registry {
    /// Whether `standing` is still valid.
    pub(crate) fn holds(&self, standing: &Standing) -> bool {
        standing.holds(|generation| self.is_current(generation))
    }

    /// The source of an image that a document names, and how long it stays valid; `None` if the
    /// next request must look again.
    pub(crate) async fn standing_source(
        &self,
        image: &ImageReference,
    ) -> Result<(Option<Source>, Option<Standing>), RegistryError> {
        self.document_may_name(image.host(), image.name())?;
        self.counters().named_looked_up.inc();
        // Before anything is read.
        let mut generations = vec![self.generation(image.name())];
        let locations = self.locations_of_image(image).await?;
        for location in &locations {
            let generation = self.generation(location.storage());
            if !generations.contains(&generation) {
                generations.push(generation);
            }
        }
        let source = self.source_at_any(&locations, image).await?;
        let Some(found) = &source else {
            return Ok((None, None));
        };
        let stands = self.stands(&locations, image, found).await?;
        let standing = stands
            .map(|(time, upstream_tags)| Standing::of(generations).at_most(time, upstream_tags));
        Ok((source, standing))
    }

    /// How long a look-up need not be repeated, and how many upstream tags it took.
    async fn stands(
        &self,
        locations: &[Location],
        image: &ImageReference,
        found: &Source,
    ) -> Result<Option<(Duration, u64)>, RegistryError> {
        let Children::At(at) = &found.children else {
            return Ok(None);
        };
        // Warnings are repeated for each client.
        if found.warning.is_some() || found.failure.is_some() {
            return Ok(None);
        }
        // The image may appear at an upstream that is searched first.
        let passed = locations.iter().take_while(|location| !location.is(at));
        if passed
            .into_iter()
            .any(|location| matches!(location, Location::Upstream(_)))
        {
            return Ok(None);
        }
        match image.reference() {
            Reference::Tag(tag) => self.tag_stands(at, &tag).await,
            Reference::Digest(_) => Ok(Some((LONGEST, 0))),
        }
    }

    /// How long a tag that was found at a location need not be looked up again, and whether it is
    /// an upstream's; `None` if unknown.
    pub(crate) async fn tag_stands(
        &self,
        at: &Location,
        tag: &Tag,
    ) -> Result<Option<(Duration, u64)>, RegistryError> {
        let Location::Upstream(from) = at else {
            return Ok(Some((LONGEST, 0)));
        };
        let usual = Lifetime::For(self.settings().tag_lifetime);
        let lifetime = from.upstream().tag_lifetime(from.name(), tag);
        let Some(record) = from.stored().tag(tag).await? else {
            return Ok(None);
        };
        let age = SystemTime::now().duration_since(record.checked_at);
        let left = lifetime.unwrap_or(usual).left(age.unwrap_or_default());
        Ok(Some((left.unwrap_or(LONGEST), 1)))
    }
}

#[cfg(test)]
mod tests {
    use metahub_store::Store;

    use super::*;

    #[tokio::test]
    async fn what_was_found_ends_with_a_change_where_it_was_looked_for() {
        let store = Store::temporary().await.unwrap();
        let of = |name: &str| Standing {
            generations: vec![store.generation(&name.parse().unwrap())],
            ..Standing::default()
        };
        let both = of("team/a").and(of("team/b"));
        assert!(both.holds(|one| store.is_current(one)));
        let index = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
        let digest = metahub_oci::Digest::sha256(index.as_bytes());
        let document = metahub_oci::Document::parse_as(index.into(), digest, None).unwrap();
        let put = metahub_store::PutManifest::pushed(vec!["1".parse().unwrap()]);
        let name = "team/b".parse().unwrap();
        store.put_manifest(&name, &document, put).await.unwrap();
        assert!(!both.holds(|one| store.is_current(one)));
        assert!(of("team/b").holds(|one| store.is_current(one)));
    }

    #[test]
    fn nothing_stands_longer_than_a_part_of_it() {
        let over = Standing {
            until: Instant::now(),
            ..Standing::default()
        };
        assert!(!Standing::default().and(over).holds(|_| true));
    }
}
