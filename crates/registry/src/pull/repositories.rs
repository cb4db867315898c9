//! The list of repositories (`GET /v2/_catalog`).

use metahub_oci::RepositoryName;

use crate::Registry;
use crate::error::RegistryError;
use crate::pull::page::ListPage;

impl Registry {
    /// The repositories after `last`, at most `limit`, that `may_read` allows: local ones and the
    /// catalog's collections.
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
        // Pages of the store are read until enough readable repositories are found.
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
            // Repositories of pass-through upstreams are never listed.
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
}
