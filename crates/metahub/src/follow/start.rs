//! Starts following catalogs: their stored copies are used at once, a missing one is waited for
//! briefly, and then each is polled at its own interval.

use std::sync::Arc;
use std::time::Duration;

use metahub_catalog::Catalog;
use metahub_server::FollowedCatalogs;
use metahub_store::StoreError;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use crate::config::{Config, followed};
use crate::follow::follower::{Follower, Refusal, Refused, texts};
use crate::guarded::guarded;
use crate::signals::Hangup;
use crate::sources::Sources;

/// How long the start waits for catalogs without a stored copy.
const FIRST: Duration = Duration::from_secs(30);

/// Adds every followed catalog of `config` to `sources`, with its stored copy if that is valid
/// together with all other documents. Makes no request and writes nothing.
///
/// # Errors
/// A key, a certificate or a secret that cannot be read.
pub(crate) fn prepare(config: &Config, sources: &Sources) -> miette::Result<Vec<Follower>> {
    let mut followers = followed(&config.catalog)
        .map(|one| Follower::new(one, config, sources))
        .collect::<miette::Result<Vec<_>>>()?;
    let copies = followers.iter().map(Follower::read_stored);
    let mut waiting: Vec<_> = copies.collect();
    // One may build on another, in any configured order.
    loop {
        let mut used = false;
        for (follower, copy) in followers.iter_mut().zip(&mut waiting) {
            if let Some(found) = copy.take() {
                let new = texts(&follower.shown, Some(&found));
                let errors = follower.slot.errors_with(&new);
                if errors.is_empty() {
                    follower.slot.publish(new);
                    follower.stored = Some(found);
                    follower.refused = None;
                    used = true;
                } else {
                    let digest = found.digest.clone();
                    let problem = Refused::Errors { digest, errors };
                    follower.refused = Some(Refusal::of(found.clone(), &problem));
                    *copy = Some(found);
                }
            }
        }
        if !used {
            break;
        }
    }
    for follower in &followers {
        if let Some(Refusal { problem, .. }) = &follower.refused {
            let catalog = &follower.shown;
            tracing::error!(%catalog, %problem, "the stored copy of a followed catalog is not used");
        }
    }
    Ok(followers)
}

/// Adds the stored copies, for commands that do not follow. Returns the catalogs without one.
///
/// # Errors
/// As of [`prepare`].
pub(crate) fn stored(config: &Config, sources: &Sources) -> miette::Result<Vec<String>> {
    let followers = prepare(config, sources)?.into_iter();
    let missing = followers.filter(|follower| follower.stored.is_none());
    Ok(missing.map(|follower| follower.shown).collect())
}

/// Fetches catalogs without a stored copy, so that the server starts with them if possible. Writes
/// nothing: the data folder may still be another process's.
pub(crate) async fn first_look(followers: &mut [Follower]) {
    let until = Instant::now() + FIRST;
    // Once more for those that build on what came after them.
    for retry in [false, true] {
        for follower in followers.iter_mut().filter(|one| one.stored.is_none()) {
            if retry && follower.refused.is_none() {
                continue;
            }
            if timeout_at(until, follower.look(retry)).await.is_err() {
                let catalog = &follower.shown;
                tracing::warn!(%catalog, "the followed catalog is slow: the start waits no longer");
            }
        }
    }
}

/// Follows for as long as the process lives. A refused version is checked again when the current
/// catalog changes, and on SIGHUP.
pub(crate) fn keep(
    followers: Vec<Follower>,
    hangup: &Hangup,
    in_force: &watch::Receiver<Arc<Catalog>>,
) -> FollowedCatalogs {
    let metrics = FollowedCatalogs::default();
    for mut follower in followers {
        follower.may_write = true;
        let current = follower.stored.is_some() && follower.told.is_none();
        metrics.set(&follower.shown, current);
        let (hangup, in_force) = (hangup.clone(), in_force.clone());
        tokio::spawn(follow(follower, hangup, in_force, metrics.clone()));
    }
    metrics
}

async fn follow(
    mut follower: Follower,
    mut hangup: Hangup,
    mut in_force: watch::Receiver<Arc<Catalog>>,
    metrics: FollowedCatalogs,
) {
    let mut clock = (!follower.every.is_zero()).then(|| {
        let mut clock = interval(follower.every);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        clock
    });
    follower.write().await;
    let follower = Arc::new(tokio::sync::Mutex::new(follower));
    loop {
        let asked = tokio::select! {
            () = hangup.received() => true,
            () = async {
                match &mut clock {
                    Some(clock) => drop(clock.tick().await),
                    None => std::future::pending().await,
                }
            } => false,
        };
        let changed = in_force.has_changed().unwrap_or(false);
        in_force.mark_unchanged();
        let (follower, metrics) = (Arc::clone(&follower), metrics.clone());
        let look = async move {
            let mut follower = follower.lock().await;
            follower.look(asked || changed).await;
            metrics.set(&follower.shown, follower.told.is_none());
            Ok::<_, StoreError>(())
        };
        // A panic is logged, and the catalog is polled again.
        let _ = guarded("follow", look).await;
    }
}
