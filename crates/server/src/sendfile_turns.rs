//! Turns in which connections send large parts of files.
//!
//! Sending a mebibyte takes a worker some 200 microseconds, and few system calls. Were every
//! connection to do so as it likes, a small answer would wait for all large ones that are before
//! it. So a connection waits for its turn, first come, first served; there are fewer turns at once
//! than workers, and before each the worker looks which sockets are ready: what is small is then
//! answered after one turn at most. While small answers are asked for, turns are short.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::PollSemaphore;

/// The largest part of a file that is sent without waiting for a turn, and the largest answer that
/// is small, in bytes: that takes some 15 microseconds.
pub(crate) const SMALL: usize = 64 * 1024;
/// A turn while small answers are asked for, in bytes.
const SHORT: usize = 128 * 1024;
/// How long after a small answer others are expected.
const EXPECTED: Duration = Duration::from_millis(5);

/// The turns of all connections.
#[derive(Clone, Debug)]
pub(crate) struct Turns {
    permits: Arc<Semaphore>,
    small: Arc<SmallAnswers>,
}

/// When the last small answer was given, in microseconds since `start`; 0 where none was.
#[derive(Debug)]
struct SmallAnswers {
    start: Instant,
    last: AtomicU64,
}

impl SmallAnswers {
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn are_expected(&self) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        let expected = u64::try_from(EXPECTED.as_micros()).unwrap_or(u64::MAX);
        last > 0 && self.now().saturating_sub(last) < expected
    }
}

/// One connection's turn.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: PollSemaphore,
    small: Arc<SmallAnswers>,
    permit: Option<OwnedSemaphorePermit>,
    /// Whether this worker is to look at the sockets first, or does so.
    look: Look,
    looked: Arc<Looked>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// They were looked at since the last turn.
    None,
    Needed,
    /// The task yields, to be woken after it.
    Begun,
}

/// Whether the sockets were looked at. hyper asks a connection several times in one go, so that
/// being asked again says nothing.
#[derive(Debug, Default)]
struct Looked {
    done: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Looked {
    fn wake(self: Arc<Self>) {
        self.done.store(true, Ordering::Release);
        self.task.wake();
    }
}

impl Turns {
    /// As many as leave one worker of the runtime to all else.
    pub(crate) fn new() -> Self {
        let workers = Handle::try_current().map_or(1, |handle| handle.metrics().num_workers());
        let permits = workers.saturating_sub(1).max(1);
        Self {
            permits: Arc::new(Semaphore::new(permits)),
            small: Arc::new(SmallAnswers {
                start: Instant::now(),
                last: AtomicU64::new(0),
            }),
        }
    }

    /// Notes that an answer of `length` bytes is given.
    pub(crate) fn answered(&self, length: u64) {
        if length <= SMALL as u64 {
            self.small
                .last
                .store(self.small.now().max(1), Ordering::Relaxed);
        }
    }

    /// For one connection.
    pub(crate) fn turn(&self) -> Turn {
        Turn {
            turns: PollSemaphore::new(Arc::clone(&self.permits)),
            small: Arc::clone(&self.small),
            permit: None,
            look: Look::None,
            looked: Arc::default(),
        }
    }
}

impl Turn {
    /// Ready when it is this connection's turn.
    pub(crate) fn poll_begin(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.permit.is_none() {
            let polled = self.turns.poll_acquire(context);
            // Whoever hands a turn on does so on the same worker, without a look at the sockets.
            if polled.is_pending() && self.look == Look::None {
                self.look = Look::Needed;
            }
            self.permit = ready!(polled);
        }
        if self.look == Look::Needed {
            self.looked.done.store(false, Ordering::Relaxed);
            // Tokio wakes who yields after it has looked at the sockets.
            let waker = Waker::from(Arc::clone(&self.looked));
            let yielding = pin!(tokio::task::yield_now());
            let _ = yielding.poll(&mut Context::from_waker(&waker));
            self.look = Look::Begun;
        }
        if self.look == Look::Begun {
            self.looked.task.register(context.waker());
            if !self.looked.done.load(Ordering::Acquire) {
                return Poll::Pending;
            }
            self.look = Look::None;
        }
        Poll::Ready(())
    }

    /// How much of `length` bytes may be sent in this turn.
    pub(crate) fn most(&self, length: usize) -> usize {
        if self.small.are_expected() {
            length.min(SHORT)
        } else {
            length
        }
    }

    /// Lets others have theirs. `full`: the socket takes no more now.
    pub(crate) fn end(&mut self, full: bool) {
        self.permit = None;
        // Where it waits for the socket, that is looked at.
        self.look = if full { Look::None } else { Look::Needed };
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
    async fn turns_are_short_while_small_answers_are_asked_for() {
        let mut turns = Turns::new();
        let length = 16 * SHORT;
        assert_eq!(turns.turn().most(length), length);
        turns.answered(length as u64);
        assert_eq!(turns.turn().most(length), length);
        turns.answered(700);
        assert_eq!(turns.turn().most(length), SHORT);
        assert_eq!(turns.turn().most(7), 7);
        // Long ago.
        let start = Instant::now().checked_sub(2 * EXPECTED).unwrap();
        let last = AtomicU64::new(1);
        turns.small = Arc::new(SmallAnswers { start, last });
        assert_eq!(turns.turn().most(length), length);
    }

    #[tokio::test]
    async fn to_be_asked_again_is_no_look_at_the_sockets() {
        let mut turn = Turns::new().turn();
        turn.end(false);
        let mut polls = 0;
        poll_fn(|context| {
            polls += 1;
            let first = turn.poll_begin(context);
            assert_eq!(first, turn.poll_begin(context));
            first
        })
        .await;
        assert_eq!(polls, 2);
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
