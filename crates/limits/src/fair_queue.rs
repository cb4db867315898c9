//! A queue in which client networks take turns: a few callers run at once, and the waiting ones are
//! served round robin among networks, first come first served within one. A network that fills its
//! own part of the queue neither delays others for long nor keeps them out.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::Network;

/// Too many wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many wait for their turn")]
pub struct QueueFull;

/// The queue. Cheap to clone.
#[derive(Clone, Debug)]
pub struct FairQueue(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    at_once: usize,
    each: usize,
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    waiting: usize,
    next_id: u64,
    /// Never contains an empty queue.
    queues: HashMap<Network, VecDeque<Waiting>>,
    /// The networks with waiting requests, the next one first.
    order: VecDeque<Network>,
}

#[derive(Debug)]
struct Waiting {
    id: u64,
    sender: oneshot::Sender<Turn>,
}

impl FairQueue {
    /// `at_once` turns at a time; up to `each` of one network and `most` of all wait for theirs.
    #[must_use]
    pub fn new(at_once: usize, each: usize, most: usize) -> Self {
        Self(Arc::new(Inner {
            at_once: at_once.max(1),
            each,
            most,
            state: Mutex::default(),
        }))
    }

    /// Waits for a turn, which lasts until it is dropped.
    ///
    /// # Errors
    /// As many of this network wait as may. Or as many of all do, and no network has more waiting
    /// than this one; else the last one of the longest queue is refused instead.
    pub async fn turn(&self, network: Network) -> Result<Turn, QueueFull> {
        let receiver = {
            let mut state = self.0.state.lock();
            if state.running < self.0.at_once {
                state.running += 1;
                return Ok(Turn(Arc::clone(&self.0)));
            }
            let (id, receiver, refused) = state.join(network, self.0.each, self.0.most)?;
            drop(state);
            drop(refused);
            Place {
                inner: Arc::clone(&self.0),
                network,
                id,
                receiver,
            }
        };
        receiver.granted().await
    }

    /// How many have a turn now.
    #[must_use]
    pub fn running(&self) -> usize {
        self.0.state.lock().running
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.state.lock().waiting
    }
}

type Joined = (u64, oneshot::Receiver<Turn>, Option<Waiting>);

impl State {
    /// Puts a request at the end of the network's queue. Returns also the request that was refused
    /// for it, if any.
    fn join(&mut self, network: Network, each: usize, most: usize) -> Result<Joined, QueueFull> {
        let own = self.queues.get(&network).map_or(0, VecDeque::len);
        if own >= each {
            return Err(QueueFull);
        }
        let refused = if self.waiting >= most {
            Some(self.refuse_one_of_the_longest(own + 1)?)
        } else {
            None
        };
        let (sender, receiver) = oneshot::channel();
        let id = self.next_id;
        self.next_id += 1;
        let queue = self.queues.entry(network).or_default();
        if queue.is_empty() {
            self.order.push_back(network);
        }
        queue.push_back(Waiting { id, sender });
        self.waiting += 1;
        Ok((id, receiver, refused))
    }

    /// Takes the last one out of the longest queue, if that is longer than `than`.
    fn refuse_one_of_the_longest(&mut self, than: usize) -> Result<Waiting, QueueFull> {
        let longest = self.queues.values_mut().max_by_key(|queue| queue.len());
        let refused = longest
            .filter(|queue| queue.len() > than)
            .and_then(VecDeque::pop_back)
            .ok_or(QueueFull)?;
        self.waiting -= 1;
        Ok(refused)
    }

    /// The next request.
    fn next(&mut self) -> Option<Waiting> {
        let network = self.order.pop_front()?;
        let queue = self.queues.get_mut(&network)?;
        let next = queue.pop_front();
        if queue.is_empty() {
            self.queues.remove(&network);
        } else {
            self.order.push_back(network);
        }
        self.waiting -= usize::from(next.is_some());
        next
    }

    /// Removes a request that no longer waits.
    fn leave(&mut self, network: Network, id: u64) {
        let Some(queue) = self.queues.get_mut(&network) else {
            return;
        };
        let before = queue.len();
        queue.retain(|waiting| waiting.id != id);
        self.waiting -= before - queue.len();
        if queue.is_empty() {
            self.queues.remove(&network);
            self.order.retain(|waiting| *waiting != network);
        }
    }
}

/// A request's place in the queue, left when dropped.
struct Place {
    inner: Arc<Inner>,
    network: Network,
    id: u64,
    receiver: oneshot::Receiver<Turn>,
}

impl Place {
    async fn granted(mut self) -> Result<Turn, QueueFull> {
        (&mut self.receiver).await.map_err(|_| QueueFull)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.inner.state.lock().leave(self.network, self.id);
    }
}

/// A turn; the next one begins when it is dropped.
#[derive(Debug)]
pub struct Turn(Arc<Inner>);

impl Drop for Turn {
    fn drop(&mut self) {
        let next = {
            let mut state = self.0.state.lock();
            let next = state.next();
            if next.is_none() {
                state.running -= 1;
            }
            next
        };
        if let Some(next) = next {
            // A request that left at this moment returns its turn, which goes to the next one.
            drop(next.sender.send(Self(Arc::clone(&self.0))));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use proptest::prelude::*;

    use super::*;

    fn network(number: u8) -> Network {
        Network::of([192, 0, 2, number].into())
    }

    type Asking = Pin<Box<dyn Future<Output = Result<Turn, QueueFull>>>>;

    fn ask(queue: &FairQueue, who: u8) -> Asking {
        let queue = queue.clone();
        let mut asking: Asking = Box::pin(async move { queue.turn(network(who)).await });
        // It takes its place when it is first polled.
        match poll(&mut asking) {
            Poll::Pending => asking,
            Poll::Ready(outcome) => Box::pin(std::future::ready(outcome)),
        }
    }

    fn poll(asking: &mut Asking) -> Poll<Result<Turn, QueueFull>> {
        asking
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
    }

    #[track_caller]
    fn has_turn(asking: &mut Asking) -> Turn {
        match poll(asking) {
            Poll::Ready(Ok(turn)) => turn,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_network_with_many_waiting_delays_another_by_one_turn() {
        let queue = FairQueue::new(1, 100, 1000);
        let mut turn = has_turn(&mut ask(&queue, 1));
        let mut many: Vec<Asking> = (0..100).map(|_| ask(&queue, 1)).collect();
        assert!(matches!(
            poll(&mut ask(&queue, 1)),
            Poll::Ready(Err(QueueFull))
        ));
        let mut other = ask(&queue, 2);
        drop(turn);
        turn = has_turn(&mut many[0]);
        assert!(poll(&mut other).is_pending());
        drop(turn);
        drop(has_turn(&mut other));
        assert_eq!((queue.running(), queue.waiting()), (1, 98));
        drop(many);
        assert_eq!((queue.running(), queue.waiting()), (0, 0));
    }

    #[test]
    fn a_full_queue_refuses_one_of_the_network_with_most_in_it() {
        let queue = FairQueue::new(1, 10, 10);
        let turn = has_turn(&mut ask(&queue, 1));
        let mut many: Vec<Asking> = (0..10).map(|_| ask(&queue, 1)).collect();
        let mut other = ask(&queue, 2);
        assert!(poll(&mut other).is_pending());
        assert!(matches!(poll(&mut many[9]), Poll::Ready(Err(QueueFull))));
        assert_eq!(queue.waiting(), 10);
        drop(turn);
        drop(has_turn(&mut many[0]));
        drop(has_turn(&mut other));
    }

    #[test]
    fn a_caller_that_leaves_frees_the_place_and_passes_the_turn_on() {
        let queue = FairQueue::new(1, 10, 10);
        let turn = has_turn(&mut ask(&queue, 1));
        let (first, mut second, third) = (ask(&queue, 1), ask(&queue, 1), ask(&queue, 2));
        drop(third);
        assert_eq!(queue.waiting(), 2);
        // The turn is handed to the first, which leaves without ever looking at it.
        drop(turn);
        drop(first);
        drop(has_turn(&mut second));
        assert_eq!((queue.running(), queue.waiting()), (0, 0));
    }

    #[test]
    fn a_future_that_is_never_polled_takes_no_place() {
        let queue = FairQueue::new(1, 10, 10);
        drop(queue.turn(network(1)));
        assert_eq!((queue.running(), queue.waiting()), (0, 0));
    }

    proptest! {
        /// Whatever is asked, granted and left in whatever order: no more turns than there are,
        /// none while somebody waits, and nothing is left over.
        #[test]
        fn turns_and_places_never_leak(
            at_once in 1usize..4, each in 1usize..5, most in 1usize..9,
            steps in prop::collection::vec((0u8..4, 0u8..4), 0..80)
        ) {
            let queue = FairQueue::new(at_once, each, most);
            let mut asking: Vec<Asking> = Vec::new();
            let mut turns: Vec<Turn> = Vec::new();
            for (who, step) in steps {
                let at = usize::from(who);
                match step {
                    0 | 1 => asking.push(ask(&queue, who)),
                    2 if at < asking.len() => drop(asking.remove(at)),
                    3 if at < turns.len() => drop(turns.remove(at)),
                    _ => {}
                }
                let mut still = Vec::new();
                for mut one in asking {
                    match poll(&mut one) {
                        Poll::Ready(Ok(turn)) => turns.push(turn),
                        Poll::Ready(Err(QueueFull)) => {}
                        Poll::Pending => still.push(one),
                    }
                }
                asking = still;
                prop_assert_eq!(queue.running(), turns.len());
                prop_assert_eq!(queue.waiting(), asking.len());
                prop_assert!(turns.len() <= at_once && asking.len() <= most);
                prop_assert!(asking.is_empty() || turns.len() == at_once);
            }
            drop(asking);
            drop(turns);
            prop_assert_eq!((queue.running(), queue.waiting()), (0, 0));
            let state = queue.0.state.lock();
            prop_assert!(state.queues.is_empty() && state.order.is_empty());
        }
    }
}
