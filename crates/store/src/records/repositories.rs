//! Repositories, page by page.

use metahub_oci::RepositoryName;

use super::shared::Answer;

/// One page of a list that is read in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The page's items.
    pub items: Vec<T>,
    /// Whether others follow: ask again with the last item as `after`.
    pub more: bool,
}

impl<T> Page<T> {
    /// The page of at most `limit` items out of `limit + 1` that were read.
    pub(crate) fn cut(mut items: Vec<T>, limit: usize) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        Self { items, more }
    }
}

/// Repositories. Storing something in one makes it.
pub(crate) trait RepositoryRecords: Send + Sync {
    /// Repositories that hold a manifest, after `after`, in order of their names.
    fn repositories(&self, after: Option<&str>, limit: usize) -> Answer<'_, Page<RepositoryName>>;

    /// Whether anything was ever stored in `repository` and not collected since.
    fn has_repository(&self, repository: &RepositoryName) -> Answer<'_, bool>;
}
