//! The interface of an operation on a data folder.

use std::future::Future;

use metahub_registry::Registry;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::OperationError;
use crate::progress::Progress;

/// An operation on a data folder. Only the process that serves the folder may run it, because of
/// its caches.
pub trait Operation: Sized {
    /// Its report.
    type Report: Serialize + DeserializeOwned + Send;

    /// Runs it, and reports progress to `progress`.
    ///
    /// # Errors
    /// As [`OperationError`] says.
    fn carry_out(
        self,
        registry: &Registry,
        progress: impl FnMut(Progress) + Send + Sync,
    ) -> impl Future<Output = Result<Self::Report, OperationError>> + Send;
}
