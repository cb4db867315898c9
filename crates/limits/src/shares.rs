//! A fixed number of slots, of which one client network gets no more than its share: the requests
//! that are answered at once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::Network;

/// The counts are in several maps, so that networks seldom wait for each other's lock.
const SHARDS: usize = 32;

/// Why there is none for the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// All are in use.
    #[error("all are in use")]
    All,
    /// The client network has its share.
    #[error("this client has its share")]
    Share,
}

/// A fixed number of something, shared among client networks. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shares(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Most in use at once, and most of one network.
    most: usize,
    each: usize,
    used: AtomicUsize,
    by_network: Box<[Mutex<HashMap<Network, usize>>]>,
    hasher: RandomState,
}

impl Shares {
    /// `most` in all, of which one network gets `each`.
    #[must_use]
    pub fn new(most: usize, each: usize) -> Self {
        Self(Arc::new(Inner {
            most,
            each,
            used: AtomicUsize::new(0),
            by_network: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }))
    }

    /// Takes one share for `network`, until the returned guard is dropped.
    ///
    /// # Errors
    /// All are in use, or the network's share is.
    pub fn take(&self, network: Network) -> Result<Share, Full> {
        let inner = &self.0;
        let free = |used: usize| (used < inner.most).then_some(used + 1);
        inner
            .used
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, free)
            .map_err(|_| Full::All)?;
        // From here on dropping the guard returns the share.
        let mut share = Share {
            inner: Arc::clone(inner),
            network: None,
        };
        if let Some(counts) = inner.shard(network) {
            let mut counts = counts.lock();
            let count = counts.entry(network).or_insert(0);
            if *count >= inner.each {
                if *count == 0 {
                    counts.remove(&network);
                }
                return Err(Full::Share);
            }
            *count += 1;
            share.network = Some(network);
        }
        Ok(share)
    }

    /// How many are in use.
    #[must_use]
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// How many networks are counted now: those that use at least one.
    #[must_use]
    pub fn networks(&self) -> usize {
        self.0
            .by_network
            .iter()
            .map(|counts| counts.lock().len())
            .sum()
    }
}

impl Inner {
    fn shard(&self, network: Network) -> Option<&Mutex<HashMap<Network, usize>>> {
        let at = self.hasher.hash_one(network) % SHARDS as u64;
        self.by_network.get(usize::try_from(at).unwrap_or(0))
    }
}

/// One of [`Shares`]; returned when dropped.
#[derive(Debug)]
pub struct Share {
    inner: Arc<Inner>,
    network: Option<Network>,
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some(network) = self.network
            && let Some(counts) = self.inner.shard(network)
            && let Entry::Occupied(mut count) = counts.lock().entry(network)
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        self.inner.used.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn network(number: u8) -> Network {
        Network::of([192, 0, 2, number].into())
    }

    #[test]
    fn one_network_gets_its_share_and_leaves_the_rest_to_others() {
        let shares = Shares::new(5, 3);
        let mut held: Vec<Share> = (0..3).map(|_| shares.take(network(1)).unwrap()).collect();
        assert_eq!(shares.take(network(1)).unwrap_err(), Full::Share);
        held.extend((0..2).map(|_| shares.take(network(2)).unwrap()));
        assert_eq!(shares.take(network(3)).unwrap_err(), Full::All);
        held.remove(0);
        assert!(shares.take(network(1)).is_ok());
        drop(held);
        assert_eq!((shares.used(), shares.networks()), (0, 0));
    }

    #[test]
    fn a_panic_gives_back_what_was_taken() {
        let shares = Shares::new(1, 1);
        let ours = shares.clone();
        let ended = std::thread::spawn(move || {
            let _share = ours.take(network(1)).unwrap();
            panic!("on purpose");
        });
        assert!(ended.join().is_err());
        assert_eq!((shares.used(), shares.networks()), (0, 0));
    }

    proptest! {
        /// Compared with a plain list of holders.
        #[test]
        fn shares_are_counted_as_a_list_would(
            most in 0usize..8, each in 0usize..5, steps in prop::collection::vec((0u8..4, any::<bool>()), 0..60)
        ) {
            let shares = Shares::new(most, each);
            let mut held: Vec<(u8, Share)> = Vec::new();
            for (who, takes) in steps {
                if !takes {
                    if let Some(at) = held.iter().position(|(holder, _)| *holder == who) {
                        held.remove(at);
                    }
                    continue;
                }
                let own = held.iter().filter(|(holder, _)| *holder == who).count();
                let expected = if held.len() >= most {
                    Err(Full::All)
                } else if own >= each {
                    Err(Full::Share)
                } else {
                    Ok(())
                };
                let taken = shares.take(network(who));
                prop_assert_eq!(taken.as_ref().map(drop).map_err(|full| *full), expected);
                held.extend(taken.ok().map(|share| (who, share)));
                let mut holders: Vec<u8> = held.iter().map(|(holder, _)| *holder).collect();
                holders.sort_unstable();
                holders.dedup();
                prop_assert_eq!((shares.used(), shares.networks()), (held.len(), holders.len()));
            }
        }
    }
}
