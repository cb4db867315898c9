//! Local names, and releasing them: a name that was pushed to stays local when all of its content
//! is deleted, until an admin releases it.

use metahub_oci::RepositoryName;
use metahub_store::Release;
use serde::{Deserialize, Serialize};

use crate::Registry;
use crate::error::RegistryError;

/// Names that are read of the store at once.
const PAGE: usize = 1000;

/// A local name without pushed content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmptyName {
    /// The name.
    pub name: RepositoryName,
    /// The account that pushed to it first, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

/// The result of releasing one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// The name.
    pub name: RepositoryName,
    /// Why it was not released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Registry {
    /// Whether a name exists here without any upstream: it was pushed to, or is a collection's.
    pub async fn is_named_here(&self, name: &RepositoryName) -> Result<bool, RegistryError> {
        if !self.catalog().collection_tags(name).is_empty() {
            return Ok(true);
        }
        Ok(self.store().was_pushed(name).await?)
    }

    /// Up to `most` names that were pushed to, or that collections have, below `prefix/`.
    pub async fn names_below(
        &self,
        prefix: &RepositoryName,
        most: usize,
    ) -> Result<Vec<RepositoryName>, RegistryError> {
        let below = |name: &RepositoryName| {
            let rest = name.as_str().strip_prefix(prefix.as_str());
            rest.is_some_and(|rest| rest.starts_with('/'))
        };
        let catalog = self.catalog();
        let collections = catalog.collections().map(|collection| &collection.name);
        let mut names: Vec<RepositoryName> = collections
            .filter(|name| below(name))
            .take(most)
            .cloned()
            .collect();
        // In the order of names, so that what comes before and after is not read.
        let mut after = Some(prefix.clone());
        while names.len() < most {
            let page = self.store().local_names(after.as_ref(), PAGE).await?;
            after = page.items.last().map(|local| local.name.clone());
            let past = page.items.iter().any(|local| {
                !below(&local.name) && local.name.as_str() > format!("{prefix}/").as_str()
            });
            let found = page.items.into_iter().map(|local| local.name);
            names.extend(found.filter(&below).take(most - names.len()));
            if past || !page.more {
                break;
            }
        }
        // A pushed name may be a collection's as well.
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// Releases local names without pushed content, so that they are looked up at upstreams again.
    pub async fn release_names(
        &self,
        names: &[RepositoryName],
    ) -> Result<Vec<Released>, RegistryError> {
        let mut released = Vec::with_capacity(names.len());
        for name in names {
            let problem = match self.store().release_name(name).await? {
                Release::Done => {
                    tracing::info!(repository = %name, "the name is no longer local");
                    None
                }
                Release::NotLocal => Some("nobody pushed to that name".to_owned()),
                Release::Holds(count) => Some(format!(
                    "{count} pushed manifests are there: delete those first"
                )),
            };
            released.push(Released {
                name: name.clone(),
                problem,
            });
        }
        Ok(released)
    }

    /// The local names without pushed content.
    pub async fn empty_local_names(&self) -> Result<Vec<EmptyName>, RegistryError> {
        let mut empty = Vec::new();
        let mut after = None;
        loop {
            let page = self.store().local_names(after.as_ref(), PAGE).await?;
            after = page.items.last().map(|local| local.name.clone());
            let held = page.items.into_iter().filter(|local| local.manifests == 0);
            empty.extend(held.map(|local| EmptyName {
                name: local.name,
                account: local.account,
            }));
            if !page.more {
                return Ok(empty);
            }
        }
    }
}
