//! Lists: tags, repositories, referrers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use metahub_oci::{Digest, JsonMap, RepositoryName, Tag};
use metahub_store::{Origin, Page, Store};
use metahub_upstream::{Referring, Route, UpstreamError};
use moka::future::Cache;
use serde_json::Value;

use crate::access::location::{Location, is_offline, there};
use crate::access::pass_through::Request;
use crate::{Registry, RegistryError};

/// One page of a list, in lexical order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListPage {
    /// The items.
    pub items: Vec<String>,
    /// Whether more follow the last one.
    pub more: bool,
}

impl ListPage {
    /// The first `limit` of `items` after `last`, which may come in any order.
    fn cut(mut items: Vec<String>, last: Option<&str>, limit: usize) -> Self {
        items.retain(|item| last.is_none_or(|last| item.as_str() > last));
        items.sort_unstable();
        items.dedup();
        let more = items.len() > limit;
        items.truncate(limit);
        Self { items, more }
    }
}

/// A page of a repository's tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagList {
    /// The tags.
    pub page: ListPage,
    /// Something the client should know, such as an upstream that could not be asked.
    pub warning: Option<String>,
}

/// Tags on their way into a list.
#[derive(Default)]
struct Found {
    known: bool,
    items: Vec<String>,
    more: bool,
    failure: Option<UpstreamError>,
}

impl Found {
    fn add(&mut self, page: &Page<Tag>) {
        self.known = true;
        self.more |= page.more;
        self.items
            .extend(page.items.iter().map(ToString::to_string));
    }
}

/// One page of what refers to a manifest, in order of digests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Referrers {
    /// The descriptors, each with `artifactType` and annotations.
    pub manifests: Vec<JsonMap>,
    /// The last one's digest, if more follow.
    pub next: Option<Digest>,
    /// Something the client should know, such as an upstream that could not be asked.
    pub warning: Option<String>,
}

impl Referrers {
    /// The first `limit` of `found`, and no more bytes of them than an index may have.
    fn cut(found: BTreeMap<Digest, JsonMap>, limit: usize, mut more: bool) -> Self {
        let mut manifests = Vec::new();
        let mut bytes = 0;
        let mut last = None;
        for (digest, descriptor) in found {
            bytes += serde_json::to_string(&descriptor).map_or(0, |text| text.len());
            if manifests.len() >= limit || last.is_some() && bytes > Store::REFERRERS_BYTES {
                more = true;
                break;
            }
            manifests.push(descriptor);
            last = Some(digest);
        }
        Self {
            manifests,
            next: last.filter(|_| more),
            warning: None,
        }
    }
}

/// What upstreams said of referrers a moment ago, by kept repository and subject, and by who asked
/// where that makes a difference. A thousand nodes that verify one image ask its upstream once.
pub(crate) type ReferrersLately = Cache<(RepositoryName, Digest, Option<Arc<str>>), Arc<Referring>>;

pub(crate) fn referrers_lately() -> ReferrersLately {
    Cache::builder()
        .max_capacity(1000)
        .time_to_live(Duration::from_secs(10))
        .build()
}

impl Registry {
    /// The tags of a repository after `last`, at most `limit`: whatever a pull by tag would find.
    /// Those of a collection, those pushed here, and, unless the name was pushed to and local
    /// content comes first, those of every upstream that the name leads to.
    pub async fn tags(
        &self,
        name: &RepositoryName,
        last: Option<&str>,
        limit: usize,
    ) -> Result<TagList, RegistryError> {
        let here = self.authorised(name, Request::Tags).await?;
        let catalog = self.catalog();
        let of_collection = catalog.collection_tags(name);
        let mut found = Found {
            known: !of_collection.is_empty(),
            items: of_collection.iter().map(ToString::to_string).collect(),
            ..Found::default()
        };
        for location in here.locations_of(name).await? {
            match &location {
                Location::Local(name) => {
                    // Else what lies under this name is what its upstream gave.
                    if self.store().was_pushed(name).await? {
                        found.add(&self.store().tags(name, last, limit).await?);
                    }
                }
                Location::Upstream { route, storage } => {
                    let listed = here.listing(route, storage, last.is_some()).await;
                    match here.own(storage, there(listed)).await? {
                        Ok(Some(listing)) => {
                            let (page, more) = listing.page(last, limit);
                            found.known = true;
                            found.more |= more;
                            found.items.extend(page.iter().map(ToString::to_string));
                            let Some(error) = &listing.failure else {
                                continue;
                            };
                            // What was pulled before may be among the rest.
                            tracing::warn!(repository = %storage, %error, "listed a part of the tags");
                            found.failure.get_or_insert_with(|| error.clone());
                        }
                        Ok(None) => {}
                        Err(error) => {
                            tracing::warn!(repository = %storage, %error, "listed kept tags only");
                            found.failure.get_or_insert(error);
                        }
                    }
                    // The tags that were pulled before are better than none, and still served.
                    let page = self.store().tags(storage, last, limit).await?;
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

    /// The repositories after `last`, at most `limit`, that `may_read` lets through: those held
    /// here and the catalog's collections.
    pub async fn repositories(
        &self,
        last: Option<&str>,
        limit: usize,
        may_read: &(dyn Fn(&RepositoryName) -> bool + Send + Sync),
    ) -> Result<ListPage, RegistryError> {
        let catalog = self.catalog();
        let mut items: Vec<String> = catalog
            .collections()
            .map(|collection| &collection.name)
            .filter(|name| may_read(name))
            .map(ToString::to_string)
            .collect();
        // Pages of the store are read until enough of it may be shown.
        let mut after = last.map(str::to_owned);
        let mut shown = 0;
        let mut more = true;
        while more && shown <= limit {
            let page = self
                .store()
                .repositories(after.as_deref(), limit.max(1))
                .await?;
            more = page.more;
            after = page.items.last().map(ToString::to_string);
            // What an upstream has for some accounts only is listed for none.
            let open = |name: &&RepositoryName| self.is_open(name) && may_read(name);
            let readable = page.items.iter().filter(open);
            let before = items.len();
            items.extend(readable.map(ToString::to_string));
            shown += items.len() - before;
            if after.is_none() {
                break;
            }
        }
        Ok(ListPage::cut(items, last, limit))
    }

    /// What refers to `subject` in a repository, as the referrers API lists it: what was pushed
    /// here, and, unless the name was pushed to, what its upstreams say; those after `after`, at
    /// most `limit`. Empty where nothing does. Upstreams are asked whether or not the subject was
    /// read from there, because who verifies by digest may ask for nothing else.
    pub async fn referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Referrers, RegistryError> {
        let here = self.authorised(name, Request::Manifest(subject)).await?;
        let mut found: BTreeMap<Digest, JsonMap> = BTreeMap::new();
        // Where the first list that was not read to its end stopped: what follows is for later.
        let mut end: Option<Digest> = None;
        let mut warning = None;
        for location in here.locations_of(name).await? {
            let held = self
                .store()
                .referrers(location.storage(), subject, artifact_type, after, limit)
                .await?;
            let mut last = None;
            for entry in held.items {
                let digest = entry.get("digest").and_then(Value::as_str);
                if let Some(Ok(digest)) = digest.map(str::parse::<Digest>) {
                    last = Some(digest.clone());
                    found.entry(digest).or_insert(entry);
                }
            }
            if held.more {
                end = end.into_iter().chain(last).min();
            }
            let Location::Upstream { route, storage } = &location else {
                if self.is_derived(name, subject).await? {
                    break;
                }
                continue;
            };
            let said = here.upstream_referrers(route, storage, subject).await;
            match here.own(storage, said).await? {
                Ok(referrers) => {
                    for entry in &referrers.descriptors {
                        let its_type = entry.as_json().get("artifactType").and_then(Value::as_str);
                        if artifact_type.is_none_or(|wanted| its_type == Some(wanted))
                            && after.is_none_or(|after| entry.digest() > after)
                        {
                            let known = found.entry(entry.digest().clone());
                            known.or_insert_with(|| entry.as_json().clone());
                        }
                    }
                }
                Err(error) if is_offline(&error) => {}
                Err(error) => {
                    tracing::warn!(repository = %storage, %error, "referrers of the upstream are missing");
                    warning = Some(format!("referrers may be missing: {error}"));
                }
            }
        }
        if let Some(end) = &end {
            found.retain(|digest, _| digest <= end);
        }
        Ok(Referrers {
            warning,
            ..Referrers::cut(found, limit, end.is_some())
        })
    }

    /// Whether `subject` was made here, so that nobody else can know of it.
    async fn is_derived(
        &self,
        name: &RepositoryName,
        subject: &Digest,
    ) -> Result<bool, RegistryError> {
        let held = self.store().manifest(name, subject).await?;
        Ok(held.is_some_and(|stored| stored.origin == Origin::Derived))
    }

    pub(crate) async fn upstream_referrers(
        &self,
        route: &Route,
        storage: &RepositoryName,
        subject: &Digest,
    ) -> Result<Arc<Referring>, UpstreamError> {
        let ask = async {
            let referrers = route.upstream.referrers(&route.name, subject).await?;
            Ok::<_, UpstreamError>(Arc::new(referrers))
        };
        let key = (
            storage.clone(),
            subject.clone(),
            self.caller.coalescing_key(storage),
        );
        let answer = self.inner.referrers.try_get_with(key, ask).await;
        answer.map_err(|error| UpstreamError::clone(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_referrers_ends_at_its_limit_or_size_and_says_where_the_next_begins() {
        let found = |size: usize| -> BTreeMap<Digest, JsonMap> {
            let entry = |n: u8| {
                let text = Value::from("x".repeat(size));
                let map = JsonMap::from_iter([("annotation".to_owned(), text)]);
                (Digest::sha256(&[n]), map)
            };
            (0..3).map(entry).collect()
        };
        let digests: Vec<Digest> = found(1).into_keys().collect();
        for (size, limit, more, count, next) in [
            (1, 5, false, 3, None),
            (1, 3, true, 3, digests.get(2)),
            (1, 2, false, 2, digests.get(1)),
            (Store::REFERRERS_BYTES * 2 / 5, 5, false, 2, digests.get(1)),
            (Store::REFERRERS_BYTES + 1, 5, false, 1, digests.first()),
            (1, 0, false, 0, None),
        ] {
            let page = Referrers::cut(found(size), limit, more);
            assert_eq!(page.manifests.len(), count, "{size} {limit}");
            assert_eq!(page.next.as_ref(), next, "{size} {limit}");
        }
    }

    #[test]
    fn a_page_begins_after_the_last_item_seen_and_says_whether_more_follow() {
        let items = || ["b", "a", "d", "c", "a"].map(str::to_owned).to_vec();
        let first = ListPage::cut(items(), None, 2);
        assert_eq!(
            first,
            ListPage {
                items: vec!["a".into(), "b".into()],
                more: true
            }
        );
        let second = ListPage::cut(items(), Some("b"), 2);
        assert_eq!(
            second,
            ListPage {
                items: vec!["c".into(), "d".into()],
                more: false
            }
        );
        assert_eq!(
            ListPage::cut(items(), None, 0),
            ListPage {
                items: vec![],
                more: true
            }
        );
    }
}
