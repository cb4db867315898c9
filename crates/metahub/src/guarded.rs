//! Background work that panics fails like any other: the panic is logged, and its loop goes on and
//! retries at its interval.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};

use metahub_store::StoreError;

/// The result of `work`; `what` names it in the log if it panics.
///
/// # Errors
/// Its own, or [`StoreError::Aborted`] if it panics.
pub(crate) async fn guarded<T, E>(
    what: &str,
    work: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    match tokio::spawn(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(match error.try_into_panic() {
            Ok(panic) => {
                tell(what, &*panic);
                StoreError::Aborted
            }
            Err(_) => StoreError::Closed,
        }
        .into()),
    }
}

/// Runs `work`, which blocks; `None` if it panics, which is logged under the name `what`. A
/// half-done `work` must do no harm.
pub(crate) fn caught<T>(what: &str, work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work))
        .map_err(|panic| tell(what, &*panic))
        .ok()
}

/// Logs a panic of the work `what`.
pub(crate) fn tell(what: &str, panic: &(dyn Any + Send)) {
    let said = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("something that is no text");
    tracing::error!(
        work = what,
        panic = said,
        "background work panicked, which is a defect: report it; it is tried again in its time"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panics() -> usize {
        panic!("on purpose")
    }

    #[tokio::test]
    async fn a_panic_is_a_failure() {
        let fine = guarded("work", async { Ok::<_, StoreError>(7) }).await;
        assert!(matches!(fine, Ok(7)));
        let aborted = guarded("work", async { Ok::<_, StoreError>(panics()) }).await;
        assert!(matches!(aborted, Err(StoreError::Aborted)));
        assert_eq!(caught("work", || 7), Some(7));
        assert_eq!(caught("work", panics), None);
    }
}
