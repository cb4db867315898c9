//! From a tag to the content it names before any event runs: in a collection, in a repository
//! held here, or at an upstream, where it is kept and rechecked when its time has come.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use metahub_catalog::{Catalog, Collection};
use metahub_oci::{Digest, Document, DocumentError, Reference, RepositoryName, Tag};
use metahub_store::{Origin, PutManifest, StoredManifest, TagRecord};
use metahub_upstream::{Fetched, Freshness, Route};
use parking_lot::Mutex;

use crate::place::{Place, Search, is_offline, there};
use crate::push::put_error;
use crate::{Registry, RegistryError, SourceKind};

/// What a tag names, before any event.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) kind: SourceKind,
    pub(crate) stored: Arc<StoredManifest>,
    pub(crate) children: Children,
    pub(crate) warning: Option<String>,
}

/// Where the manifests that a source leads to are found.
#[derive(Clone)]
pub(crate) enum Children {
    /// All beside the source.
    At(Place),
    /// Each at a place of its own: a collection's.
    Each(Arc<HashMap<Digest, Place>>),
}

impl Source {
    /// The source's document.
    pub(crate) fn document(&self) -> Result<Document, DocumentError> {
        parse(&self.stored)
    }

    /// Where the child `digest` is found.
    pub(crate) fn place_of(&self, digest: &Digest) -> Option<&Place> {
        match &self.children {
            Children::At(place) => Some(place),
            Children::Each(places) => places.get(digest),
        }
    }
}

/// Parses what the store holds. Its digest was verified when it was read.
pub(crate) fn parse(stored: &StoredManifest) -> Result<Document, DocumentError> {
    Document::parse_as(
        stored.bytes.clone(),
        stored.digest.clone(),
        Some(&stored.media_type),
    )
}

/// One lock per upstream tag, so that many clients cause one recheck.
#[derive(Default)]
pub(crate) struct Rechecks(Mutex<HashMap<(RepositoryName, Tag), Recheck>>);

/// Held while a tag is asked for at its upstream.
type Recheck = Arc<tokio::sync::Mutex<()>>;

impl Rechecks {
    fn lock(&self, name: &RepositoryName, tag: &Tag) -> Recheck {
        let mut locks = self.0.lock();
        // Locks that nobody holds or waits for are dropped before the map grows large.
        if locks.len() > 1024 {
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        }
        Arc::clone(locks.entry((name.clone(), tag.clone())).or_default())
    }
}

impl Registry {
    /// What `tag` of `name` is before any event: a collection's index, else what the first place
    /// that has the tag holds.
    pub(crate) async fn source(
        &self,
        name: &RepositoryName,
        tag: &Tag,
    ) -> Result<Source, RegistryError> {
        let catalog = self.catalog();
        if let Some(collection) = collection(&catalog, name, tag) {
            return self.collection_source(collection).await;
        }
        // What was pushed here is answered without working out where else to look.
        let local = Place::Local(name.clone());
        if let Some(source) = self.tag_at(&local, tag).await? {
            return Ok(source);
        }
        let mut search = Search::default();
        if !self.ends_at(&local).await? {
            for place in self.elsewhere(name)? {
                if let Some(source) = search.answered(self.tag_at(&place, tag).await)? {
                    return Ok(source);
                }
            }
        }
        search.end()?;
        Err(RegistryError::unknown(name, tag.clone()))
    }

    /// What `tag` names at one place.
    pub(crate) async fn tag_at(
        &self,
        place: &Place,
        tag: &Tag,
    ) -> Result<Option<Source>, RegistryError> {
        match place {
            Place::Local(name) => {
                let Some(record) = self.store().tag(name, tag).await? else {
                    return Ok(None);
                };
                // A repository may carry an upstream's name; its tags are that upstream's affair.
                if record.origin == Origin::Upstream {
                    return Ok(None);
                }
                let Some(stored) = self.store().manifest(name, &record.digest).await? else {
                    return Ok(None);
                };
                Ok(Some(source_at(place, SourceKind::Local, stored, None)))
            }
            Place::Upstream { route, kept } => {
                let lifetime = self.settings().tag_lifetime;
                if let Some(stored) = self.fresh(kept, tag, lifetime).await? {
                    self.counters().tags_kept.one_more();
                    self.used(kept, &stored.digest);
                    return Ok(Some(source_at(place, SourceKind::Upstream, stored, None)));
                }
                let lock = self.inner.rechecks.lock(kept, tag);
                let _one_at_a_time = lock.lock().await;
                if let Some(stored) = self.fresh(kept, tag, lifetime).await? {
                    self.counters().tags_kept.one_more();
                    self.used(kept, &stored.digest);
                    return Ok(Some(source_at(place, SourceKind::Upstream, stored, None)));
                }
                self.counters().tags_asked.one_more();
                let found = self.recheck(route, kept, tag).await?;
                Ok(found.map(|(stored, warning)| {
                    self.used(kept, &stored.digest);
                    source_at(place, SourceKind::Upstream, stored, warning)
                }))
            }
        }
    }

    /// What a digest names at one place.
    pub(crate) async fn digest_at(
        &self,
        place: &Place,
        digest: &Digest,
    ) -> Result<Option<Source>, RegistryError> {
        let kind = match place {
            Place::Local(_) => SourceKind::Local,
            Place::Upstream { .. } => SourceKind::Upstream,
        };
        let stored = self.manifest_at(place, digest).await?;
        Ok(stored.map(|stored| source_at(place, kind, stored, None)))
    }

    /// The kept content of an upstream's tag, if it was checked within `lifetime`.
    async fn fresh(
        &self,
        kept: &RepositoryName,
        tag: &Tag,
        lifetime: std::time::Duration,
    ) -> Result<Option<Arc<StoredManifest>>, RegistryError> {
        let Some(record) = self.store().tag(kept, tag).await? else {
            return Ok(None);
        };
        let age = SystemTime::now()
            .duration_since(record.checked_at)
            .unwrap_or_default();
        if record.origin == Origin::Upstream && age >= lifetime {
            return Ok(None);
        }
        Ok(self.store().manifest(kept, &record.digest).await?)
    }

    /// Asks the upstream what the tag names now. An unchanged tag costs one `HEAD`; an upstream
    /// that cannot be asked is answered for by the kept copy, with a warning.
    async fn recheck(
        &self,
        route: &Route,
        kept: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<(Arc<StoredManifest>, Option<String>)>, RegistryError> {
        let known = self.store().tag(kept, tag).await?;
        match self.ask(route, kept, tag, known.as_deref()).await {
            Ok(Some(stored)) => Ok(Some((stored, None))),
            Ok(None) => Ok(None),
            Err(RegistryError::Upstream(error)) => {
                let Some(known) = known else {
                    if is_offline(&error) {
                        return Ok(None);
                    }
                    return Err(error.into());
                };
                let stored = self.store().manifest(kept, &known.digest).await?;
                let Some(stored) = stored else {
                    return Err(error.into());
                };
                if is_offline(&error) {
                    return Ok(Some((stored, None)));
                }
                self.counters().tags_stale.one_more();
                tracing::warn!(repository = %kept, %tag, %error, "served the kept copy");
                Ok(Some((
                    stored,
                    Some(format!("the kept copy is served: {error}")),
                )))
            }
            Err(error) => Err(error),
        }
    }

    async fn ask(
        &self,
        route: &Route,
        kept: &RepositoryName,
        tag: &Tag,
        known: Option<&TagRecord>,
    ) -> Result<Option<Arc<StoredManifest>>, RegistryError> {
        let stored = match known {
            Some(known) => self.store().manifest(kept, &known.digest).await?,
            None => None,
        };
        if let (Some(known), Some(stored)) = (known, stored) {
            let etag = known.etag.as_deref();
            match route
                .upstream
                .revalidate(&route.name, tag, &known.digest, etag)
                .await?
            {
                Freshness::Unchanged { etag } => {
                    self.store()
                        .touch_tag(kept, tag, &known.digest, SystemTime::now(), etag)
                        .await?;
                    return Ok(Some(stored));
                }
                Freshness::Gone => return Ok(None),
                Freshness::Changed { .. } => {}
            }
        }
        let reference = Reference::Tag(tag.clone());
        let Some(fetched) = route.upstream.manifest(&route.name, &reference).await? else {
            return Ok(None);
        };
        self.keep(route, kept, &fetched, vec![tag.clone()])
            .await
            .map(Some)
    }

    /// Keeps an upstream's manifest under its own repository.
    pub(crate) async fn keep(
        &self,
        route: &Route,
        kept: &RepositoryName,
        fetched: &Fetched,
        tags: Vec<Tag>,
    ) -> Result<Arc<StoredManifest>, RegistryError> {
        let document = &fetched.document;
        let source = route.image(document.digest().clone().into()).to_string();
        let put = PutManifest {
            etag: fetched.etag.clone(),
            ..PutManifest::upstream(tags, source)
        };
        self.put(kept, document, put).await
    }

    /// Stores a document and gives it back as it is stored.
    pub(crate) async fn put(
        &self,
        name: &RepositoryName,
        document: &Document,
        put: PutManifest,
    ) -> Result<Arc<StoredManifest>, RegistryError> {
        self.store()
            .put_manifest(name, document, put)
            .await
            .map_err(put_error)?;
        let stored = self.store().manifest(name, document.digest()).await?;
        stored.ok_or_else(|| RegistryError::unknown(name, document.digest().clone()))
    }

    /// A manifest by digest at one place, fetched and kept if an upstream has it.
    pub(crate) async fn manifest_at(
        &self,
        place: &Place,
        digest: &Digest,
    ) -> Result<Option<Arc<StoredManifest>>, RegistryError> {
        if let Some(stored) = self.store().manifest(place.kept(), digest).await? {
            if stored.origin != Origin::Pushed {
                self.used(place.kept(), digest);
            }
            return Ok(Some(stored));
        }
        let Place::Upstream { route, kept } = place else {
            return Ok(None);
        };
        let reference = Reference::Digest(digest.clone());
        match there(route.upstream.manifest(&route.name, &reference).await)? {
            Some(fetched) => self.keep(route, kept, &fetched, Vec::new()).await.map(Some),
            None => Ok(None),
        }
    }
}

/// The collection that clients find under `name` and `tag`.
pub(crate) fn collection<'c>(
    catalog: &'c Catalog,
    name: &RepositoryName,
    tag: &Tag,
) -> Option<&'c Collection> {
    let official = || {
        let name = name.as_str().strip_prefix("library/")?;
        catalog.collection(&name.parse().ok()?, tag)
    };
    catalog.collection(name, tag).or_else(official)
}

fn source_at(
    place: &Place,
    kind: SourceKind,
    stored: Arc<StoredManifest>,
    warning: Option<String>,
) -> Source {
    Source {
        kind,
        stored,
        children: Children::At(place.clone()),
        warning,
    }
}
