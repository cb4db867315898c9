//! Counts the readers of a fill while it is received. A fill without readers is paused by its
//! owner: otherwise one request could fill the disk with content without readers.

use std::sync::Arc;

use tokio::sync::watch;

/// The readers of one fill.
#[derive(Debug, Default)]
pub(crate) struct Readers(watch::Sender<State>);

#[derive(Clone, Copy, Debug, Default)]
struct State {
    count: usize,
    /// No further reader is taken.
    closed: bool,
}

/// Counts as one reader while it lives; so does each clone.
#[derive(Debug)]
pub(crate) struct Reading(Arc<Readers>);

impl Readers {
    /// A new reader; `None` if the fill is closed to readers.
    pub(crate) fn join(self: &Arc<Self>) -> Option<Reading> {
        let joined = self.0.send_if_modified(|state| {
            if !state.closed {
                state.count += 1;
            }
            !state.closed
        });
        joined.then(|| Reading(Arc::clone(self)))
    }

    /// Closes to further readers if there is none now. Returns whether it is closed.
    pub(crate) fn close_if_unread(&self) -> bool {
        let mut closed = false;
        self.0.send_if_modified(|state| {
            state.closed |= state.count == 0;
            closed = state.closed;
            false
        });
        closed
    }

    /// Accepts no further readers, which would only see the failure.
    pub(crate) fn close(&self) {
        self.0.send_if_modified(|state| {
            state.closed = true;
            false
        });
    }

    /// Whether no further reader is taken.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.borrow().closed
    }

    /// Waits until there is a reader, or until there is none.
    pub(crate) async fn until(&self, somebody: bool) {
        // Cannot fail: the sending end is here.
        let _ = self
            .0
            .subscribe()
            .wait_for(|state| (state.count > 0) == somebody)
            .await;
    }
}

impl Clone for Reading {
    fn clone(&self) -> Self {
        self.0.0.send_modify(|state| state.count += 1);
        Self(Arc::clone(&self.0))
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0
            .0
            .send_modify(|state| state.count = state.count.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn readers_are_counted_and_none_comes_after_the_end() {
        let readers = Arc::new(Readers::default());
        readers.until(false).await;
        let one = readers.join().unwrap();
        let other = one.clone();
        drop(one);
        assert!(!readers.close_if_unread());
        readers.until(true).await;
        drop(other);
        readers.until(false).await;
        assert!(readers.close_if_unread());
        assert!(readers.join().is_none());
        let failing = Arc::new(Readers::default());
        let reads = failing.join();
        failing.close();
        assert!(reads.is_some() && failing.join().is_none());
    }
}
