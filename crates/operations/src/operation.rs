//! The interface of an operation on a data folder.

use std::future::Future;

use metahub_registry::Registry;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::OperationError;
use crate::progress::Progress;

/// An operation on a data folder. Only the process that serves the folder may carry it out,
/// because it keeps what it serves in memory.
pub trait Operation: Sized {
    /// What it reports.
    type Report: Serialize + DeserializeOwned + Send;

    /// Carries it out, and tells `progress` how far it is.
    ///
    /// # Errors
    /// As [`OperationError`] says.
    fn carry_out(
        self,
        registry: &Registry,
        progress: impl FnMut(Progress) + Send + Sync,
    ) -> impl Future<Output = Result<Self::Report, OperationError>> + Send;
}
