//! Turns in which connections send large parts of files.
//!
//! Sending a mebibyte takes a worker some 200 microseconds, and few system calls. Were every
//! connection to do so as it likes, a small answer would wait for all large ones that are before
//! it. So a connection waits for its turn, first come, first served; there are fewer turns at once
//! than workers, and before each the worker looks which sockets are ready: what is small is then
//! answered after one turn at most.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::PollSemaphore;

/// The turns of all connections.
#[derive(Clone, Debug)]
pub(crate) struct Turns(Arc<Semaphore>);

/// One connection's turn.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: PollSemaphore,
    permit: Option<OwnedSemaphorePermit>,
    /// Whether this worker is to look at the sockets first.
    look: bool,
}

impl Turns {
    /// As many as leave one worker of the runtime to all else.
    pub(crate) fn new() -> Self {
        let workers = Handle::try_current().map_or(1, |handle| handle.metrics().num_workers());
        Self(Arc::new(Semaphore::new(workers.saturating_sub(1).max(1))))
    }

    /// For one connection.
    pub(crate) fn turn(&self) -> Turn {
        Turn {
            turns: PollSemaphore::new(Arc::clone(&self.0)),
            permit: None,
            look: false,
        }
    }
}

impl Turn {
    /// Ready when it is this connection's turn.
    pub(crate) fn poll_begin(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.permit.is_none() {
            let polled = self.turns.poll_acquire(context);
            // Whoever hands a turn on does so on the same worker, without a look at the sockets.
            self.look |= polled.is_pending();
            self.permit = ready!(polled);
        }
        if std::mem::take(&mut self.look) {
            // Tokio polls a task that yields after it has looked at the sockets.
            let mut yielding = pin!(tokio::task::yield_now());
            if yielding.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }

    /// Lets others have theirs. `full`: the socket takes no more now.
    pub(crate) fn end(&mut self, full: bool) {
        self.permit = None;
        // Where it waits for the socket, that is looked at.
        self.look = !full;
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn who_waits_has_its_turn_before_who_had_one() {
        let turns = Turns::new();
        let (mut first, mut second) = (turns.turn(), turns.turn());
        poll_fn(|context| first.poll_begin(context)).await;
        let waiting = tokio::spawn(async move {
            poll_fn(|context| second.poll_begin(context)).await;
            second.end(false);
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        first.end(false);
        poll_fn(|context| first.poll_begin(context)).await;
        assert!(waiting.is_finished());
    }

    #[tokio::test]
    async fn a_connection_that_goes_leaves_its_turn_to_others() {
        let turns = Turns::new();
        let mut first = turns.turn();
        poll_fn(|context| first.poll_begin(context)).await;
        let mut second = turns.turn();
        let waiting = poll_fn(|context| second.poll_begin(context));
        let mut waiting = pin!(waiting);
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        drop(first);
        waiting.await;
    }

    #[tokio::test]
    async fn other_tasks_run_between_two_turns_of_one_connection() {
        let turns = Turns::new();
        let mut turn = turns.turn();
        for _ in 0..3 {
            let other = tokio::spawn(async {});
            turn.end(false);
            poll_fn(|context| turn.poll_begin(context)).await;
            assert!(other.is_finished());
        }
    }
}
