//! Checks passwords without letting that stall the server: on blocking threads, a few at a
//! time, each distinct question asked once, and right answers remembered briefly.
//!
//! An answer is kept under a keyed hash of the password and of the stored hash it was checked
//! against, so that a changed password is never answered from memory.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use tokio::sync::Semaphore;

use crate::memory_key::MemoryKey;
use crate::password::nobodys_hash;
use crate::{AuthError, Password, PasswordHash};

/// How long a right password needs no new check, unless the stored hash changes.
const REMEMBER: Duration = Duration::from_secs(60);
/// Right answers remembered.
const CAPACITY: u64 = 10_000;
/// Distinct questions that may wait. At about 20 ms each on two threads that is a second or
/// two; whoever comes later is told to try again.
const MAX_WAITING: usize = 128;
const RETRY_AFTER: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug)]
enum Failure {
    Wrong,
    Busy,
    Broken,
}

#[derive(Debug, thiserror::Error)]
#[error("a password could not be checked: the thread that should have done so failed")]
struct CheckFailed;

#[derive(Debug)]
pub(crate) struct Verifier {
    key: MemoryKey,
    right: Cache<[u8; 32], ()>,
    waiting: Semaphore,
    working: Arc<Semaphore>,
    nobody: PasswordHash,
}

impl Verifier {
    pub(crate) fn new() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            key: MemoryKey::random(),
            right: Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_live(REMEMBER)
                .build(),
            waiting: Semaphore::new(MAX_WAITING),
            working: Arc::new(Semaphore::new(threads.div_ceil(2))),
            nobody: nobodys_hash(),
        }
    }

    /// Whether `password` was found right of late for this stored hash.
    pub(crate) async fn remembers(
        &self,
        name: &str,
        stored: &PasswordHash,
        password: &Password,
    ) -> bool {
        let key = self.key.hash(&[name, stored.as_str(), password.expose()]);
        self.right.get(&key).await.is_some()
    }

    /// Whether `password` is the one behind `stored`. Without a stored hash the answer is no,
    /// after as much work. `name` keeps the questions of different names apart.
    pub(crate) async fn verify(
        &self,
        name: &str,
        stored: Option<&PasswordHash>,
        password: &Password,
    ) -> Result<bool, AuthError> {
        let hash = stored.unwrap_or(&self.nobody);
        let key = self.key.hash(&[name, hash.as_str(), password.expose()]);
        match self
            .right
            .try_get_with(key, self.compute(hash, password))
            .await
        {
            Ok(()) => Ok(stored.is_some()),
            Err(failure) => match *failure {
                Failure::Wrong => Ok(false),
                Failure::Busy => Err(AuthError::TooMany {
                    retry_after: RETRY_AFTER,
                }),
                Failure::Broken => Err(AuthError::unavailable(CheckFailed)),
            },
        }
    }

    async fn compute(&self, hash: &PasswordHash, password: &Password) -> Result<(), Failure> {
        let _waiting = self.waiting.try_acquire().map_err(|_| Failure::Busy)?;
        let working = Arc::clone(&self.working);
        let permit = working.acquire_owned().await.map_err(|_| Failure::Broken)?;
        let (hash, password) = (hash.clone(), password.clone());
        let right = tokio::task::spawn_blocking(move || {
            // Held here, not in the future: a client that goes away does not free the thread.
            let _permit = permit;
            hash.matches(&password)
        });
        match right.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::Wrong),
            Err(_) => Err(Failure::Broken),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::password::HashCost;

    #[tokio::test]
    async fn a_right_password_is_right_and_a_changed_hash_is_asked_anew() {
        let verifier = Verifier::new();
        let (old, new) = (Password::new("old password"), Password::new("new password"));
        let hash = |password| PasswordHash::compute(password, HashCost::CHEAP).unwrap();
        let stored = hash(&old);
        assert!(verifier.verify("a", Some(&stored), &old).await.unwrap());
        assert!(verifier.verify("a", Some(&stored), &old).await.unwrap());
        assert!(!verifier.verify("a", Some(&stored), &new).await.unwrap());
        let changed = hash(&new);
        assert!(!verifier.verify("a", Some(&changed), &old).await.unwrap());
        assert!(verifier.verify("a", Some(&changed), &new).await.unwrap());
    }

    #[tokio::test]
    async fn nobody_has_a_right_password() {
        assert!(
            !Verifier::new()
                .verify("a", None, &Password::new(""))
                .await
                .unwrap()
        );
    }

    #[tokio::test]
    async fn more_questions_than_may_wait_are_refused_not_queued() {
        let verifier = Verifier::new();
        let _all = verifier
            .waiting
            .acquire_many(u32::try_from(MAX_WAITING).unwrap())
            .await
            .unwrap();
        let stored = PasswordHash::compute(&Password::new("x"), HashCost::CHEAP).unwrap();
        let refused = verifier
            .verify("a", Some(&stored), &Password::new("x"))
            .await;
        assert!(matches!(refused, Err(AuthError::TooMany { .. })));
    }
}
