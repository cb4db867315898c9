//! The bounded queue of images to be inspected: in order, each once. Images for which a pull waits
//! come first.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use metahub_oci::Digest;

use crate::access::location::Location;

/// Most queued images.
const MOST: usize = 1000;
/// How often an image is tried whose layers are not stored yet.
const ATTEMPTS: u32 = 5;
/// The delay after the first attempt; then four times as long each time.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// An image to inspect.
#[derive(Clone)]
pub(super) struct Job {
    pub(super) location: Location,
    pub(super) manifest: Digest,
    /// Whether a pull waits for it, so that its layers are fetched, and read without pause.
    pub(super) waited_for: bool,
    /// The client number of the pull (see `Registry`): its fetches count for that client.
    pub(super) client: i64,
    attempts: u32,
    due: Instant,
}

#[derive(Default)]
pub(super) struct Queue {
    jobs: VecDeque<Job>,
    known: HashSet<Digest>,
    /// Whether it is being read.
    pub(super) running: bool,
}

/// The result of queueing an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offered {
    Queued,
    /// It is queued already.
    Known,
    /// The queue is full: it, or another one, was dropped.
    Full,
}

/// The next job.
pub(super) enum Next {
    Job(Box<Job>),
    /// Nothing is due before then.
    At(Instant),
    Nothing,
}

impl Job {
    pub(super) fn new(location: Location, manifest: Digest, waited_for: bool, client: i64) -> Self {
        Self {
            location,
            manifest,
            waited_for,
            client,
            attempts: 0,
            due: Instant::now(),
        }
    }
}

impl Queue {
    pub(super) fn offer(&mut self, job: Job) -> Offered {
        if !self.known.insert(job.manifest.clone()) {
            if job.waited_for {
                self.hurry(job);
            }
            return Offered::Known;
        }
        let mut offered = Offered::Queued;
        if self.jobs.len() >= MOST {
            offered = Offered::Full;
            // An image that a pull waits for replaces one that none waits for.
            let other = self.jobs.iter().rposition(|other| !other.waited_for);
            let other = other.filter(|_| job.waited_for);
            match other.and_then(|at| self.jobs.remove(at)) {
                Some(other) => self.known.remove(&other.manifest),
                None => {
                    self.known.remove(&job.manifest);
                    return offered;
                }
            };
        }
        if job.waited_for {
            self.jobs.push_front(job);
        } else {
            self.jobs.push_back(job);
        }
        offered
    }

    /// Moves a queued image to the front; one that is being read is not queued.
    fn hurry(&mut self, job: Job) {
        let at = self
            .jobs
            .iter()
            .position(|one| one.manifest == job.manifest);
        if let Some(at) = at {
            self.jobs.remove(at);
            self.jobs.push_front(job);
        }
    }

    /// Takes the first that is due.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        let at = self.jobs.iter().position(|job| job.due <= now);
        if let Some(job) = at.and_then(|at| self.jobs.remove(at)) {
            return Next::Job(Box::new(job));
        }
        match self.jobs.iter().map(|job| job.due).min() {
            Some(due) => Next::At(due),
            None => Next::Nothing,
        }
    }

    /// Requeues an image whose layers are not stored. Returns whether it will be tried again.
    pub(super) fn later(&mut self, mut job: Job, now: Instant) -> bool {
        job.attempts += 1;
        if job.attempts >= ATTEMPTS {
            self.done(&job.manifest);
            return false;
        }
        job.due = now + FIRST_PAUSE * 4_u32.pow(job.attempts - 1);
        self.jobs.push_back(job);
        true
    }

    /// An image was read.
    pub(super) fn done(&mut self, manifest: &Digest) {
        self.known.remove(manifest);
    }
}

#[cfg(test)]
mod tests {
    use metahub_store::Store;

    use super::*;
    use crate::access::stored::StoredRepository;

    fn job(store: &Store, number: usize, waited_for: bool) -> Job {
        let location = Location::Local(StoredRepository::for_tests(store, "lab/app"));
        let digest = Digest::sha256(&number.to_le_bytes());
        Job::new(location, digest, waited_for, 0)
    }

    fn taken(queue: &mut Queue, now: Instant) -> Option<Digest> {
        match queue.next(now) {
            Next::Job(job) => Some(job.manifest),
            Next::At(_) | Next::Nothing => None,
        }
    }

    #[tokio::test]
    async fn any_number_of_images_takes_bounded_memory_and_none_waits_twice() {
        let store = Store::in_memory().await.unwrap();
        let mut queue = Queue::default();
        let offers: Vec<Offered> = (0..10 * MOST)
            .map(|number| queue.offer(job(&store, number, false)))
            .collect();
        assert_eq!(queue.jobs.len(), MOST);
        assert_eq!(queue.known.len(), MOST);
        assert_eq!(
            offers.iter().filter(|o| **o == Offered::Full).count(),
            9 * MOST
        );
        assert_eq!(queue.offer(job(&store, 3, false)), Offered::Known);
        // Pulls that wait push others out, and no more than there may be.
        for number in 0..2 * MOST {
            assert_eq!(
                queue.offer(job(&store, 20 * MOST + number, true)),
                Offered::Full
            );
            assert_eq!((queue.jobs.len(), queue.known.len()), (MOST, MOST));
        }
        // What dropped out may come again.
        assert!(taken(&mut queue, Instant::now()).is_some());
        assert_eq!(queue.offer(job(&store, 3, false)), Offered::Queued);
    }

    #[tokio::test]
    async fn what_a_pull_waits_for_comes_first() {
        let store = Store::in_memory().await.unwrap();
        let mut queue = Queue::default();
        for number in 0..3 {
            let _ = queue.offer(job(&store, number, false));
        }
        let _ = queue.offer(job(&store, 2, true));
        let _ = queue.offer(job(&store, 9, true));
        let now = Instant::now();
        let order: Vec<_> = std::iter::from_fn(|| taken(&mut queue, now)).collect();
        let expected = [9, 2, 0, 1].map(|number: usize| Digest::sha256(&number.to_le_bytes()));
        assert_eq!(order, expected);
    }

    #[tokio::test]
    async fn an_image_without_layers_is_looked_at_again_a_few_times() {
        let store = Store::in_memory().await.unwrap();
        let mut queue = Queue::default();
        let _ = queue.offer(job(&store, 1, false));
        let mut now = Instant::now();
        let mut looks = 0;
        loop {
            match queue.next(now) {
                Next::Job(job) => {
                    looks += 1;
                    let _ = queue.later(*job, now);
                }
                Next::At(due) => {
                    assert!(due > now);
                    now = due;
                }
                Next::Nothing => break,
            }
        }
        assert_eq!(looks, ATTEMPTS);
        assert!(queue.known.is_empty());
    }
}
