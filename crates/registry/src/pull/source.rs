//! The source of a tag, before any event runs: in a collection, in a local repository, or at an
//! upstream, where [`revalidate`](crate::cache::revalidate) asks again when its lifetime is over.

use std::collections::HashMap;
use std::sync::Arc;

use metahub_catalog::{Catalog, Collection};
use metahub_oci::{
    Digest, Document, DocumentError, ImageReference, Reference, RepositoryName, Tag,
};
use metahub_store::{Origin, StoredManifest};
use metahub_upstream::Fetched;

use crate::Registry;
use crate::access::location::{LocalContent, Location, Search, UpstreamRepository};
use crate::access::repository::Authorised;
use crate::access::stored::{FetchedManifest, StoredRepository};
use crate::error::RegistryError;
use crate::pull::explanation::SourceKind;

/// What a tag names, before any event.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) kind: SourceKind,
    pub(crate) stored: Arc<StoredManifest>,
    pub(crate) children: Children,
    pub(crate) warning: Option<String>,
    /// The repository that a profile redirected to, as clients call it: nothing of the source is
    /// found under the name that was asked for.
    pub(crate) redirected: Option<RepositoryName>,
    /// Why an entry of a collection could not be read, if that may pass: where nothing else fits,
    /// it is not known that nothing does.
    pub(crate) failure: Option<Arc<RegistryError>>,
}

/// Where the manifests that a source leads to are found.
#[derive(Clone)]
pub(crate) enum Children {
    /// All beside the source.
    At(Location),
    /// Each at a place of its own: a collection's.
    Each(Arc<HashMap<Digest, Location>>),
}

impl Source {
    /// The source's document.
    pub(crate) fn document(&self) -> Result<Document, DocumentError> {
        parse(&self.stored)
    }

    /// Adds something that the client should know.
    pub(crate) fn warn(&mut self, more: Option<String>) {
        let Some(more) = more else { return };
        self.warning = Some(match self.warning.take() {
            Some(before) => format!("{before}; {more}"),
            None => more,
        });
    }

    /// Where the child `digest` is found.
    pub(crate) fn location_of(&self, digest: &Digest) -> Option<&Location> {
        match &self.children {
            Children::At(location) => Some(location),
            Children::Each(locations) => locations.get(digest),
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

impl Authorised<'_> {
    /// What `tag` is before any event: a collection's index, else what the first location that
    /// has the tag holds.
    pub(crate) async fn source(&self, tag: &Tag) -> Result<Source, RegistryError> {
        let (registry, name) = (self.registry(), self.name());
        let catalog = registry.catalog();
        if let Some(collection) = registry.collection_called(&catalog, name, tag) {
            return registry.collection_source(&catalog, collection).await;
        }
        // What was pushed here is answered without working out where else to look.
        let local = self.local();
        let first = registry.settings().local == LocalContent::First;
        let (before, after) = if first { (local, None) } else { (None, local) };
        if let Some(local) = &before
            && let Some(source) = registry.tag_at(local, tag).await?
        {
            return Ok(source);
        }
        let mut search = Search::default();
        if before.is_none() || !registry.is_wholly_local(name).await? {
            for location in self.upstream_locations()? {
                let found = search.answered(registry.tag_at(&location, tag).await)?;
                if let Some(mut source) = found {
                    source.warn(search.passed_over());
                    source.warn(registry.shadowing(name, &location).await?);
                    return Ok(source);
                }
            }
        }
        if let Some(local) = &after
            && let Some(mut source) = registry.tag_at(local, tag).await?
        {
            source.warn(search.passed_over());
            return Ok(source);
        }
        let hint = registry.tags_there_are(&catalog, name);
        search.end().map_err(|error| {
            if hint.is_empty() || !error.is_upstreams() {
                return error;
            }
            let (error, hint) = (Arc::new(error), hint.clone());
            RegistryError::Hinted { error, hint }
        })?;
        Err(RegistryError::ManifestUnknown {
            name: name.clone(),
            reference: tag.clone().into(),
            hint,
        })
    }
}

impl Registry {
    /// What an image that a collection or profile names is, before any event.
    pub(crate) async fn document_source(
        &self,
        image: &ImageReference,
    ) -> Result<Option<Source>, RegistryError> {
        self.document_may_name(image.host(), image.name())?;
        self.image_source(image).await
    }

    /// What an image is that somebody names, before any event.
    pub(crate) async fn image_source(
        &self,
        image: &ImageReference,
    ) -> Result<Option<Source>, RegistryError> {
        let locations = self.locations_of_image(image).await?;
        self.source_at_any(&locations, image).await
    }

    /// What an image is at the first of its locations that has it.
    pub(crate) async fn source_at_any(
        &self,
        locations: &[Location],
        image: &ImageReference,
    ) -> Result<Option<Source>, RegistryError> {
        let mut search = Search::default();
        for location in locations {
            let answer = match image.reference() {
                Reference::Tag(tag) => self.tag_at(location, &tag).await,
                Reference::Digest(digest) => self.digest_at(location, &digest).await,
            };
            let mut found = search.answered(answer)?;
            if let Some(source) = &mut found {
                source.warn(search.passed_over());
            }
            if found.is_some() {
                return Ok(found);
            }
        }
        search.end().map(|()| None)
    }

    /// The collection that clients mean by `name` and `tag`: of that name, of the same without
    /// `library/`, or of the name without its host if that is where bare names lead anyway, so
    /// that a node which pulls `docker.io/site/app` through a mirror gets the site's collection.
    pub(crate) fn collection_called<'a>(
        &self,
        catalog: &'a Catalog,
        name: &RepositoryName,
        tag: &Tag,
    ) -> Option<&'a Collection> {
        self.in_collections(name, |name| catalog.collection(name, tag))
    }

    /// What is found under the first of the names by which collections are found that clients call
    /// `name`: see [`collection_called`](Self::collection_called).
    fn in_collections<T>(
        &self,
        name: &RepositoryName,
        find: impl Fn(&RepositoryName) -> Option<T>,
    ) -> Option<T> {
        let of = |name: &RepositoryName| {
            let official = || find(&name.as_str().strip_prefix("library/")?.parse().ok()?);
            find(name).or_else(official)
        };
        of(name).or_else(|| match self.upstreams().split(name) {
            (Some(host), rest) if self.upstreams().is_default(&host) => of(&rest),
            _ => None,
        })
    }

    /// What to say of a tag that is none of a collection's; nothing for a name of no collection.
    fn tags_there_are(&self, catalog: &Catalog, name: &RepositoryName) -> String {
        let told = self.in_collections(name, |name| {
            let tags = catalog.collection_tags(name);
            (!tags.is_empty()).then(|| tags_in_words(&tags))
        });
        told.unwrap_or_default()
    }

    /// What `tag` names at one place.
    pub(crate) async fn tag_at(
        &self,
        location: &Location,
        tag: &Tag,
    ) -> Result<Option<Source>, RegistryError> {
        match location {
            Location::Local(local) => {
                let Some(record) = local.tag(tag).await? else {
                    return Ok(None);
                };
                // A repository may carry an upstream's name; its tags are that upstream's affair.
                if record.origin == Origin::Upstream {
                    return Ok(None);
                }
                let Some(stored) = local.manifest(&record.digest).await? else {
                    return Ok(None);
                };
                Ok(Some(source_at(location, SourceKind::Local, stored, None)))
            }
            Location::Upstream(from) => {
                // Boxed: asking is rare, and its state would make every pull's larger.
                let found = Box::pin(self.upstream_tag(from, tag)).await?;
                Ok(found.map(|(stored, warning)| {
                    self.used(from.storage(), &stored.digest);
                    source_at(location, SourceKind::Upstream, stored, warning)
                }))
            }
        }
    }

    /// What a digest names at one place.
    pub(crate) async fn digest_at(
        &self,
        location: &Location,
        digest: &Digest,
    ) -> Result<Option<Source>, RegistryError> {
        let kind = match location {
            Location::Local(_) => SourceKind::Local,
            Location::Upstream(_) => SourceKind::Upstream,
        };
        let stored = self.manifest_at(location, digest).await?;
        Ok(stored.map(|stored| source_at(location, kind, stored, None)))
    }

    /// Caches an upstream's manifest under its own repository.
    pub(crate) async fn cache_manifest(
        &self,
        from: &UpstreamRepository,
        fetched: &Fetched,
        tags: Vec<Tag>,
    ) -> Result<Arc<StoredManifest>, RegistryError> {
        let document = &fetched.document;
        let source = from.route().image(document.digest().clone().into());
        let details = FetchedManifest {
            tags,
            etag: fetched.etag.clone(),
            brought_by: self.client,
        };
        from.stored()
            .put_fetched(document, source.to_string(), details)
            .await?;
        let stored = as_stored(from.stored(), document).await?;
        self.counters().manifests_fetched.inc();
        Ok(stored)
    }

    /// A manifest by digest at one location, fetched and cached if its upstream has it.
    pub(crate) async fn manifest_at(
        &self,
        location: &Location,
        digest: &Digest,
    ) -> Result<Option<Arc<StoredManifest>>, RegistryError> {
        if let Some(stored) = location.stored().manifest(digest).await? {
            if stored.origin != Origin::Pushed {
                self.used(location.storage(), digest);
            }
            return Ok(Some(stored));
        }
        let Location::Upstream(from) = location else {
            return Ok(None);
        };
        Box::pin(self.upstream_digest(from, digest)).await
    }
}

/// Tags of a collection that are told to who asks for another.
const TOLD: usize = 20;

fn tags_in_words(tags: &[&Tag]) -> String {
    let told: Vec<&str> = tags.iter().take(TOLD).map(|tag| tag.as_str()).collect();
    let more = match tags.len().saturating_sub(TOLD) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "; the collection of that name has the tags {}{more}",
        told.join(", ")
    )
}

/// A document that was stored a moment ago, as it is stored.
pub(crate) async fn as_stored(
    repository: &StoredRepository,
    document: &Document,
) -> Result<Arc<StoredManifest>, RegistryError> {
    let stored = repository.manifest(document.digest()).await?;
    stored.ok_or_else(|| RegistryError::unknown(repository.name(), document.digest().clone()))
}

fn source_at(
    location: &Location,
    kind: SourceKind,
    stored: Arc<StoredManifest>,
    warning: Option<String>,
) -> Source {
    Source {
        kind,
        stored,
        children: Children::At(location.clone()),
        warning,
        redirected: None,
        failure: None,
    }
}
