//! From a tag to the content it names before any event runs: in a collection, in a repository
//! held here, or at an upstream, where `recheck` asks again when its time has come.

use std::collections::HashMap;
use std::sync::Arc;

use metahub_catalog::{Catalog, Collection};
use metahub_oci::{Digest, Document, DocumentError, RepositoryName, Tag};
use metahub_store::{Origin, PutManifest, StoredManifest};
use metahub_upstream::{Fetched, Route};

use crate::access::location::{LocalContent, Location, Search};
use crate::push::manifest::put_error;
use crate::{Registry, RegistryError, SourceKind};

/// What a tag names, before any event.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) kind: SourceKind,
    pub(crate) stored: Arc<StoredManifest>,
    pub(crate) children: Children,
    pub(crate) warning: Option<String>,
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

impl Registry {
    /// What `tag` of `name` is before any event: a collection's index, else what the first place
    /// that has the tag holds.
    pub(crate) async fn source(
        &self,
        name: &RepositoryName,
        tag: &Tag,
    ) -> Result<Source, RegistryError> {
        let catalog = self.catalog();
        if let Some(collection) = self.collection_called(&catalog, name, tag) {
            return self.collection_source(collection).await;
        }
        // What was pushed here is answered without working out where else to look.
        let local = self.local(name);
        let first = self.settings().local == LocalContent::First;
        let (before, after) = if first { (local, None) } else { (None, local) };
        if let Some(local) = &before
            && let Some(source) = self.tag_at(local, tag).await?
        {
            return Ok(source);
        }
        let mut search = Search::default();
        if before.is_none() || !self.is_wholly_local(name).await? {
            for location in self.upstream_locations_of(name)? {
                if let Some(mut source) = search.answered(self.tag_at(&location, tag).await)? {
                    source.warn(search.passed_over());
                    source.warn(self.shadowing(name, &location).await?);
                    return Ok(source);
                }
            }
        }
        if let Some(local) = &after
            && let Some(mut source) = self.tag_at(local, tag).await?
        {
            source.warn(search.passed_over());
            return Ok(source);
        }
        search.end()?;
        Err(RegistryError::unknown(name, tag.clone()))
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
        let of = |name: &RepositoryName| collection(catalog, name, tag);
        of(name).or_else(|| match self.upstreams().split(name) {
            (Some(host), rest) if self.upstreams().is_default(&host) => of(&rest),
            _ => None,
        })
    }

    /// What `tag` names at one place.
    pub(crate) async fn tag_at(
        &self,
        location: &Location,
        tag: &Tag,
    ) -> Result<Option<Source>, RegistryError> {
        match location {
            Location::Local(name) => {
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
                Ok(Some(source_at(location, SourceKind::Local, stored, None)))
            }
            Location::Upstream { route, storage } => {
                // Boxed: asking is rare, and its state would make every pull's larger.
                let found = Box::pin(self.upstream_tag(route, storage, tag)).await?;
                Ok(found.map(|(stored, warning)| {
                    self.used(storage, &stored.digest);
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
            Location::Upstream { .. } => SourceKind::Upstream,
        };
        let stored = self.manifest_at(location, digest).await?;
        Ok(stored.map(|stored| source_at(location, kind, stored, None)))
    }

    /// Keeps an upstream's manifest under its own repository.
    pub(crate) async fn keep(
        &self,
        route: &Route,
        storage: &RepositoryName,
        fetched: &Fetched,
        tags: Vec<Tag>,
    ) -> Result<Arc<StoredManifest>, RegistryError> {
        let document = &fetched.document;
        let source = route.image(document.digest().clone().into()).to_string();
        let put = PutManifest {
            etag: fetched.etag.clone(),
            brought_by: self.client,
            ..PutManifest::upstream(tags, source)
        };
        let stored = self.put(storage, document, put).await?;
        self.counters().manifests_fetched.inc();
        Ok(stored)
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
        location: &Location,
        digest: &Digest,
    ) -> Result<Option<Arc<StoredManifest>>, RegistryError> {
        if let Some(stored) = self.store().manifest(location.storage(), digest).await? {
            if stored.origin != Origin::Pushed {
                self.used(location.storage(), digest);
            }
            return Ok(Some(stored));
        }
        let Location::Upstream { route, storage } = location else {
            return Ok(None);
        };
        Box::pin(self.upstream_digest(route, storage, digest)).await
    }
}

/// The collection of a name, or of the same without `library/`.
fn collection<'c>(
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
        failure: None,
    }
}
