//! Local names: names that a manifest was pushed to, until an admin releases them.

use std::time::SystemTime;

use metahub_oci::RepositoryName;

use super::repositories::Page;
use super::shared::Answer;

/// A local name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalName {
    /// The name.
    pub name: RepositoryName,
    /// The account that pushed to it first, if known.
    pub account: Option<String>,
    /// When that was.
    pub claimed_at: SystemTime,
    /// How many pushed manifests it holds.
    pub manifests: u64,
}

/// The result of releasing a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// The name is no longer local.
    Done,
    /// The name is not local.
    NotLocal,
    /// It still holds so many pushed manifests, and stays local.
    Holds(u64),
}

/// Local names. [`super::ManifestRecords::publish_manifest`] claims them.
pub(crate) trait OwnershipRecords: Send + Sync {
    /// Whether `repository` is a local name.
    fn is_local(&self, repository: &RepositoryName) -> Answer<'_, bool>;

    /// The local names after `after`, in lexical order, at most `limit`.
    fn local_names(
        &self,
        after: Option<&RepositoryName>,
        limit: usize,
    ) -> Answer<'_, Page<LocalName>>;

    /// Makes a name that holds no pushed manifest no longer local, durably.
    fn release_name(&self, repository: &RepositoryName) -> Answer<'_, Release>;
}
