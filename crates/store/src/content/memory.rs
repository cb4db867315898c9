//! Content in memory: whole blobs and whole staging objects. For tests and demonstrations, and to
//! hold the other implementation to the same answers.
//!
//! Nothing outlives the process. *Durable* is what a give-up or a resume said to be: what a
//! staging object leaves to the next fill when it is dropped.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt as _, ready};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use metahub_oci::{Algorithm, Digest};
use parking_lot::Mutex;
use rand::RngExt as _;

use crate::StoreError;
use crate::content::files::MISSING;
use crate::content::marker::Marker;
use crate::content::resumption::Resumption;
use crate::content::source::{Opened, RandomAccess, ReadRange, StagedBytes};
use crate::content::traits::ALGORITHMS;
use crate::content::traits::{
    Answer, Blobs, Content, Disk, Listed, Partition, Placing, Stage, StagedEntry, Staging,
    StagingArea, StoreMarks, WORTH_KEEPING,
};
use crate::content::write_buffer::Batch;
use crate::task::blocking;

/// Largest chunk of a stream in bytes.
const CHUNK: u64 = 1024 * 1024;

/// Content in memory. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    state: Arc<Mutex<State>>,
    /// Where clients are redirected to instead of being given bytes.
    redirect: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    blobs: HashMap<Digest, Blob>,
    quarantine: HashMap<Digest, Blob>,
    staged: HashMap<String, Object>,
    /// Staging objects that another fill may go on with.
    resumable: HashMap<(String, Digest), Resumable>,
    /// The reversible publishings that have not ended.
    publishing: HashMap<String, Digest>,
    mark: Option<Marker>,
    store: Option<String>,
}

#[derive(Clone, Debug)]
struct Blob {
    bytes: Bytes,
    modified: SystemTime,
}

/// A staging object.
#[derive(Clone, Debug)]
struct Object {
    bytes: Arc<Growing>,
    /// How many of them were appended; those behind came ahead.
    len: u64,
    modified: SystemTime,
}

/// What another fill may go on with.
#[derive(Debug)]
struct Resumable {
    bytes: Vec<u8>,
    since: SystemTime,
}

impl State {
    fn check_in_place(&self) -> Result<(), StoreError> {
        match (&self.store, &self.mark) {
            (None, _) => Ok(()),
            (Some(store), Some(mark)) if mark.store == *store => Ok(()),
            _ => Err(StoreError::ContentAbsent {
                folder: location().to_owned(),
                problem: "it is not marked as this store's".to_owned(),
            }),
        }
    }

    fn put(&mut self, digest: Digest, bytes: Bytes) -> Result<(), StoreError> {
        self.check_in_place()?;
        let modified = SystemTime::now();
        self.blobs.insert(digest, Blob { bytes, modified });
        Ok(())
    }
}

fn location() -> &'static Path {
    Path::new("memory")
}

/// An answer that is there already.
fn now<'a, T: Send + 'a>(answer: Result<T, StoreError>) -> Answer<'a, T> {
    ready(answer).boxed()
}

impl Memory {
    /// The same, whose blobs are opened as redirects to places below `url`.
    #[cfg(test)]
    pub(crate) fn redirecting(url: &str) -> Self {
        Self {
            redirect: Some(url.to_owned()),
            ..Self::default()
        }
    }

    fn object(&self, name: &str, len: u64, fate: Fate) -> Box<dyn Staging> {
        Box::new(MemoryStaged {
            memory: self.clone(),
            name: name.to_owned(),
            bytes: None,
            len,
            durable: 0,
            fate,
        })
    }
}

impl Content for Memory {
    fn space(&self) -> Answer<'_, Disk> {
        now(Ok(Disk {
            size: u64::MAX,
            free: u64::MAX,
        }))
    }
}

impl Blobs for Memory {
    fn put(&self, digest: &Digest, bytes: Bytes, _: bool) -> Answer<'_, ()> {
        now(self.state.lock().put(digest.clone(), bytes))
    }

    fn open_now(&self, digest: &Digest, size: u64) -> Option<Opened> {
        let found = self.state.lock().blobs.get(digest)?.bytes.clone();
        if found.len() as u64 != size {
            return None;
        }
        Some(match &self.redirect {
            Some(url) => Opened::Redirect(format!("{url}/{digest}")),
            None => Opened::Stream(Arc::new(Whole(found))),
        })
    }

    fn open(&self, digest: &Digest, size: u64) -> Answer<'_, Opened> {
        if let Some(opened) = self.open_now(digest, size) {
            return now(Ok(opened));
        }
        let state = self.state.lock();
        let problem = match state.blobs.get(digest) {
            Some(found) => format!("it holds {} bytes instead of {size}", found.bytes.len()),
            None => MISSING.to_owned(),
        };
        now(state.check_in_place().and(Err(StoreError::Damaged {
            digest: digest.clone(),
            problem,
        })))
    }

    fn size(&self, digest: &Digest) -> Answer<'_, Option<u64>> {
        let state = self.state.lock();
        now(Ok(state
            .blobs
            .get(digest)
            .map(|blob| blob.bytes.len() as u64)))
    }

    fn delete(&self, digest: &Digest) -> Answer<'_, bool> {
        now(Ok(self.state.lock().blobs.remove(digest).is_some()))
    }

    fn quarantine(&self, digest: &Digest) -> Answer<'_, ()> {
        let mut state = self.state.lock();
        if let Some(blob) = state.blobs.remove(digest) {
            state.quarantine.insert(digest.clone(), blob);
        }
        now(Ok(()))
    }

    fn list(&self, partition: Partition) -> Answer<'_, Vec<Listed>> {
        let prefix = format!("{:02x}", partition.first);
        let state = self.state.lock();
        let blobs = state.blobs.iter().filter(|(digest, _)| {
            digest.algorithm() == partition.algorithm && digest.hex().starts_with(&prefix)
        });
        now(Ok(blobs
            .map(|(digest, blob)| Listed {
                name: digest.hex().to_owned(),
                digest: Some(digest.clone()),
                size: blob.bytes.len() as u64,
                modified: blob.modified,
            })
            .collect()))
    }

    fn delete_other(&self, _: Partition, _: &str) -> Answer<'_, bool> {
        // Every name is a digest here.
        now(Ok(false))
    }
}

impl StagingArea for Memory {
    fn stage(&self, stage: Stage<'_>) -> Box<dyn Staging> {
        let fresh = || format!("fill-{:032x}", rand::rng().random::<u128>());
        match stage {
            Stage::Temporary => self.object(&fresh(), 0, Fate::Goes),
            Stage::Resumable { source, digest } => {
                let key = (source.to_owned(), digest.clone());
                self.object(&fresh(), 0, Fate::Resumable(key, Resumption::default()))
            }
            Stage::Kept { name, len } => self.object(name, len, Fate::Stays),
        }
    }

    fn resume(&self, source: &str, digest: &Digest) -> Answer<'_, Option<Box<dyn Staging>>> {
        let key = (source.to_owned(), digest.clone());
        let found = self.state.lock().resumable.remove(&key);
        now(Ok(found.map(|found| {
            let len = found.bytes.len() as u64;
            let name = format!("fill-{:032x}", rand::rng().random::<u128>());
            let bytes = Arc::new(Growing(Mutex::new(found.bytes)));
            let object = Object {
                bytes: Arc::clone(&bytes),
                len,
                modified: SystemTime::now(),
            };
            self.state.lock().staged.insert(name.clone(), object);
            Box::new(MemoryStaged {
                memory: self.clone(),
                name,
                bytes: Some(bytes),
                len,
                durable: len,
                fate: Fate::Resumable(key, Resumption::default()),
            }) as Box<dyn Staging>
        })))
    }

    fn can_resume(&self, source: &str, digest: &Digest) -> bool {
        let key = (source.to_owned(), digest.clone());
        self.state.lock().resumable.contains_key(&key)
    }

    fn resumable_bytes(&self) -> HashMap<String, u64> {
        let mut bytes = HashMap::new();
        for ((source, _), resumable) in &self.state.lock().resumable {
            *bytes.entry(source.clone()).or_default() += resumable.bytes.len() as u64;
        }
        bytes
    }

    fn sweep_resumable(&self, idle: Duration) -> Answer<'_, u64> {
        let mut swept = 0;
        self.state.lock().resumable.retain(|_, resumable| {
            let old = resumable.since.elapsed().is_ok_and(|age| age > idle);
            swept += if old { resumable.bytes.len() as u64 } else { 0 };
            !old
        });
        now(Ok(swept))
    }

    fn staged(&self, name: &str) -> Answer<'_, Option<StagedEntry>> {
        let state = self.state.lock();
        now(Ok(state.staged.get(name).map(|object| object.entry(name))))
    }

    fn list_staged(&self) -> Answer<'_, Vec<StagedEntry>> {
        let state = self.state.lock();
        let entries = state.staged.iter();
        now(Ok(entries
            .map(|(name, object)| object.entry(name))
            .collect()))
    }

    fn discard(&self, name: &str) -> Answer<'_, bool> {
        now(Ok(self.state.lock().staged.remove(name).is_some()))
    }

    fn sweep(&self, keep: HashSet<String>, idle: Duration) -> Answer<'_, usize> {
        let swept = {
            let mut state = self.state.lock();
            let before = state.staged.len();
            state.staged.retain(|name, _| keep.contains(name));
            state.publishing.retain(|name, _| keep.contains(name));
            before - state.staged.len()
        };
        async move {
            self.sweep_resumable(idle).await?;
            Ok(swept)
        }
        .boxed()
    }

    fn interrupted_publishes(&self, names: HashSet<String>) -> Answer<'_, Vec<(String, Digest)>> {
        let state = self.state.lock();
        let found = state.publishing.iter();
        let found = found.filter(|(name, _)| names.contains(*name));
        now(Ok(found
            .map(|(name, digest)| (name.clone(), digest.clone()))
            .collect()))
    }

    fn take_back(&self, name: &str, digest: &Digest, named: bool) -> Answer<'_, ()> {
        let mut state = self.state.lock();
        if !state.staged.contains_key(name)
            && let Some(blob) = state.blobs.get(digest).cloned()
        {
            let object = Object {
                bytes: Arc::new(Growing(Mutex::new(blob.bytes.to_vec()))),
                len: blob.bytes.len() as u64,
                modified: blob.modified,
            };
            state.staged.insert(name.to_owned(), object);
            if !named {
                state.blobs.remove(digest);
            }
        }
        state.publishing.remove(name);
        now(Ok(()))
    }

    fn keep_published(&self, name: &str) -> Answer<'_, ()> {
        self.state.lock().publishing.remove(name);
        now(Ok(()))
    }
}

impl StoreMarks for Memory {
    fn location(&self) -> &Path {
        location()
    }

    fn marks(&self) -> Answer<'_, Vec<Option<Marker>>> {
        let mark = self.state.lock().mark.clone();
        now(Ok(ALGORITHMS.iter().map(|_| mark.clone()).collect()))
    }

    fn mark(&self, marker: Marker) -> Answer<'_, ()> {
        self.state.lock().mark = Some(marker);
        now(Ok(()))
    }

    fn holds_any(&self) -> Answer<'_, bool> {
        now(Ok(!self.state.lock().blobs.is_empty()))
    }

    fn belongs_to(&self, store: &str) {
        self.state.lock().store = Some(store.to_owned());
    }

    fn check_in_place(&self) -> Answer<'_, ()> {
        now(self.state.lock().check_in_place())
    }
}

impl Object {
    fn entry(&self, name: &str) -> StagedEntry {
        StagedEntry {
            name: name.to_owned(),
            size: self.len,
            modified: self.modified,
        }
    }
}

/// The bytes of a blob.
struct Whole(Bytes);

impl fmt::Debug for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Whole").field(&self.0.len()).finish()
    }
}

/// `range` in parts of at most [`CHUNK`] bytes.
fn parts(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let starts = (range.start..range.end).step_by(usize::try_from(CHUNK).unwrap_or(usize::MAX));
    starts.map(move |start| start..range.end.min(start + CHUNK))
}

/// A part of bytes, all of it.
fn part<T>(bytes: &[u8], range: Range<u64>, take: impl FnOnce(Range<usize>) -> T) -> io::Result<T> {
    let index = |at| usize::try_from(at).unwrap_or(usize::MAX);
    let range = index(range.start)..index(range.end);
    if range.end > bytes.len() {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!(
                "the content ends at {} instead of {}",
                bytes.len(),
                range.end
            ),
        ));
    }
    Ok(take(range))
}

impl ReadRange for Whole {
    fn read(self: Arc<Self>, range: Range<u64>) -> BoxStream<'static, io::Result<Bytes>> {
        stream::iter(parts(range))
            .map(move |range| part(&self.0, range, |range| self.0.slice(range)))
            .boxed()
    }
}

/// The bytes of a staging object.
struct Growing(Mutex<Vec<u8>>);

impl fmt::Debug for Growing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Growing")
            .field(&self.0.lock().len())
            .finish()
    }
}

impl ReadRange for Growing {
    fn read(self: Arc<Self>, range: Range<u64>) -> BoxStream<'static, io::Result<Bytes>> {
        stream::iter(parts(range))
            .map(move |range| {
                let bytes = self.0.lock();
                let taken = part(&bytes, range, |range| {
                    bytes.get(range).map(Bytes::copy_from_slice)
                })?;
                taken.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
            })
            .boxed()
    }
}

impl RandomAccess for Growing {
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut all = self.0.lock();
        let start = usize::try_from(at).map_err(io::Error::other)?;
        let end = start.saturating_add(bytes.len());
        if all.len() < end {
            all.resize(end, 0);
        }
        if let Some(place) = all.get_mut(start..end) {
            place.copy_from_slice(bytes);
        }
        Ok(())
    }
}

/// What becomes of a staging object that is dropped.
enum Fate {
    Goes,
    Stays,
    /// The durable part is left to the next fill.
    Resumable((String, Digest), Resumption),
}

/// An object that is being received.
struct MemoryStaged {
    memory: Memory,
    name: String,
    /// Absent until the first use.
    bytes: Option<Arc<Growing>>,
    len: u64,
    durable: u64,
    fate: Fate,
}

impl MemoryStaged {
    /// The object's bytes. A new one is created; one that should be there and is not is an error.
    fn open(&mut self) -> Result<Arc<Growing>, StoreError> {
        if let Some(bytes) = &self.bytes {
            return Ok(Arc::clone(bytes));
        }
        let mut state = self.memory.state.lock();
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
        if let Some(object) = self.memory.state.lock().staged.get_mut(&self.name) {
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
                    let mut state = self.memory.state.lock();
                    let known = state.resumable.get(&key);
                    // Of two that are the same content, the longer stays.
                    if known.is_none_or(|known| known.bytes.len() <= resumable.bytes.len()) {
                        state.resumable.insert(key, resumable);
                    }
                }
            }
        }
        self.memory.state.lock().staged.remove(&self.name);
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
        let mut state = self.memory.state.lock();
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
