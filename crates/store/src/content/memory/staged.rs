//! A staging object in memory.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt as _, ready};
use metahub_oci::{Algorithm, Digest};
use parking_lot::Mutex;
use rand::RngExt as _;

use crate::StoreError;
use crate::content::memory::bytes::Growing;
use crate::content::memory::state::{Object, Resumable, State, location};
use crate::content::resumption::Resumption;
use crate::content::source::{RandomAccess as _, StagedBytes};
use crate::content::traits::{Answer, Placing, Staging, WORTH_KEEPING};
use crate::content::write_buffer::Batch;
use crate::task::blocking;

/// A fresh name.
pub(super) fn fresh() -> String {
    format!("fill-{:032x}", rand::rng().random::<u128>())
}

/// An answer that is there already.
pub(super) fn now<'a, T: Send + 'a>(answer: Result<T, StoreError>) -> Answer<'a, T> {
    ready(answer).boxed()
}

/// What becomes of a staging object that is dropped.
pub(super) enum Fate {
    Goes,
    Stays,
    /// The durable part is left to the next fill.
    Resumable((String, Digest), Resumption),
}

/// An object that is being received.
pub(super) struct MemoryStaged {
    state: Arc<Mutex<State>>,
    name: String,
    /// Absent until the first use.
    bytes: Option<Arc<Growing>>,
    len: u64,
    durable: u64,
    fate: Fate,
}

impl MemoryStaged {
    pub(super) fn new(state: &Arc<Mutex<State>>, name: &str, len: u64, fate: Fate) -> Self {
        Self {
            state: Arc::clone(state),
            name: name.to_owned(),
            bytes: None,
            len,
            durable: 0,
            fate,
        }
    }

    /// One that continues after the bytes of an earlier one.
    pub(super) fn resumed(
        state: &Arc<Mutex<State>>,
        key: (String, Digest),
        found: Resumable,
    ) -> Self {
        let name = fresh();
        let len = found.bytes.len() as u64;
        let bytes = Arc::new(Growing(Mutex::new(found.bytes)));
        let object = Object {
            bytes: Arc::clone(&bytes),
            len,
            modified: SystemTime::now(),
        };
        state.lock().staged.insert(name.clone(), object);
        let fate = Fate::Resumable(key, Resumption::default());
        let mut staged = Self::new(state, &name, len, fate);
        staged.bytes = Some(bytes);
        staged.durable = len;
        staged
    }

    /// The object's bytes. A new one is created; one that should be there and is not is an error.
    fn open(&mut self) -> Result<Arc<Growing>, StoreError> {
        if let Some(bytes) = &self.bytes {
            return Ok(Arc::clone(bytes));
        }
        let mut state = self.state.lock();
        if self.len == 0 {
            let object = Object {
                bytes: Arc::new(Growing(Mutex::default())),
                len: 0,
                modified: SystemTime::now(),
            };
            state.staged.insert(self.name.clone(), object);
        }
        let Some(object) = state.staged.get(&self.name) else {
            let gone = io::ErrorKind::NotFound.into();
            return Err(StoreError::io("open", location(), gone));
        };
        let bytes = Arc::clone(&object.bytes);
        self.bytes = Some(Arc::clone(&bytes));
        Ok(bytes)
    }

    /// Notes how long it is now.
    fn grown(&mut self, len: u64) {
        self.len = len;
        if let Some(object) = self.state.lock().staged.get_mut(&self.name) {
            object.len = len;
            object.modified = SystemTime::now();
        }
    }

    /// The first `len` bytes.
    fn prefix(&mut self, len: u64) -> Result<Vec<u8>, StoreError> {
        let bytes = self.open()?;
        let mut bytes = bytes.0.lock().clone();
        bytes.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        Ok(bytes)
    }

    /// Ends as a drop does.
    fn finish(&mut self) {
        match std::mem::replace(&mut self.fate, Fate::Stays) {
            Fate::Stays => return,
            Fate::Goes => {}
            Fate::Resumable(key, resumption) => {
                if self.durable > 0
                    && resumption.allows()
                    && let Ok(bytes) = self.prefix(self.durable)
                {
                    let since = SystemTime::now();
                    let resumable = Resumable { bytes, since };
                    let mut state = self.state.lock();
                    let known = state.resumable.get(&key);
                    // Of two that are the same content, the longer stays.
                    if known.is_none_or(|known| known.bytes.len() <= resumable.bytes.len()) {
                        state.resumable.insert(key, resumable);
                    }
                }
            }
        }
        self.state.lock().staged.remove(&self.name);
    }
}

impl Staging for MemoryStaged {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn durable(&self) -> u64 {
        self.durable
    }

    fn bytes(&mut self) -> Answer<'_, StagedBytes> {
        now(self.open().map(|bytes| StagedBytes::Object(bytes)))
    }

    fn opened(&self) -> Option<StagedBytes> {
        let bytes = self.bytes.clone()?;
        Some(StagedBytes::Object(bytes))
    }

    fn append(&mut self, batch: Batch) -> Answer<'_, ()> {
        let bytes = match self.open() {
            Ok(bytes) => bytes,
            Err(error) => return now(Err(error)),
        };
        let mut end = self.len;
        for chunk in batch {
            if let Err(error) = bytes.write_at(&chunk, end) {
                return now(Err(StoreError::io("write", location(), error)));
            }
            end += chunk.len() as u64;
        }
        self.grown(end);
        now(Ok(()))
    }

    fn absorb(&mut self, end: u64) -> Answer<'_, ()> {
        let outcome = self.open().and_then(|bytes| {
            if bytes.0.lock().len() as u64 >= end {
                return Ok(());
            }
            let error = io::ErrorKind::UnexpectedEof.into();
            Err(StoreError::io("read again", location(), error))
        });
        if outcome.is_ok() {
            self.grown(end);
        }
        now(outcome)
    }

    fn digest(&mut self, algorithm: Algorithm) -> Answer<'_, Digest> {
        let bytes = self.prefix(self.len);
        blocking(move || Ok(Digest::of(algorithm, &bytes?))).boxed()
    }

    fn read(&mut self) -> Answer<'_, Bytes> {
        now(self.prefix(self.len).map(Bytes::from))
    }

    fn settle(&mut self) -> Answer<'_, ()> {
        self.durable = self.len;
        now(Ok(()))
    }

    fn publish(mut self: Box<Self>, digest: &Digest, placing: Placing) -> Answer<'static, ()> {
        let bytes = match self.prefix(self.len) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) => return now(Err(error)),
        };
        let mut state = self.state.lock();
        if placing.reversible {
            state.publishing.insert(self.name.clone(), digest.clone());
        }
        let published = state.put(digest.clone(), bytes);
        if published.is_ok() {
            state.staged.remove(&self.name);
        }
        drop(state);
        if published.is_ok() {
            self.fate = Fate::Stays;
        }
        now(published)
    }

    fn resumption(&self) -> Option<Resumption> {
        match &self.fate {
            Fate::Resumable(_, resumption) => Some(resumption.clone()),
            Fate::Goes | Fate::Stays => None,
        }
    }

    fn rest(&mut self) {
        self.bytes = None;
    }

    fn give_up(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        if let Fate::Resumable(_, resumption) = &self.fate {
            if self.len < WORTH_KEEPING {
                resumption.spoil();
            }
            self.durable = self.len;
        }
        self.finish();
        ready(()).boxed()
    }

    fn end(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        self.finish();
        ready(()).boxed()
    }

    fn remove(mut self: Box<Self>) -> Answer<'static, ()> {
        self.fate = Fate::Goes;
        self.finish();
        now(Ok(()))
    }
}

impl Drop for MemoryStaged {
    fn drop(&mut self) {
        self.finish();
    }
}
