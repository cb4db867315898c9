//! Records in memory: plain maps under one lock. For tests, demonstrations and servers without a
//! data folder. Every answer must equal SQLite's.

mod accounts;
mod blobs;
mod cached;
mod demand;
mod derived;
mod documents;
mod eviction;
mod garbage;
mod identity;
mod inspection;
mod layer_needs;
mod manifests;
mod nodes;
mod pins;
mod repositories;
mod state;
mod tags;

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use super::{Announced, Answer, ChangeSink, Clock, Records};
use crate::StoreError;
use state::State;

/// Records that end with the process.
pub(crate) struct MemoryRecords {
    state: Mutex<State>,
    changes: Arc<dyn ChangeSink>,
    closed: AtomicBool,
}

impl MemoryRecords {
    /// Records of nothing.
    pub(crate) fn new(changes: Arc<dyn ChangeSink>, clock: Clock) -> Self {
        Self {
            state: Mutex::new(State::new(clock)),
            changes,
            closed: AtomicBool::new(false),
        }
    }

    /// What `query` finds.
    fn read<T, E>(&self, query: impl FnOnce(&State) -> Result<T, E>) -> Answer<'_, T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let answer = match self.ready() {
            Ok(()) => query(&self.state.lock()),
            Err(error) => Err(error.into()),
        };
        Box::pin(ready(answer))
    }

    /// What `work` comes to, which changes everything or, if it fails, nothing.
    fn write<T, E>(&self, work: impl FnOnce(&mut State) -> Result<T, E>) -> Answer<'_, T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        if let Err(error) = self.ready() {
            return Box::pin(ready(Err(error.into())));
        }
        let mut state = self.state.lock();
        let answer = work(&mut state);
        // No reader sees the changes before the lock is released.
        drop(Announced::new(&*self.changes, state.take_changes()));
        drop(state);
        Box::pin(ready(answer))
    }
}

impl Records for MemoryRecords {
    fn ready(&self) -> Result<(), StoreError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(StoreError::Closed);
        }
        Ok(())
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.closed.store(true, Ordering::Release);
        Box::pin(ready(()))
    }
}
