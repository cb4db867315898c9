//! Local names without content, and releasing them.

use metahub_oci::RepositoryName;
use metahub_registry::{EmptyName, Registry, Released};
use serde::{Deserialize, Serialize};

use crate::error::OperationError;
use crate::operation::Operation;
use crate::progress::Progress;

/// Releases local names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The names.
    pub names: Vec<RepositoryName>,
}

impl Operation for Release {
    type Report = Vec<Released>;

    async fn carry_out(
        self,
        registry: &Registry,
        _: impl FnMut(Progress) + Send + Sync,
    ) -> Result<Vec<Released>, OperationError> {
        Ok(registry.release_names(&self.names).await?)
    }
}

/// Lists the local names without pushed content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListEmptyNames {}

impl Operation for ListEmptyNames {
    type Report = Vec<EmptyName>;

    async fn carry_out(
        self,
        registry: &Registry,
        _: impl FnMut(Progress) + Send + Sync,
    ) -> Result<Vec<EmptyName>, OperationError> {
        Ok(registry.empty_local_names().await?)
    }
}
