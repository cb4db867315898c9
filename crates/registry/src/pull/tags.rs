//! Lists the tags of a repository: those of a collection, those pushed here, and those of
//! upstreams.

use metahub_catalog::Composed;
use metahub_oci::Tag;
use metahub_resolve::TagFilters;
use metahub_store::Page;
use metahub_upstream::UpstreamError;

use crate::access::location::{Location, there};
use crate::access::pass_through::Request;
use crate::access::repository::{Authorised, Read, Repository};
use crate::error::RegistryError;
use crate::pull::page::ListPage;

/// Most tags that are read for one step of a filtered list, and in one request.
const LOOKED_AT: usize = 1000;
const MOST_LOOKED_AT: usize = 20_000;

/// A page of a repository's tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagList {
    /// The tags.
    pub page: ListPage,
    /// Something the client should know, such as an upstream that could not be asked.
    pub warning: Option<String>,
}

/// Tags for a list.
#[derive(Default)]
struct TagPage {
    known: bool,
    items: Vec<String>,
    more: bool,
    failure: Option<UpstreamError>,
}

impl TagPage {
    fn add(&mut self, page: &Page<Tag>) {
        self.known = true;
        self.more |= page.more;
        self.items
            .extend(page.items.iter().map(ToString::to_string));
    }
}

impl Repository<'_, Read> {
    /// The tags after `last`, at most `limit`, that `profile` shows.
    pub async fn tags(
        &self,
        profile: &Composed,
        last: Option<&str>,
        limit: usize,
    ) -> Result<TagList, RegistryError> {
        let repository = self.authorise(Request::Tags).await?;
        match TagFilters::of(profile, repository.name()) {
            None => repository.all_tags(last, limit).await,
            Some(filters) => repository.shown_tags(&filters, last, limit).await,
        }
    }
}

impl Authorised<'_> {
    /// The tags after `last` that `filters` show. Reads at most [`MOST_LOOKED_AT`] in one request,
    /// whose page is then shorter.
    async fn shown_tags(
        &self,
        filters: &TagFilters<'_>,
        last: Option<&str>,
        limit: usize,
    ) -> Result<TagList, RegistryError> {
        let added = filters.added();
        let mut shown: Vec<String> = Vec::new();
        let mut warning = None;
        let mut looked_at = 0;
        let mut after = last.map(str::to_owned);
        let more = loop {
            let TagList {
                page,
                warning: told,
            } = self.all_tags(after.as_deref(), LOOKED_AT).await?;
            looked_at += page.items.len();
            warning = warning.or(told);
            let end = page.items.last().filter(|_| page.more).cloned();
            let within = |tag: &str| {
                after.as_deref().is_none_or(|after| tag > after)
                    && end.as_deref().is_none_or(|end| tag <= end)
            };
            let added = added.iter().map(|tag| tag.as_str());
            shown.extend(added.filter(|tag| within(tag)).map(str::to_owned));
            shown.extend(page.items.into_iter().filter(|tag| filters.shows(tag)));
            let Some(end) = end else { break false };
            after = Some(end);
            if shown.len() > limit || looked_at >= MOST_LOOKED_AT {
                break true;
            }
        };
        let mut page = ListPage::cut(shown, last, limit);
        if more && !page.more {
            page.more = true;
            page.after = after;
        }
        Ok(TagList { page, warning })
    }

    /// The tags after `last`, at most `limit`, that a pull by tag would find: those of a
    /// collection, pushed ones, and, unless the name was pushed to and local content comes first,
    /// those of every upstream that the name leads to.
    async fn all_tags(&self, last: Option<&str>, limit: usize) -> Result<TagList, RegistryError> {
        let (registry, name) = (self.registry(), self.name());
        let catalog = registry.catalog();
        let of_collection = catalog.collection_tags(name);
        let mut found = TagPage {
            known: !of_collection.is_empty(),
            items: of_collection.iter().map(ToString::to_string).collect(),
            ..TagPage::default()
        };
        for location in self.locations().await? {
            match &location {
                Location::Local(local) => {
                    // Otherwise, only content cached from its upstream is stored under this name.
                    if local.was_pushed().await? {
                        found.add(&local.tags(last, limit).await?);
                    }
                }
                Location::Upstream(from) => {
                    let storage = from.storage();
                    let listed = registry.listing(from, last.is_some()).await?;
                    match registry.note_own_refusal(from, there(listed)).await? {
                        Ok(Some(listing)) => {
                            let (page, more) = listing.page(last, limit);
                            found.known = true;
                            found.more |= more;
                            found.items.extend(page.iter().map(ToString::to_string));
                            let Some(error) = &listing.failure else {
                                continue;
                            };
                            // Formerly pulled tags may be among the rest.
                            tracing::warn!(repository = %storage, %error, "listed a part of the tags");
                            found.failure.get_or_insert_with(|| error.clone());
                        }
                        Ok(None) => {}
                        Err(error) => {
                            tracing::warn!(repository = %storage, %error, "listed cached tags only");
                            found.failure.get_or_insert(error);
                        }
                    }
                    // The formerly pulled tags are better than none, and still served.
                    let page = from.stored().tags(last, limit).await?;
                    if !page.items.is_empty() {
                        found.add(&page);
                    }
                }
            }
        }
        match found.failure {
            Some(error) if !found.known => Err(error.into()),
            _ if !found.known => Err(RegistryError::NameUnknown(name.clone())),
            failure => {
                let mut page = ListPage::cut(found.items, last, limit);
                page.more |= found.more;
                Ok(TagList {
                    page,
                    warning: failure.map(|error| format!("tags may be missing: {error}")),
                })
            }
        }
    }
}
