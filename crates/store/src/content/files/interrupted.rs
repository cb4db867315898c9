//! Interrupted fills, by a kill, a shutdown or an upstream that went away: the durable prefix stays
//! in staging, and the next fill of the same content from the same source resumes it.
//!
//! A note next to the staged file records the length of the durable prefix and its hash. The prefix
//! is hashed again before it is resumed, and nothing of it is a blob before the whole is verified.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use metahub_oci::{Algorithm, Digest, Hasher};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::content::files::hash::hash_file;
use crate::content::resumption::Resumption;
use crate::folder::layout::remove_file;

/// What a note's name has more than its file's.
const NOTE: &str = "note";

/// At most so many are kept: clients that request content and leave can create any number.
const MOST: usize = 1024;

/// The source of a content, and its digest.
type Key = (String, Digest);

/// The note next to a staged file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    source: String,
    digest: Digest,
    /// So many bytes are durable,
    length: u64,
    /// and hash to this.
    prefix: Digest,
}

/// A staged file without a writer.
#[derive(Debug)]
struct Resting {
    path: PathBuf,
    note: Note,
    since: SystemTime,
}

/// The fills of a store that were interrupted.
#[derive(Debug, Default)]
pub(crate) struct Interrupted(Mutex<HashMap<Key, Resting>>);

impl Interrupted {
    /// Finds the parts in `staging` that are not older than `idle`; returns the names of their
    /// files. Blocks.
    pub(crate) fn find(&self, staging: &Path, idle: Duration) -> io::Result<HashSet<String>> {
        for entry in fs::read_dir(staging)? {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == NOTE)
                && let Some(resting) = read(&path)
                && !is_older(resting.since, idle)
            {
                self.put(resting);
            }
        }
        Ok(self.names())
    }

    /// The names of their files, notes included.
    pub(crate) fn names(&self) -> HashSet<String> {
        let known = self.0.lock();
        let paths = known
            .values()
            .flat_map(|r| [note_of(&r.path), r.path.clone()]);
        paths
            .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
            .collect()
    }

    /// How many bytes they have, by source.
    pub(crate) fn bytes(&self) -> HashMap<String, u64> {
        let mut bytes = HashMap::new();
        for resting in self.0.lock().values() {
            *bytes.entry(resting.note.source.clone()).or_default() += resting.note.length;
        }
        bytes
    }

    /// Removes parts that were not requested for `idle`; returns how many bytes. Blocks.
    pub(crate) fn sweep(&self, idle: Duration) -> u64 {
        let old: Vec<Resting> = self
            .0
            .lock()
            .extract_if(|_, resting| is_older(resting.since, idle))
            .map(|(_, resting)| resting)
            .collect();
        for resting in &old {
            resting.remove();
        }
        old.iter().map(|resting| resting.note.length).sum()
    }

    /// Of two that are the same content, the longer stays.
    fn put(&self, resting: Resting) {
        let key = (resting.note.source.clone(), resting.note.digest.clone());
        let mut known = self.0.lock();
        let left = match known.remove(&key) {
            Some(other) if other.note.length > resting.note.length => {
                known.insert(key, other);
                Some(resting)
            }
            other => {
                known.insert(key, resting);
                other
            }
        };
        let oldest = (known.len() > MOST)
            .then(|| known.iter().min_by_key(|(_, resting)| resting.since))
            .flatten()
            .map(|(key, _)| key.clone());
        let too_many = oldest.and_then(|key| known.remove(&key));
        drop(known);
        for left in left.into_iter().chain(too_many) {
            left.remove();
        }
    }

    /// Takes the part of `digest` from `source` for the caller. `None` if it is damaged. Blocks.
    pub(crate) fn take(self: &Arc<Self>, source: &str, digest: &Digest) -> Option<Beginning> {
        let key = (source.to_owned(), digest.clone());
        let resting = self.0.lock().remove(&key)?;
        match resting.open() {
            Ok((file, hasher)) => {
                let length = resting.note.length;
                let mark = Mark {
                    interrupted: Arc::clone(self),
                    key,
                    path: resting.path,
                    state: Mutex::new(State::Durable(resting.note)),
                    resumption: Resumption::default(),
                };
                Some(Beginning {
                    file,
                    length,
                    hasher,
                    mark: Arc::new(mark),
                })
            }
            Err(error) => {
                tracing::warn!(%digest, source, %error, "what had come of a fill is not used");
                resting.remove();
                None
            }
        }
    }

    /// Whether anything is there of `digest` from `source`. Costs no file.
    pub(crate) fn has(&self, source: &str, digest: &Digest) -> bool {
        let key = (source.to_owned(), digest.clone());
        self.0.lock().contains_key(&key)
    }
}

impl Resting {
    /// Opens it and checks that its hash is the recorded one.
    fn open(&self) -> io::Result<(File, Hasher)> {
        let file = OpenOptions::new().read(true).write(true).open(&self.path)?;
        let hasher = hash_file(&file, self.note.length, Algorithm::Sha256)?;
        let found = hasher.clone().finish();
        if found != self.note.prefix {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("it hashes to {found} instead of {}", self.note.prefix),
            ));
        }
        // Prefetched ranges may follow it.
        file.set_len(self.note.length)?;
        Ok((file, hasher))
    }

    /// Removes the files. Those that cannot be removed go at the next start.
    fn remove(&self) {
        remove(&self.path);
    }
}

fn remove(path: &Path) {
    for path in [&note_of(path), path] {
        if let Err(error) = remove_file(path) {
            tracing::warn!(%error, "a staged file stays until the next start");
        }
    }
}

fn is_older(since: SystemTime, idle: Duration) -> bool {
    since.elapsed().is_ok_and(|age| age > idle)
}

fn note_of(path: &Path) -> PathBuf {
    path.with_extension(NOTE)
}

/// What a note says, if its file is there. A note that says nothing is left over.
fn read(note: &Path) -> Option<Resting> {
    let path = note.with_extension("");
    let since = fs::metadata(note).ok()?.modified().ok()?;
    let note: Note = serde_json::from_slice(&fs::read(note).ok()?).ok()?;
    let length = fs::metadata(&path).ok()?.len();
    (length >= note.length).then_some(Resting { path, note, since })
}

/// A staged file that is resumed.
pub(crate) struct Beginning {
    /// Truncated to the verified part.
    pub(crate) file: File,
    pub(crate) length: u64,
    /// What it hashes to so far.
    pub(crate) hasher: Hasher,
    pub(crate) mark: Arc<Mark>,
}

#[derive(Debug)]
enum State {
    /// Nothing of it would be worth keeping.
    Nothing,
    /// So much is durable.
    Durable(Note),
    /// It is published, abandoned, or wrong: no further note is written.
    Over,
}

/// What makes a staged file one that may be resumed later.
#[derive(Debug)]
pub(crate) struct Mark {
    interrupted: Arc<Interrupted>,
    key: Key,
    path: PathBuf,
    state: Mutex<State>,
    /// What the fill shares with it.
    resumption: Resumption,
}

impl Mark {
    /// For a new file.
    pub(crate) fn new(
        interrupted: &Arc<Interrupted>,
        source: &str,
        digest: &Digest,
        path: &Path,
    ) -> Self {
        Self {
            interrupted: Arc::clone(interrupted),
            key: (source.to_owned(), digest.clone()),
            path: path.to_owned(),
            state: Mutex::new(State::Nothing),
            resumption: Resumption::default(),
        }
    }

    /// What the fill shares with it.
    pub(crate) fn resumption(&self) -> &Resumption {
        &self.resumption
    }

    /// Where the file is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes down that so much is durable, and what it hashes to. Blocks.
    pub(crate) fn durable(&self, length: u64, prefix: Digest) -> io::Result<()> {
        let mut state = self.state.lock();
        if matches!(*state, State::Over) || self.resumption.is_spoiled() {
            return Ok(());
        }
        let (source, digest) = self.key.clone();
        let note = Note {
            source,
            digest,
            length,
            prefix,
        };
        // As a whole or not at all: the previous note is valid until then.
        let (to, draft) = (note_of(&self.path), self.path.with_extension("draft"));
        let written = fs::write(&draft, serde_json::to_vec(&note)?);
        if let Err(error) = written.and_then(|()| fs::rename(&draft, to)) {
            // The disk may have had no room for it.
            let _ = remove_file(&draft);
            return Err(error);
        }
        *state = State::Durable(note);
        Ok(())
    }

    /// Leaves the file for another fill, unless there is nothing to leave, or a writer may still
    /// change it under that fill. Returns whether it does.
    pub(crate) fn leave(&self) -> bool {
        if !self.resumption.allows() {
            return false;
        }
        let mut state = self.state.lock();
        let State::Durable(note) = std::mem::replace(&mut *state, State::Over) else {
            return false;
        };
        self.interrupted.put(Resting {
            path: self.path.clone(),
            note,
            since: SystemTime::now(),
        });
        true
    }

    /// The file is no beginning any more: removes its note. Blocks.
    pub(crate) fn forget(&self) {
        *self.state.lock() = State::Over;
        if let Err(error) = remove_file(&note_of(&self.path)) {
            tracing::warn!(%error, "a note stays until the next start");
        }
    }
}
