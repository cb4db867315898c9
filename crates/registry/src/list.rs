//! Lists: tags, repositories, referrers.

use metahub_oci::{Digest, RepositoryName};
use serde_json::Value;

use crate::place::{Place, there};
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

impl Registry {
    /// The tags of a repository after `last`, at most `limit`: a collection's, those held here,
    /// and those of an upstream.
    pub async fn tags(
        &self,
        name: &RepositoryName,
        last: Option<&str>,
        limit: usize,
    ) -> Result<ListPage, RegistryError> {
        let catalog = self.catalog();
        let of_collection: Vec<String> = catalog
            .collection_tags(name)
            .into_iter()
            .map(ToString::to_string)
            .collect();
        let mut known = !of_collection.is_empty();
        let mut items = of_collection;
        let mut more = false;
        let mut held = false;
        let mut failure = None;
        for place in self.places_of(name)? {
            match &place {
                Place::Local(name) => {
                    let page = self.store().tags(name, last, limit).await?;
                    known |= !page.items.is_empty();
                    held = self.store().was_pushed(name).await?;
                    more |= page.more;
                    items.extend(page.items.iter().map(ToString::to_string));
                }
                // What was pushed here is listed without asking anyone else.
                Place::Upstream { .. } if known || held => break,
                Place::Upstream { route, kept } => {
                    match there(route.upstream.tags(&route.name).await) {
                        Ok(Some(tags)) => {
                            known = true;
                            items.extend(tags.iter().map(ToString::to_string));
                        }
                        Ok(None) => {}
                        Err(error) => {
                            // The tags that were pulled before are better than none.
                            let page = self.store().tags(kept, last, limit).await?;
                            if page.items.is_empty() {
                                failure = Some(error);
                            } else {
                                tracing::warn!(repository = %kept, %error, "listed kept tags only");
                                known = true;
                                more |= page.more;
                                items.extend(page.items.iter().map(ToString::to_string));
                            }
                        }
                    }
                }
            }
        }
        match failure {
            Some(error) if !known && !held => Err(error.into()),
            _ if !known && !held => Err(RegistryError::NameUnknown(name.clone())),
            _ => {
                let mut page = ListPage::cut(items, last, limit);
                page.more |= more;
                Ok(page)
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

    /// Descriptors of what refers to `subject` in a repository, each with `artifactType` and
    /// annotations, as the referrers API lists them. Empty where nothing does.
    pub async fn referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Value>, RegistryError> {
        let mut found: Vec<Value> = self
            .store()
            .referrers(name, subject, artifact_type, None, MAX_REFERRERS)
            .await?
            .items
            .into_iter()
            .map(Value::Object)
            .collect();
        for place in self.places_of(name)? {
            let Place::Upstream { route, kept } = &place else {
                continue;
            };
            // Only what is known to come from there is asked for there.
            if self.store().manifest(kept, subject).await?.is_none() {
                continue;
            }
            match route.upstream.referrers(&route.name, subject).await {
                Ok(referrers) => found.extend(
                    referrers
                        .into_iter()
                        .map(|entry| entry.as_json().clone())
                        .filter(|entry| {
                            artifact_type.is_none_or(|wanted| {
                                entry.get("artifactType").and_then(Value::as_str) == Some(wanted)
                            })
                        })
                        .map(Value::Object),
                ),
                Err(error) => {
                    tracing::warn!(repository = %kept, %error, "referrers of the upstream are missing");
                }
            }
        }
        Ok(found)
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
