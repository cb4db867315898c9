//! A cache of identities that were established a moment ago, by the credentials that the client
//! sends.
//!
//! Most requests cost only this: one lookup, and a comparison with the clock and with the catalog.
//! Refusals are never remembered, so a new account works at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metahub_catalog::Catalog;
use moka::future::Cache;
use tokio::sync::watch;

use crate::memory_key::MemoryKey;
use crate::{Identity, Password};

/// Logins and tokens remembered, each.
const CAPACITY: u64 = 10_000;

/// An identity, and until when it is accepted without a new check.
struct Known {
    identity: Arc<Identity>,
    /// The whole token; empty for a login.
    token: Box<str>,
    /// The catalog it was established under. Holding it keeps the comparison by address sound.
    catalog: Arc<Catalog>,
    until: Instant,
}

pub(crate) struct Remembered {
    catalog: watch::Receiver<Arc<Catalog>>,
    recheck: Duration,
    key: MemoryKey,
    /// By keyed hash of user name and password.
    logins: Cache<[u8; 32], Arc<Known>>,
    /// By signature: hashing those 43 letters and comparing the whole token is the quickest sound
    /// way. It need not take constant time: only verified tokens are here, and the table's hash is
    /// keyed at random, so the time for a wrong guess reveals nothing about a right one.
    tokens: Cache<Box<str>, Arc<Known>>,
}

impl Remembered {
    pub(crate) fn new(catalog: watch::Receiver<Arc<Catalog>>, recheck: Duration) -> Self {
        let ttl = recheck.max(Duration::from_millis(1));
        Self {
            catalog,
            recheck,
            key: MemoryKey::random(),
            logins: Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_live(ttl)
                .build(),
            tokens: Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_live(ttl)
                .build(),
        }
    }

    /// The catalog of the moment.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.catalog.borrow().clone()
    }

    pub(crate) async fn login(&self, user: &str, password: &Password) -> Option<Arc<Identity>> {
        let known = self.logins.get(&self.login_key(user, password)).await?;
        self.stands(&known).then(|| Arc::clone(&known.identity))
    }

    /// Remembers a login that was accepted under `catalog`.
    pub(crate) async fn keep_login(
        &self,
        user: &str,
        password: &Password,
        identity: &Arc<Identity>,
        catalog: Arc<Catalog>,
    ) {
        let known = self.known("", identity, catalog, self.recheck);
        self.logins
            .insert(self.login_key(user, password), known)
            .await;
    }

    pub(crate) async fn token(&self, token: &str) -> Option<Arc<Identity>> {
        let known = self.tokens.get(signature(token)).await?;
        let found = *known.token == *token && self.stands(&known);
        found.then(|| Arc::clone(&known.identity))
    }

    /// Remembers a token that was verified under `catalog`, for no longer than it has `left`.
    pub(crate) async fn keep_token(
        &self,
        token: &str,
        left: Duration,
        identity: &Arc<Identity>,
        catalog: Arc<Catalog>,
    ) {
        let known = self.known(token, identity, catalog, self.recheck.min(left));
        self.tokens.insert(signature(token).into(), known).await;
    }

    fn login_key(&self, user: &str, password: &Password) -> [u8; 32] {
        self.key.hash(&[user, password.expose()])
    }

    fn known(
        &self,
        token: &str,
        identity: &Arc<Identity>,
        catalog: Arc<Catalog>,
        lasts: Duration,
    ) -> Arc<Known> {
        Arc::new(Known {
            identity: Arc::clone(identity),
            token: token.into(),
            catalog,
            until: Instant::now() + lasts,
        })
    }

    fn stands(&self, known: &Known) -> bool {
        Instant::now() < known.until && Arc::ptr_eq(&known.catalog, &self.catalog.borrow())
    }
}

/// The last part of a token.
fn signature(token: &str) -> &str {
    token.rsplit('.').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::tests::nobody;

    fn remembered(recheck: Duration) -> (Remembered, watch::Sender<Arc<Catalog>>) {
        let (sender, receiver) = watch::channel(Arc::new(Catalog::builtin()));
        (Remembered::new(receiver, recheck), sender)
    }

    #[tokio::test]
    async fn a_token_is_found_while_it_lives_under_the_same_catalog() {
        let (remembered, sender) = remembered(Duration::from_secs(60));
        let (who, hour) = (Arc::new(nobody()), Duration::from_hours(1));
        remembered
            .keep_token("a.b.c", hour, &who, remembered.catalog())
            .await;
        remembered
            .keep_token("a.b.d", Duration::ZERO, &who, remembered.catalog())
            .await;
        assert!(remembered.token("a.b.c").await.is_some());
        assert!(remembered.token("a.b.d").await.is_none(), "it has expired");
        sender.send_replace(Arc::new(Catalog::builtin()));
        assert!(
            remembered.token("a.b.c").await.is_none(),
            "the catalog changed"
        );
    }

    #[tokio::test]
    async fn a_signature_alone_finds_nothing() {
        let (remembered, _sender) = remembered(Duration::from_secs(60));
        let who = Arc::new(nobody());
        remembered
            .keep_token("a.b.c", Duration::from_secs(9), &who, remembered.catalog())
            .await;
        for forged in ["c", ".c", "a.x.c", "a.b.c.c", "x.b.c", ""] {
            assert!(remembered.token(forged).await.is_none(), "{forged}");
        }
    }

    #[tokio::test]
    async fn a_login_is_found_by_both_its_parts() {
        let (remembered, _sender) = remembered(Duration::from_secs(60));
        let who = Arc::new(nobody());
        let password = Password::new("bc");
        remembered
            .keep_login("a", &password, &who, remembered.catalog())
            .await;
        assert!(remembered.login("a", &password).await.is_some());
        assert!(remembered.login("ab", &Password::new("c")).await.is_none());
        assert!(remembered.login("a", &Password::new("bd")).await.is_none());
    }
}
