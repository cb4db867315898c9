//! Upkeep that panics fails like any other, so that its task goes on and tries again.

use std::future::Future;

use metahub_store::StoreError;

/// What `work` comes to.
///
/// # Errors
/// Its own, or [`StoreError::Aborted`] if it panics.
pub(crate) async fn guarded<T, E>(
    work: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    match tokio::spawn(work).await {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => Err(StoreError::Aborted.into()),
        Err(_) => Err(StoreError::Closed.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_failure() {
        let fine = guarded(async { Ok::<_, StoreError>(7) }).await;
        assert!(matches!(fine, Ok(7)));
        let panics = guarded(async {
            if true {
                panic!("on purpose")
            } else {
                Ok::<(), StoreError>(())
            }
        });
        assert!(matches!(panics.await, Err(StoreError::Aborted)));
    }
}
