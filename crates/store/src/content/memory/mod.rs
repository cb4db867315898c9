//! Content in memory: whole blobs and whole staging objects. For tests and demonstrations, and to
//! hold the other implementation to the same answers.
//!
//! Nothing outlives the process. Here, *durable* means what a paused or resumed fill declared
//! durable: what a staging object leaves to the next fill when it is dropped.

mod bytes;
mod staged;
mod state;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ::bytes::Bytes;
use futures_util::future::FutureExt as _;
use metahub_oci::Digest;
use parking_lot::Mutex;

use crate::content::marker::Marker;
use crate::content::memory::bytes::{Growing, Whole};
use crate::content::memory::staged::{Fate, MemoryStaged, fresh, now};
use crate::content::memory::state::{Object, State, location};
use crate::content::resumption::Resumption;
use crate::content::source::Opened;
use crate::content::traits::{
    ALGORITHMS, Answer, Blobs, Content, Disk, Listed, Partition, Stage, StagedEntry, Staging,
    StagingArea, StoreMarks,
};
use crate::{Damage, StoreError};

/// Content in memory. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    state: Arc<Mutex<State>>,
    /// The URL to which clients are redirected instead of getting bytes.
    redirect: Option<String>,
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
        Box::new(MemoryStaged::new(&self.state, name, len, fate))
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
            Some(found) => Damage::WrongSize {
                expected: size,
                found: found.bytes.len() as u64,
            },
            None => Damage::Missing,
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
        let resumed = found.map(|found| MemoryStaged::resumed(&self.state, key, found));
        now(Ok(
            resumed.map(|staged| Box::new(staged) as Box<dyn Staging>)
        ))
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
