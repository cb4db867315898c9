//! Reserves space for content that is being fetched: it counts towards the cache's bound and
//! towards the free space of the disk before the first byte comes, so that no number of concurrent
//! fetches exceeds either.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::Registry;
use crate::error::RegistryError;

/// Space for content of unknown size is reserved in steps of so many bytes.
const STEP: u64 = 16 * 1024 * 1024;

/// The space reserved by running fetches.
#[derive(Debug, Default)]
pub(crate) struct Room {
    state: Arc<Mutex<State>>,
    freed: Arc<Notify>,
    /// Held while evicting: one caller at a time.
    making: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes that are or will be in staging, by the host as in repositories' names.
    taken: BTreeMap<String, u64>,
    /// Those of them that were not written yet.
    to_come: u64,
    /// Those of them that clients without an account asked for.
    of_clients: u64,
    /// Cached bytes, as last counted, and those that came since.
    cached: Option<u64>,
    /// How often space was reserved or released: the answer may differ after each.
    turns: u64,
}

impl State {
    fn all(&self) -> u64 {
        self.taken.values().sum()
    }

    /// The bound that `bytes` more would exceed.
    fn short_of(&self, bytes: u64, limits: &RoomLimits) -> Option<Short> {
        let to_come = self.to_come.saturating_add(bytes);
        if limits.free.saturating_sub(to_come) < limits.keep_free {
            return Some(Short::Disk);
        }
        let cached = self.cached.unwrap_or(limits.cached);
        let all = cached.saturating_add(self.all()).saturating_add(bytes);
        limits
            .bound
            .is_some_and(|bound| all > bound)
            .then_some(Short::Bound)
    }
}

/// The limits on reservations, in bytes.
#[derive(Clone, Copy, Debug)]
struct RoomLimits {
    /// Free on the disk now.
    free: u64,
    /// To be left free.
    keep_free: u64,
    /// Cached, as last counted.
    cached: u64,
    /// The cache's bound.
    bound: Option<u64>,
}

/// Why a fetch does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Short {
    /// The cache's bound would be exceeded.
    Bound,
    /// The disk would be fuller than it may be.
    Disk,
}

impl Room {
    /// Bytes reserved by running fetches, by host.
    pub(crate) fn taken(&self) -> BTreeMap<String, u64> {
        self.state.lock().taken.clone()
    }

    /// Bytes of running fetches that are not on the disk yet.
    pub(crate) fn to_come(&self) -> u64 {
        self.state.lock().to_come
    }

    /// Bytes of running fetches that clients without an account asked for.
    pub(crate) fn of_clients(&self) -> u64 {
        self.state.lock().of_clients
    }

    /// Sets the cached bytes, without those being fetched. Wakes waiting fetches only if there are
    /// fewer than before: each of them counts too, and they would wake each other for ever.
    pub(crate) fn counted(&self, cached: u64) {
        let before = self.state.lock().cached.replace(cached);
        if before.is_some_and(|before| cached < before) {
            self.freed.notify_waiters();
        }
    }

    /// One at a time makes room for others, and evicts.
    pub(crate) async fn making(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.making.lock().await
    }

    fn turns(&self) -> u64 {
        self.state.lock().turns
    }

    /// Reserves `bytes` although they do not fit, if no reservation changed since `turns` was read.
    fn take_alone(&self, who: Who<'_>, bytes: u64, turns: u64) -> Option<Taken> {
        let mut state = self.state.lock();
        let alone = state.taken.is_empty() && state.turns == turns;
        alone.then(|| self.take_from(&mut state, who, bytes))
    }

    fn take(&self, who: Who<'_>, bytes: u64) -> Taken {
        self.take_from(&mut self.state.lock(), who, bytes)
    }

    fn take_from(&self, state: &mut State, who: Who<'_>, bytes: u64) -> Taken {
        *state.taken.entry(who.host.to_owned()).or_default() += bytes;
        if who.is_client {
            state.of_clients += bytes;
        }
        state.to_come += bytes;
        state.turns += 1;
        Taken {
            state: Arc::clone(&self.state),
            freed: Arc::clone(&self.freed),
            host: who.host.to_owned(),
            is_client: who.is_client,
            bytes,
            written: 0,
            stored: false,
        }
    }
}

/// The upstream and the client of a fetch.
#[derive(Clone, Copy)]
struct Who<'h> {
    /// As in repositories' names.
    host: &'h str,
    /// Whether a client without an account asked first.
    is_client: bool,
}

/// The space that one fetch has reserved, released on drop.
#[derive(Debug)]
pub(crate) struct Taken {
    state: Arc<Mutex<State>>,
    freed: Arc<Notify>,
    host: String,
    is_client: bool,
    bytes: u64,
    written: u64,
    stored: bool,
}

impl Taken {
    /// Notes that so many bytes are on the disk.
    pub(crate) fn written(&mut self, up_to: u64) {
        let new = up_to.min(self.bytes).saturating_sub(self.written);
        self.written += new;
        let mut state = self.state.lock();
        state.to_come = state.to_come.saturating_sub(new);
    }

    /// Notes that it is a blob now, and counts as cached.
    pub(crate) fn stored(&mut self) {
        self.stored = true;
    }

    /// How many bytes may be written.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn grow(&mut self, bytes: u64) {
        self.bytes += bytes;
        let mut state = self.state.lock();
        *state.taken.entry(self.host.clone()).or_default() += bytes;
        if self.is_client {
            state.of_clients += bytes;
        }
        state.to_come += bytes;
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        state.turns += 1;
        state.to_come = state.to_come.saturating_sub(self.bytes - self.written);
        if self.is_client {
            state.of_clients = state.of_clients.saturating_sub(self.bytes);
        }
        if let Some(taken) = state.taken.get_mut(&self.host) {
            *taken = taken.saturating_sub(self.bytes);
            if *taken == 0 {
                state.taken.remove(&self.host);
            }
        }
        if self.stored {
            let written = self.written;
            state.cached = state.cached.map(|cached| cached.saturating_add(written));
        }
        drop(state);
        self.freed.notify_waiters();
    }
}

impl Registry {
    /// Reserves `bytes` more for content of `host`. Evicts for it, and waits for space that other
    /// fetches have reserved. Content that is larger than the whole bound gets its turn alone: it
    /// is served, and evicted again.
    ///
    /// # Errors
    /// [`RegistryError::NoRoom`] if there is none in time.
    pub(crate) async fn room_for(&self, host: &str, bytes: u64) -> Result<Taken, RegistryError> {
        let room = &self.inner.room;
        let who = Who {
            host,
            is_client: self.client != 0,
        };
        if self.upstreams().offline() {
            return Ok(room.take(who, bytes));
        }
        let until = Instant::now() + self.settings().cache.patience;
        loop {
            if let Ok(taken) = self.take_room(who, bytes).await? {
                return Ok(taken);
            }
            let making = room.making().await;
            // The former holder of the lock may have evicted enough for all.
            if let Ok(taken) = self.take_room(who, bytes).await? {
                return Ok(taken);
            }
            let turns = room.turns();
            self.make_room(bytes).await?;
            // Waiting begins before the last check, so that nothing is missed between the two, and
            // after evicting, so that no caller wakes itself.
            let freed = room.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            let short = match self.take_room(who, bytes).await? {
                Ok(taken) => return Ok(taken),
                Err(short) => short,
            };
            if short == Short::Bound {
                if let Some(taken) = room.take_alone(who, bytes, turns) {
                    return Ok(taken);
                }
                // A fetch ended meanwhile, so that more can be evicted now.
                if room.taken().is_empty() && Instant::now() < until {
                    continue;
                }
            }
            drop(making);
            if timeout_at(until, freed).await.is_err() || Instant::now() >= until {
                return Err(RegistryError::NoRoom(self.in_the_way(short, bytes)));
            }
        }
    }

    /// Reserves `bytes` if they fit now. Checked and reserved under one lock, so that two callers
    /// never reserve the same space, and a failed check blocks nobody.
    async fn take_room(
        &self,
        who: Who<'_>,
        bytes: u64,
    ) -> Result<Result<Taken, Short>, RegistryError> {
        let limits = self.limits().await?;
        let room = &self.inner.room;
        let mut state = room.state.lock();
        Ok(match state.short_of(bytes, &limits) {
            None => Ok(room.take_from(&mut state, who, bytes)),
            Some(short) => Err(short),
        })
    }

    /// Grows a reservation to `end`, for content of unknown size. Never waits.
    ///
    /// # Errors
    /// [`RegistryError::NoRoom`] if there is none.
    pub(crate) async fn grow_room(&self, taken: &mut Taken, end: u64) -> Result<(), RegistryError> {
        if taken.bytes() >= end {
            return Ok(());
        }
        let needed = end - taken.bytes();
        let limits = self.limits().await?;
        let short = |bytes| {
            let short = taken.state.lock().short_of(bytes, &limits);
            short.filter(|_| !self.upstreams().offline())
        };
        // In steps while there is room for them; the last bytes need not fill one.
        let step = if short(needed.max(STEP)).is_none() {
            needed.max(STEP)
        } else if let Some(short) = short(needed) {
            return Err(RegistryError::NoRoom(self.in_the_way(short, needed)));
        } else {
            needed
        };
        taken.grow(step);
        Ok(())
    }

    async fn limits(&self) -> Result<RoomLimits, RegistryError> {
        let (cache, room) = (&self.settings().cache, &self.inner.room);
        let disk = self.store().disk().await?;
        let counted = room.state.lock().cached;
        let cached = match counted {
            Some(cached) => cached,
            None if cache.size.is_none() => 0,
            None => {
                let cached = self.store().cached_bytes().await?.values().sum();
                room.counted(cached);
                cached
            }
        };
        Ok(RoomLimits {
            free: disk.free,
            keep_free: cache.keep_free.of(disk.size),
            cached,
            bound: cache.size,
        })
    }

    fn in_the_way(&self, short: Short, bytes: u64) -> String {
        match short {
            Short::Disk => format!(
                "no room to fetch {bytes} bytes: the cache leaves {} of the disk free \
                 (cache.keep_free), and nothing more can be evicted",
                self.settings().cache.keep_free
            ),
            Short::Bound => format!(
                "no room to fetch {bytes} bytes: the cache is full (cache.size) of what was used \
                 a moment ago or is pinned, and other fetches run"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(host: &str) -> Who<'_> {
        Who {
            host,
            is_client: true,
        }
    }

    #[test]
    fn what_is_taken_is_free_again_and_what_was_stored_counts_as_kept() {
        let room = Room::default();
        room.counted(100);
        let mut one = room.take(who("quay.io"), 50);
        let other = room.take(who("ghcr.io"), 7);
        one.written(30);
        let now = || (room.taken().values().sum::<u64>(), room.to_come());
        assert_eq!(now(), (57, 27));
        drop(other);
        assert_eq!(now(), (50, 20));
        one.written(50);
        one.stored();
        drop(one);
        let state = room.state.lock();
        assert_eq!(
            (state.all(), state.to_come, state.cached),
            (0, 0, Some(150))
        );
        assert_eq!(state.of_clients, 0);
        assert!(state.taken.is_empty(), "no host stays in the map");
    }
    #[tokio::test]
    async fn only_a_count_that_is_smaller_wakes_who_waits() {
        let room = Room::default();
        room.counted(100);
        for (cached, wakes) in [(100, false), (120, false), (119, true), (119, false)] {
            let waits = room.freed.notified();
            tokio::pin!(waits);
            waits.as_mut().enable();
            room.counted(cached);
            let woken = timeout_at(Instant::now(), waits).await.is_ok();
            assert_eq!(woken, wakes, "{cached}");
        }
    }

    #[test]
    fn looking_for_room_holds_what_is_asked_for_against_both_limits() {
        let limits = |free, bound| RoomLimits {
            free,
            keep_free: 10,
            cached: 0,
            bound,
        };
        let room = Room::default();
        room.counted(30);
        let _taken = room.take(who("quay.io"), 20);
        let turns = room.turns();
        assert!(
            room.take_alone(who("ghcr.io"), 1, turns).is_none(),
            "another has some"
        );
        drop(room.take(who("ghcr.io"), 1));
        assert_ne!(room.turns(), turns);
        for (bytes, limits, expected) in [
            (50, limits(80, Some(100)), None),
            (51, limits(80, Some(100)), Some(Short::Disk)),
            (50, limits(79, None), Some(Short::Disk)),
            (51, limits(81, Some(100)), Some(Short::Bound)),
            (51, limits(81, None), None),
            (
                u64::MAX,
                limits(u64::MAX, Some(u64::MAX)),
                Some(Short::Disk),
            ),
        ] {
            assert_eq!(room.state.lock().short_of(bytes, &limits), expected);
        }
    }
}
