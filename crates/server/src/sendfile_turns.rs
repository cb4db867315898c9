//! Turns in which connections send large parts of files.
//!
//! Sending a mebibyte takes a worker some 200 microseconds, and few system calls. Were every
//! connection to do so as it likes, a small answer would wait for all large ones that are before
//! it. So a connection waits for its turn, first come, first served; there are fewer turns at once
//! than workers, so that one worker is left for what is small. Where there is one worker only, it
//! looks which sockets are ready before a turn, unless little was sent since it last looked. While
//! small answers are asked for, turns are short.

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
/// After how much one worker alone looks at the sockets before it sends more, in bytes; while small
/// answers are asked for, after every turn.
const UNSEEN: u64 = 4 * 1024 * 1024;
/// How long after a small answer others are expected.
const EXPECTED: Duration = Duration::from_millis(20);

/// The turns of all connections.
#[derive(Clone, Debug)]
pub(crate) struct Turns {
    permits: Arc<Semaphore>,
    small: Arc<SmallAnswers>,
    sockets: Sockets,
}

/// Who looks which sockets are ready while files are sent.
#[derive(Clone, Debug)]
enum Sockets {
    /// A worker that is left for that.
    AnotherWorker,
    /// Nobody, unless the one worker stops to send: how much it sent since it last looked.
    Unseen(Arc<AtomicU64>),
}

impl Sockets {
    /// Notes that `count` bytes were sent.
    fn sent(&self, count: u64) {
        if let Self::Unseen(unseen) = self {
            unseen.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Whether `most` bytes or more were sent since the last look.
    fn are_unseen(&self, most: u64) -> bool {
        match self {
            Self::AnotherWorker => false,
            Self::Unseen(unseen) => unseen.load(Ordering::Relaxed) >= most,
        }
    }

    /// Notes that they were looked at.
    fn seen(&self) {
        if let Self::Unseen(unseen) = self {
            unseen.store(0, Ordering::Relaxed);
        }
    }
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
    sockets: Sockets,
    permit: Option<OwnedSemaphorePermit>,
    /// Whether this worker looks at the sockets first.
    look: Look,
    looked: Arc<Looked>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// None is due.
    None,
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
        let sockets = if permits < workers {
            Sockets::AnotherWorker
        } else {
            Sockets::Unseen(Arc::default())
        };
        Self {
            permits: Arc::new(Semaphore::new(permits)),
            sockets,
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
            sockets: self.sockets.clone(),
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
            self.permit = ready!(polled);
        }
        // A turn is handed on within one worker, without a look at the sockets.
        let most = if self.small.are_expected() { 1 } else { UNSEEN };
        if self.look == Look::None && self.sockets.are_unseen(most) {
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
            self.sockets.seen();
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

    /// Lets others have theirs, after `count` bytes were sent.
    pub(crate) fn end(&mut self, count: usize) {
        self.permit = None;
        self.sockets.sent(count as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const MUCH: usize = UNSEEN as usize;

    #[tokio::test]
    async fn who_waits_has_its_turn_before_who_had_one() {
        let turns = Turns::new();
        let (mut first, mut second) = (turns.turn(), turns.turn());
        poll_fn(|context| first.poll_begin(context)).await;
        let waiting = tokio::spawn(async move {
            poll_fn(|context| second.poll_begin(context)).await;
            second.end(1);
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        first.end(1);
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
        turn.end(MUCH);
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
            turn.end(MUCH);
            poll_fn(|context| turn.poll_begin(context)).await;
            assert!(other.is_finished());
        }
    }

    /// How often a task is polled until it had `turns` more turns of `count` bytes.
    async fn polls(turn: &mut Turn, turns: usize, count: usize) -> usize {
        let mut polls = 0;
        for _ in 0..turns {
            turn.end(count);
            poll_fn(|context| {
                polls += 1;
                turn.poll_begin(context)
            })
            .await;
        }
        polls
    }

    #[tokio::test]
    async fn one_worker_looks_at_the_sockets_once_for_much_that_all_connections_sent() {
        let turns = Turns::new();
        let (mut first, mut second) = (turns.turn(), turns.turn());
        assert_eq!(polls(&mut first, 4, MUCH).await, 8);
        assert_eq!(polls(&mut first, 3, MUCH / 4).await, 3);
        first.end(0);
        assert_eq!(polls(&mut second, 1, MUCH / 4).await, 2);
        assert_eq!(polls(&mut second, 3, MUCH / 4).await, 3);
        // While small answers are asked for, after every turn.
        turns.answered(700);
        assert_eq!(polls(&mut second, 3, SHORT).await, 6);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_worker_that_is_left_looks_at_the_sockets() {
        let mut turn = Turns::new().turn();
        assert_eq!(polls(&mut turn, 4, MUCH).await, 4);
    }
}
