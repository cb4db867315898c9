//! Lists: tags, repositories, referrers.

use std::sync::Arc;
use std::time::Duration;

use metahub_oci::{Descriptor, Digest, JsonMap, RepositoryName, Tag};
use metahub_store::Page;
use metahub_upstream::{Route, UpstreamError};
use moka::future::Cache;
use serde_json::Value;

use crate::place::{Place, is_offline, there};
use crate::{Registry, RegistryError};

/// Most referrers listed in one answer; the answer stays under the 4 MiB of an index.
const MAX_REFERRERS: usize = 5000;

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

/// Descriptors of what refers to a manifest, and something the client should know.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Referrers {
    /// The descriptors, each with `artifactType` and annotations.
    pub manifests: Vec<Value>,
    /// Such as an upstream that could not be asked.
    pub warning: Option<String>,
}

/// What upstreams said of referrers a moment ago, by kept repository and subject. A thousand nodes
/// that verify one image ask its upstream once.
pub(crate) type ReferrersLately = Cache<(RepositoryName, Digest), Arc<Vec<Descriptor>>>;

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
        let catalog = self.catalog();
        let of_collection = catalog.collection_tags(name);
        let mut found = Found {
            known: !of_collection.is_empty(),
            items: of_collection.iter().map(ToString::to_string).collect(),
            ..Found::default()
        };
        for place in self.places_of(name)? {
            match &place {
                Place::Local(name) => {
                    // Else what lies under this name is what its upstream gave.
                    if self.store().was_pushed(name).await? {
                        found.add(&self.store().tags(name, last, limit).await?);
                    }
                }
                Place::Upstream { route, kept } => {
                    match there(route.upstream.tags(&route.name).await) {
                        Ok(Some(tags)) => {
                            found.known = true;
                            found.items.extend(tags.iter().map(ToString::to_string));
                            continue;
                        }
                        Ok(None) => {}
                        Err(error) => {
                            tracing::warn!(repository = %kept, %error, "listed kept tags only");
                            found.failure.get_or_insert(error);
                        }
                    }
                    // The tags that were pulled before are better than none, and still served.
                    let page = self.store().tags(kept, last, limit).await?;
                    if !page.items.is_empty() {
                        found.add(&page);
                    }
                }
            }
            if self.ends_at(&place).await? {
                break;
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
            let readable = page.items.iter().filter(|name| may_read(name));
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
    /// here, and what the upstream says that the subject came from. Empty where nothing does.
    pub async fn referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Referrers, RegistryError> {
        let mut found = Referrers::default();
        for place in self.places_of(name)? {
            let held = self
                .store()
                .referrers(place.kept(), subject, artifact_type, None, MAX_REFERRERS)
                .await?;
            let mut entries: Vec<JsonMap> = held.items;
            if let Place::Upstream { route, kept } = &place
                // Only what is known to come from there is asked for there.
                && self.store().manifest(kept, subject).await?.is_some()
            {
                match self.upstream_referrers(route, kept, subject).await {
                    Ok(referrers) => {
                        entries.extend(referrers.iter().map(|entry| entry.as_json().clone()));
                    }
                    Err(error) if is_offline(&error) => {}
                    Err(error) => {
                        tracing::warn!(repository = %kept, %error, "referrers of the upstream are missing");
                        found.warning = Some(format!("referrers may be missing: {error}"));
                    }
                }
            }
            for entry in entries {
                let of = |key| entry.get(key).and_then(Value::as_str);
                let wanted = artifact_type.is_none_or(|wanted| of("artifactType") == Some(wanted));
                let known = |other: &Value| other.get("digest") == entry.get("digest");
                if wanted && !found.manifests.iter().any(known) {
                    found.manifests.push(Value::Object(entry));
                }
            }
        }
        found.manifests.truncate(MAX_REFERRERS);
        Ok(found)
    }

    async fn upstream_referrers(
        &self,
        route: &Route,
        kept: &RepositoryName,
        subject: &Digest,
    ) -> Result<Arc<Vec<Descriptor>>, UpstreamError> {
        let ask = async {
            let referrers = route.upstream.referrers(&route.name, subject).await?;
            Ok::<_, UpstreamError>(Arc::new(referrers))
        };
        let key = (kept.clone(), subject.clone());
        let answer = self.inner.referrers.try_get_with(key, ask).await;
        answer.map_err(|error| UpstreamError::clone(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
