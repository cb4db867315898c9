//! Runs blocking work, and tasks that go on when their caller goes away.

use crate::StoreError;

/// Runs file work off the asynchronous workers.
pub(crate) async fn blocking<T, E, F>(work: F) -> Result<T, E>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
    F: FnOnce() -> Result<T, E> + Send + 'static,
{
    joined(tokio::task::spawn_blocking(work).await)
}

/// What a task came to. One that panicked failed; one that was cancelled met the end of the
/// process.
pub(crate) fn joined<T, E: From<StoreError>>(
    outcome: Result<Result<T, E>, tokio::task::JoinError>,
) -> Result<T, E> {
    match outcome {
        Ok(result) => result,
        Err(error) if error.is_panic() => {
            tracing::error!(%error, "a task of the store panicked");
            Err(StoreError::Aborted.into())
        }
        Err(_) => Err(StoreError::Closed.into()),
    }
}
