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

/// The source of a tag, before any event.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) kind: SourceKind,
    pub(crate) stored: Arc<StoredManifest>,
    pub(crate) children: Children,
    pub(crate) warning: Option<String>,
    /// The repository that a profile redirected to, by its name for clients: the source is not in
    /// the requested repository.
    pub(crate) redirected: Option<RepositoryName>,
    /// Why an entry of a collection could not be read, if that may pass: if nothing else fits, that
    /// entry might.
    pub(crate) failure: Option<Arc<RegistryError>>,
}

/// The locations of a source's children.
#[derive(Clone)]
pub(crate) enum Children {
    /// All in the source's location.
    At(Location),
    /// Each in its own location: a collection's.
    Each(Arc<HashMap<Digest, Location>>),
}

impl Source {
    /// The source's document.
    pub(crate) fn document(&self) -> Result<Document, DocumentError> {
        parse(&self.stored)
    }

    /// Adds a warning for the client.
    pub(crate) fn warn(&mut self, more: Option<String>) {
        let Some(more) = more else { return };
        self.warning = Some(match self.warning.take() {
            Some(before) => format!("{before}; {more}"),
            None => more,
        });
    }

    /// The location of the child `digest`.
    pub(crate) fn location_of(&self, digest: &Digest) -> Option<&Location> {
        match &self.children {
            Children::At(location) => Some(location),
            Children::Each(locations) => locations.get(digest),
        }
    }
}

/// Parses a stored manifest. Its digest was verified when it was read.
pub(crate) fn parse(stored: &StoredManifest) -> Result<Document, DocumentError> {
    Document::parse_as(
        stored.bytes.clone(),
        stored.digest.clone(),
        Some(&stored.media_type),
    )
}

impl Authorised<'_> {
    /// The source of `tag`: a collection's index, else the content of the first location that has
    /// the tag.
    pub(crate) async fn source(&self, tag: &Tag) -> Result<Source, RegistryError> {
        let (registry, name) = (self.registry(), self.name());
        let catalog = registry.catalog();
        if let Some(collection) = registry.collection_called(&catalog, name, tag) {
            return registry.collection_source(&catalog, collection).await;
        }
        // A pushed tag is found without computing the other locations.
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
    /// The source of an image that a collection or profile names.
    pub(crate) async fn document_source(
        &self,
        image: &ImageReference,
    ) -> Result<Option<Source>, RegistryError> {
        self.document_may_name(image.host(), image.name())?;
        self.image_source(image).await
    }

    /// The source of an image that an operator names.
    pub(crate) async fn image_source(
        &self,
        image: &ImageReference,
    ) -> Result<Option<Source>, RegistryError> {
        let locations = self.locations_of_image(image).await?;
        self.source_at_any(&locations, image).await
    }

    /// The source of an image at the first of its locations that has it.
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

    /// The first match among the collection names for a client's `name`: see
    /// [`collection_called`](Self::collection_called).
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

    /// The message for a tag that a collection does not have; `None` if the name is no
    /// collection's.
    fn tags_there_are(&self, catalog: &Catalog, name: &RepositoryName) -> String {
        let told = self.in_collections(name, |name| {
            let tags = catalog.collection_tags(name);
            (!tags.is_empty()).then(|| tags_in_words(&tags))
        });
        told.unwrap_or_default()
    }

    /// The source of `tag` at one location.
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
                // Fetched tags in the repository are revalidated at their upstream.
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

    /// The source of a digest at one location.
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

/// Most tags of a collection that are named in the error for a missing one.
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

/// The stored manifest of a document that was just stored.
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
