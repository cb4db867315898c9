//! Checks passwords without stalling the server: on blocking threads, a few at a time and in as
//! many buffers, each distinct check done once, and successes cached briefly. Client networks take
//! turns, so that one which asks without end delays others by one check; every check counts as a
//! failed guess until it succeeds.
//!
//! A result is cached under a keyed hash of the password and of the stored hash it was checked
//! against, so that a changed password is never answered from the cache.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use metahub_limits::{FairQueue, Network};
use moka::future::Cache;

use crate::hash_memory::HashMemory;
use crate::limiter::{Limiter, TooMany, WINDOW};
use crate::memory_key::MemoryKey;
use crate::password::nobodys_hash;
use crate::{AuthError, Password, PasswordHash};

/// How long a right password needs no new check, unless the stored hash changes.
const REMEMBER: Duration = Duration::from_secs(60);
/// Most accepted passwords that are cached.
const CAPACITY: u64 = 10_000;
/// Distinct checks of one network that may wait. At about 20 ms each that is a second or two; a
/// later one is refused with a time to retry.
const WAITING_EACH: usize = 64;
/// The same of all networks together.
const WAITING: usize = 512;
const RETRY_AFTER: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug)]
enum CheckFailure {
    Wrong,
    Busy,
    Guessing,
    Broken,
}

#[derive(Debug, thiserror::Error)]
#[error("a password could not be checked: the thread that should have done so failed")]
struct CheckFailed;

#[derive(Debug)]
pub(crate) struct Verifier {
    key: MemoryKey,
    right: Cache<[u8; 32], ()>,
    queue: FairQueue,
    memory: Arc<HashMemory>,
    limiter: Limiter,
    nobody: PasswordHash,
}

impl Verifier {
    pub(crate) fn new() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let at_once = threads.div_ceil(2);
        Self {
            key: MemoryKey::random(),
            right: Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_live(REMEMBER)
                .build(),
            queue: FairQueue::new(at_once, WAITING_EACH, WAITING),
            memory: Arc::new(HashMemory::new(at_once)),
            limiter: Limiter::new(),
            nobody: nobodys_hash(),
        }
    }

    /// Whether `password` was recently verified against this stored hash.
    pub(crate) async fn remembers(
        &self,
        name: &str,
        stored: &PasswordHash,
        password: &Password,
    ) -> bool {
        let key = self.key.hash(&[name, stored.as_str(), password.expose()]);
        self.right.get(&key).await.is_some()
    }

    /// Whether `password` matches `stored`. Without a stored hash the answer is no, after as much
    /// work. `name` separates the checks of different names; `from` is the client's address, by
    /// which wrong guesses are counted.
    pub(crate) async fn verify(
        &self,
        name: &str,
        stored: Option<&PasswordHash>,
        password: &Password,
        from: Option<IpAddr>,
    ) -> Result<bool, AuthError> {
        let hash = stored.unwrap_or(&self.nobody);
        let key = self.key.hash(&[name, hash.as_str(), password.expose()]);
        match self
            .right
            .try_get_with(key, self.compute(name, hash, password, from))
            .await
        {
            Ok(()) => Ok(stored.is_some()),
            Err(failure) => match *failure {
                CheckFailure::Wrong => Ok(false),
                CheckFailure::Busy => Err(AuthError::TooMany {
                    retry_after: RETRY_AFTER,
                }),
                CheckFailure::Guessing => Err(AuthError::TooMany {
                    retry_after: WINDOW,
                }),
                CheckFailure::Broken => Err(AuthError::unavailable(CheckFailed)),
            },
        }
    }

    async fn compute(
        &self,
        name: &str,
        hash: &PasswordHash,
        password: &Password,
        from: Option<IpAddr>,
    ) -> Result<(), CheckFailure> {
        let attempt = Limiter::attempt(name, from);
        let begun = self.limiter.begin(attempt).await;
        let tried = begun.map_err(|TooMany| CheckFailure::Guessing)?;
        let Ok(turn) = self.queue.turn(Network::from(from)).await else {
            tried.was_not_checked();
            return Err(CheckFailure::Busy);
        };
        let (hash, password) = (hash.clone(), password.clone());
        let memory = Arc::clone(&self.memory);
        let right = tokio::task::spawn_blocking(move || {
            // Held here, not in the future: a client that goes away does not free the thread.
            let _turn = turn;
            memory.with(|blocks| hash.matches_in(&password, blocks))
        });
        match right.await {
            Ok(true) => {
                self.limiter.succeeded(tried).await;
                Ok(())
            }
            Ok(false) => Err(CheckFailure::Wrong),
            Err(_) => {
                tried.was_not_checked();
                Err(CheckFailure::Broken)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limiter::MAX_FAILURES;
    use crate::password::HashCost;

    fn address(number: u8) -> Option<IpAddr> {
        Some([192, 0, 2, number].into())
    }

    #[tokio::test]
    async fn a_right_password_is_right_and_a_changed_hash_is_asked_anew() {
        let verifier = Verifier::new();
        let (old, new) = (Password::new("old password"), Password::new("new password"));
        let hash = |password| PasswordHash::compute(password, HashCost::CHEAP).unwrap();
        let verify = async |stored: &PasswordHash, password: &Password| {
            verifier
                .verify("a", Some(stored), password, None)
                .await
                .unwrap()
        };
        let stored = hash(&old);
        assert!(verify(&stored, &old).await);
        assert!(verify(&stored, &old).await);
        assert!(!verify(&stored, &new).await);
        let changed = hash(&new);
        assert!(!verify(&changed, &old).await);
        assert!(verify(&changed, &new).await);
    }

    #[tokio::test]
    async fn nobody_has_a_right_password() {
        let verifier = Verifier::new();
        let answer = verifier.verify("a", None, &Password::new(""), None).await;
        assert!(!answer.unwrap());
    }

    #[tokio::test]
    async fn of_many_guesses_at_once_only_as_many_are_checked_as_may_fail() {
        let verifier = Verifier::new();
        let stored = PasswordHash::compute(&Password::new("secret"), HashCost::CHEAP).unwrap();
        let guesses = (0..200).map(|number| {
            let guess = Password::new(format!("guess {number}"));
            let (verifier, stored) = (&verifier, &stored);
            async move { verifier.verify("a", Some(stored), &guess, address(1)).await }
        });
        let answers = futures_util::future::join_all(guesses).await;
        let checked = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(checked, MAX_FAILURES as usize);
        // The account's owner can log in from elsewhere.
        let right = Password::new("secret");
        let owner = verifier
            .verify("a", Some(&stored), &right, address(2))
            .await;
        assert!(owner.unwrap());
    }

    #[tokio::test]
    async fn the_right_password_asked_often_at_once_is_one_question() {
        let verifier = Verifier::new();
        let (right, stored) = right();
        let asked = (0..100).map(|_| verifier.verify("a", Some(&stored), &right, address(1)));
        for answer in futures_util::future::join_all(asked).await {
            assert!(answer.unwrap());
        }
    }

    fn right() -> (Password, PasswordHash) {
        let right = Password::new("secret");
        let stored = PasswordHash::compute(&right, HashCost::CHEAP).unwrap();
        (right, stored)
    }

    /// Waits, without a clock, until `found` holds.
    async fn until(found: impl Fn() -> bool) {
        while !found() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn made_up_names_of_one_address_keep_nobody_else_from_logging_in() {
        let verifier = Arc::new(Verifier::new());
        let mut held = Vec::new();
        while let Ok(Ok(turn)) = held_turn(&verifier).await {
            held.push(turn);
        }
        let flood: Vec<_> = (0..200)
            .map(|number| {
                let verifier = Arc::clone(&verifier);
                tokio::spawn(async move {
                    let (name, password) = (format!("made-up-{number}"), Password::new("x"));
                    verifier.verify(&name, None, &password, address(1)).await
                })
            })
            .collect();
        until(|| verifier.queue.waiting() == WAITING_EACH).await;
        let (right, stored) = right();
        let owner = tokio::spawn({
            let verifier = Arc::clone(&verifier);
            async move {
                verifier
                    .verify("a", Some(&stored), &right, address(2))
                    .await
            }
        });
        until(|| verifier.queue.waiting() == WAITING_EACH + 1).await;
        drop(held);
        assert!(owner.await.unwrap().unwrap());
        // One check of the flood went before, and as many at most as are done at once.
        assert!(verifier.queue.waiting() > WAITING_EACH / 2);
        let mut refused = 0;
        for one in &flood {
            one.abort();
        }
        for one in flood {
            refused += usize::from(matches!(one.await, Ok(Err(AuthError::TooMany { .. }))));
        }
        assert!(refused >= 200 - WAITING_EACH, "{refused}");
        until(|| verifier.queue.running() == 0 && verifier.queue.waiting() == 0).await;
    }

    /// A turn for the test itself, if one is free.
    async fn held_turn(
        verifier: &Verifier,
    ) -> Result<Result<metahub_limits::Turn, metahub_limits::QueueFull>, ()> {
        let mut turn = std::pin::pin!(verifier.queue.turn(Network::UNKNOWN));
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(match turn.as_mut().poll(context) {
                std::task::Poll::Ready(turn) => Ok(turn),
                std::task::Poll::Pending => Err(()),
            })
        })
        .await
    }

    #[tokio::test]
    async fn hashes_are_computed_in_as_many_buffers_as_are_computed_at_once() {
        let verifier = Arc::new(Verifier::new());
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let asked = (0..12).map(|number| {
            let verifier = Arc::clone(&verifier);
            let name = format!("nobody-{number}");
            tokio::spawn(async move {
                let password = Password::new("wrong");
                verifier
                    .verify(&name, None, &password, address(number))
                    .await
            })
        });
        for answer in asked.collect::<Vec<_>>() {
            assert!(!answer.await.unwrap().unwrap());
        }
        let most = threads.div_ceil(2) * 20 * 1024 * 1024;
        let kept = verifier.memory.kept();
        assert!(kept > 0 && kept <= most, "{kept} of {most}");
    }
}
