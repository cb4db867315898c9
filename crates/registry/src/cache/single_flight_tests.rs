//! Single flight under schedules that are tried one by one: each caller is a future that the test
//! polls, drops or lets panic, step by step, so nothing depends on time.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::AtomicBool as Flag;
use std::task::{Context, Poll, Wake, Waker};

use super::*;

type Key = &'static str;
type Running<'f> = Pin<Box<dyn Future<Output = Result<Landed<u64>, Busy>> + 'f>>;

/// Notes that somebody wants to be polled.
struct Bell(Flag);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// What the works of a case do.
#[derive(Default)]
struct Works {
    /// How many are under way.
    now: Cell<usize>,
    /// Whether two ever were.
    two: Cell<bool>,
    /// Which ended.
    ended: RefCell<BTreeSet<u64>>,
}

/// Work that takes `steps` polls, and panics at the end if it is to.
async fn work(works: Rc<Works>, number: u64, steps: usize, panics: bool) -> u64 {
    struct UnderWay(Rc<Works>);
    impl Drop for UnderWay {
        fn drop(&mut self) {
            self.0.now.set(self.0.now.get() - 1);
        }
    }
    works.now.set(works.now.get() + 1);
    let _under_way = UnderWay(Rc::clone(&works));
    works.two.set(works.two.get() || works.now.get() > 1);
    for _ in 0..steps {
        let mut polled = false;
        poll_fn(|context| {
            if std::mem::replace(&mut polled, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
    if panics {
        // As a panic, without its message.
        std::panic::resume_unwind(Box::new("on purpose"));
    }
    works.ended.borrow_mut().insert(number);
    number
}

/// One caller, and whether it asked to be polled.
struct Caller<'f> {
    running: Option<Running<'f>>,
    bell: Arc<Bell>,
    came: Option<Result<Landed<u64>, Busy>>,
}

impl<'f> Caller<'f> {
    fn new(running: Running<'f>) -> Self {
        Self {
            running: Some(running),
            bell: Arc::new(Bell(Flag::new(true))),
            came: None,
        }
    }

    /// Polls it once; it is gone if it panics or is through.
    fn poll(&mut self) {
        let Some(running) = &mut self.running else {
            return;
        };
        self.bell.0.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&self.bell));
        let mut context = Context::from_waker(&waker);
        let polled = catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(&mut context)));
        match polled {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(came)) => {
                self.came = Some(came);
                self.running = None;
            }
            Err(_) => self.running = None,
        }
    }

    /// Whether it waits to be polled, as an executor sees it.
    fn rings(&self) -> bool {
        self.running.is_some() && self.bell.0.load(Ordering::SeqCst)
    }
}

fn flights() -> SingleFlight<Key, u64> {
    SingleFlight::new(Limits::default(), |_| 100)
}

fn assert_empty(flights: &SingleFlight<Key, u64>) {
    let state = flights.state.lock();
    assert_eq!((state.flights.len(), state.callers, state.bytes), (0, 0, 0));
}

/// Polls those that ask for it until none is left. One that nobody wakes is a failure.
fn finish(callers: &mut [Caller<'_>]) {
    while callers.iter().any(|caller| caller.running.is_some()) {
        let Some(next) = callers.iter_mut().find(|caller| caller.rings()) else {
            panic!("somebody waits, and nobody wakes it");
        };
        next.poll();
    }
}

/// Three callers under every schedule of six steps; a step polls a caller or drops it.
#[test]
fn under_every_schedule_one_works_at_a_time_and_all_who_stay_get_a_result() {
    const CALLERS: usize = 3;
    const STEPS: u32 = 6;
    let actions = 2 * CALLERS;
    let mut cases = 0;
    for schedule in 0..actions.pow(STEPS) {
        for panics in [None, Some(0)] {
            let (flights, works) = (flights(), Rc::new(Works::default()));
            let mut callers: Vec<Caller<'_>> = (0..CALLERS)
                .map(|number| {
                    let panics = panics == Some(number);
                    let work = work(Rc::clone(&works), number as u64, 2, panics);
                    Caller::new(Box::pin(flights.run("key", work)))
                })
                .collect();
            let (mut rest, mut dropped) = (schedule, BTreeSet::new());
            for _ in 0..STEPS {
                let (action, caller) = (rest / CALLERS % 2, rest % CALLERS);
                rest /= actions;
                if action == 0 {
                    callers[caller].poll();
                } else if callers[caller].running.take().is_some() {
                    dropped.insert(caller);
                }
            }
            finish(&mut callers);
            for (number, caller) in callers.iter().enumerate() {
                let gone = dropped.contains(&number) || panics == Some(number);
                match &caller.came {
                    Some(Ok(landed)) => {
                        assert!(works.ended.borrow().contains(&landed.value), "{schedule}");
                        assert_eq!(landed.led, landed.value == number as u64, "{schedule}");
                    }
                    Some(Err(Busy)) => panic!("there was room: {schedule}"),
                    None => assert!(gone, "{number} got nothing: {schedule}"),
                }
            }
            assert!(!works.two.get(), "one works at a time: {schedule}");
            drop(callers);
            assert_empty(&flights);
            cases += 1;
        }
    }
    assert_eq!(cases, 2 * 6_usize.pow(STEPS));
}

/// The leader's work has five points at which it waits: it is cancelled at each, and panics after
/// each.
#[test]
fn a_leader_that_leaves_at_any_point_is_replaced() {
    const POINTS: usize = 5;
    for point in 1..=POINTS {
        for panics in [false, true] {
            let (flights, works) = (flights(), Rc::new(Works::default()));
            let steps = if panics { point } else { POINTS };
            let leader = flights.run("key", work(Rc::clone(&works), 0, steps, panics));
            let follower = flights.run("key", work(Rc::clone(&works), 1, 1, false));
            let mut leader = Caller::new(Box::pin(leader));
            let mut follower = [Caller::new(Box::pin(follower))];
            for _ in 0..point {
                leader.poll();
                follower[0].poll();
                assert!(leader.running.is_some() && follower[0].running.is_some());
            }
            if panics {
                leader.poll();
                assert!(leader.running.is_none() && leader.came.is_none());
            } else {
                leader.running = None;
            }
            finish(&mut follower);
            let landed = follower[0].came.take().unwrap().unwrap();
            assert_eq!((landed.value, landed.led), (1, true), "{point} {panics}");
            assert!(!works.two.get());
            assert_empty(&flights);
        }
    }
}

#[test]
fn what_came_is_not_remembered() {
    let (flights, works) = (flights(), Rc::new(Works::default()));
    for number in 0..3 {
        let running = flights.run("key", work(Rc::clone(&works), number, 0, false));
        let mut caller = [Caller::new(Box::pin(running))];
        finish(&mut caller);
        let landed = caller[0].came.take().unwrap().unwrap();
        assert_eq!((landed.value, landed.led), (number, true));
        assert_empty(&flights);
    }
}

#[test]
fn keys_do_not_wait_for_each_other() {
    let flights = flights();
    let waits = flights.run("one", std::future::pending());
    let mut waits = [Caller::new(Box::pin(waits))];
    waits[0].poll();
    let other = flights.run("other", async { 7 });
    let mut other = [Caller::new(Box::pin(other))];
    finish(&mut other);
    assert_eq!(other[0].came.take().unwrap().unwrap().value, 7);
    assert_eq!(flights.len(), 1);
    drop(waits);
    assert_empty(&flights);
}

#[test]
fn callers_beyond_the_bound_are_told_so_until_one_leaves() {
    let limits = Limits {
        callers: 2,
        ..Limits::default()
    };
    let flights = SingleFlight::new(limits, |_: &u64| 0);
    let mut callers: Vec<Caller<'_>> = (0..3)
        .map(|_| Caller::new(Box::pin(flights.run("key", std::future::pending()))))
        .collect();
    callers.iter_mut().for_each(Caller::poll);
    assert!(matches!(callers[2].came, Some(Err(Busy))));
    callers.remove(0);
    let mut next = Caller::new(Box::pin(flights.run("other", async { 1 })));
    next.poll();
    assert!(matches!(next.came, Some(Ok(_))));
    drop((callers, next));
    assert_empty(&flights);
}

#[test]
fn a_result_counts_until_all_who_waited_have_it() {
    let limits = Limits {
        callers: 100,
        bytes: 3 * KEY,
    };
    let flights = SingleFlight::new(limits, |_: &u64| 10 * KEY);
    let steps = Rc::new(Works::default());
    let leader = flights.run("key", work(steps, 1, 1, false));
    let mut leader = Caller::new(Box::pin(leader));
    leader.poll();
    let mut follower = Caller::new(Box::pin(flights.run("key", async { 2 })));
    follower.poll();
    leader.poll();
    assert!(matches!(leader.came, Some(Ok(_))));
    // The follower has not taken it yet.
    let mut refused = Caller::new(Box::pin(flights.run("other", async { 3 })));
    refused.poll();
    assert!(matches!(refused.came, Some(Err(Busy))));
    follower.poll();
    assert!(matches!(&follower.came, Some(Ok(landed)) if landed.value == 1 && !landed.led));
    let mut next = Caller::new(Box::pin(flights.run("other", async { 3 })));
    next.poll();
    assert!(matches!(next.came, Some(Ok(_))));
    drop((leader, follower, refused, next));
    assert_empty(&flights);
}
