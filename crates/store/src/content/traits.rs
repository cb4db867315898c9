//! The seam between the store and the storage of its blobs' bytes.
//!
//! Three traits for three subjects, [`Blobs`], [`StagingArea`] and [`StoreMarks`], and one object
//! that implements all of them, [`Content`]. [`Staging`] is one object that is being received.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use metahub_oci::{Algorithm, Digest};

use crate::StoreError;
use crate::content::marker::Marker;
use crate::content::resumption::Resumption;
use crate::content::source::{Opened, StagedBytes};
use crate::content::write_buffer::Batch;

/// The algorithms whose digests name blobs.
pub(crate) const ALGORITHMS: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];

/// The smallest prefix of an interrupted fill that is kept, in bytes: fetching less again is faster
/// than hashing it.
pub(crate) const WORTH_KEEPING: u64 = 256 * 1024;

/// The size of a disk, or of another storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Bytes in all.
    pub size: u64,
    /// Bytes that may still be written by this user.
    pub free: u64,
}

/// A future of the content, or why it failed.
pub(crate) type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// The storage of blobs' bytes. Shared by all tasks.
pub(crate) trait Content: Blobs + StagingArea + StoreMarks + fmt::Debug {
    /// The free space of the storage.
    fn space(&self) -> Answer<'_, Disk>;
}

/// The blobs that are published, by their digests. To be changed under the digest's guard.
pub(crate) trait Blobs: Send + Sync {
    /// Publishes bytes in memory with a verified digest. See [`Staging::publish`].
    fn put(&self, digest: &Digest, bytes: Bytes, replaces: bool) -> Answer<'_, ()>;

    /// Opens the blob if that needs no waiting.
    fn open_now(&self, digest: &Digest, size: u64) -> Option<Opened>;

    /// Opens the blob, which is known to have `size` bytes.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if it is missing or of another size, but
    /// [`StoreError::ContentAbsent`] if everything is missing.
    fn open(&self, digest: &Digest, size: u64) -> Answer<'_, Opened>;

    /// The size of the blob `digest`, if it exists. Does not read it.
    fn size(&self, digest: &Digest) -> Answer<'_, Option<u64>>;

    /// Removes the blob; returns whether it was there. Its space is freed once no reader is left.
    fn delete(&self, digest: &Digest) -> Answer<'_, bool>;

    /// Moves a damaged blob out of the way, for the operator to inspect.
    fn quarantine(&self, digest: &Digest) -> Answer<'_, ()>;

    /// The entries of one partition, in no order.
    fn list(&self, partition: Partition) -> Answer<'_, Vec<Listed>>;

    /// Removes what [`Blobs::list`] found under a name that is no digest; returns whether it was
    /// there.
    fn delete_other(&self, partition: Partition, name: &str) -> Answer<'_, bool>;
}

/// The objects that are being received. Only the process that serves writes here.
pub(crate) trait StagingArea: Send + Sync {
    /// Begins a staging object, or continues one. Does no work before the first append.
    fn stage(&self, stage: Stage<'_>) -> Box<dyn Staging>;

    /// Resumes an interrupted fill of `digest` from `source`, if its prefix exists and is intact.
    /// Reads all of it. No other fill gets it.
    fn resume(&self, source: &str, digest: &Digest) -> Answer<'_, Option<Box<dyn Staging>>>;

    /// Whether [`StagingArea::resume`] would find anything. Costs nothing.
    fn can_resume(&self, source: &str, digest: &Digest) -> bool;

    /// Bytes of resumable prefixes, by source.
    fn resumable_bytes(&self) -> HashMap<String, u64>;

    /// Removes resumable prefixes older than `idle`. Returns their bytes.
    fn sweep_resumable(&self, idle: Duration) -> Answer<'_, u64>;

    /// The staging object `name`, if it exists.
    fn staged(&self, name: &str) -> Answer<'_, Option<StagedEntry>>;

    /// All staging objects except resumable prefixes, in no order.
    fn list_staged(&self) -> Answer<'_, Vec<StagedEntry>>;

    /// Removes a staging object without a writer; returns whether it was there.
    fn discard(&self, name: &str) -> Answer<'_, bool>;

    /// Removes what an interrupted process left: all but the objects named in `keep` and those that
    /// can be resumed and are not older than `idle`. Returns how many objects, notes included. To
    /// be called once, before anything is staged.
    fn sweep(&self, keep: HashSet<String>, idle: Duration) -> Answer<'_, usize>;

    /// The objects of `names` whose reversible publishing ([`Placing`]) was interrupted, and what
    /// they were published as, by name.
    fn interrupted_publishes(&self, names: HashSet<String>) -> Answer<'_, Vec<(String, Digest)>>;

    /// Reverses a reversible publishing: the blob becomes its staging object again. If a row names
    /// the blob (`named`), it stays a blob as well. Does nothing if the staging object exists. To
    /// be called under the digest's guard.
    fn take_back(&self, name: &str, digest: &Digest, named: bool) -> Answer<'_, ()>;

    /// Ends the reversibility of a publishing.
    fn keep_published(&self, name: &str) -> Answer<'_, ()>;
}

/// The marks that say which store the content belongs to.
pub(crate) trait StoreMarks: Send + Sync {
    /// The location of the content, for messages.
    fn location(&self) -> &Path;

    /// The mark of each algorithm's part, if it is readable.
    fn marks(&self) -> Answer<'_, Vec<Option<Marker>>>;

    /// Creates what is missing and marks it, durably.
    fn mark(&self, marker: Marker) -> Answer<'_, ()>;

    /// Whether there is any blob.
    fn holds_any(&self) -> Answer<'_, bool>;

    /// Sets the store that the content belongs to: other marks mean that it is not in place.
    fn belongs_to(&self, store: &str);

    /// Fails unless the marks are those of the store that [`StoreMarks::belongs_to`] named: the
    /// content may have been unmounted or emptied while the store is open.
    fn check_in_place(&self) -> Answer<'_, ()>;
}

/// An object that is being received. What becomes of it when it is dropped, [`Stage`] says.
pub(crate) trait Staging: Send {
    /// Its name in the staging area.
    fn name(&self) -> &str;

    /// How many bytes were received.
    fn len(&self) -> u64;

    /// How many of them are certainly durable.
    fn durable(&self) -> u64;

    /// Its bytes, for reading; created if it does not exist.
    fn bytes(&mut self) -> Answer<'_, StagedBytes>;

    /// The same, if it is open.
    fn opened(&self) -> Option<StagedBytes>;

    /// Appends bytes. After an error the object is as long as before.
    fn append(&mut self, bytes: Batch) -> Answer<'_, ()>;

    /// Includes bytes that others wrote into [`StagedBytes`] beyond its end, up to `end`.
    fn absorb(&mut self, end: u64) -> Answer<'_, ()>;

    /// The digest of the bytes received so far.
    fn digest(&mut self, algorithm: Algorithm) -> Answer<'_, Digest>;

    /// All bytes, of a small object.
    fn read(&mut self) -> Answer<'_, Bytes>;

    /// Waits for early flushes, truncates the rest of a failed append and, for a large object,
    /// makes it durable, so that [`Staging::publish`] need not wait for that.
    fn settle(&mut self) -> Answer<'_, ()>;

    /// Publishes the bytes, whose digest the caller verified, under `digest`: durably and
    /// atomically. After [`Staging::settle`], and under the digest's guard.
    fn publish(self: Box<Self>, digest: &Digest, placing: Placing) -> Answer<'static, ()>;

    /// What a fill shares with it; `None` if it cannot be resumed.
    fn resumption(&self) -> Option<Resumption>;

    /// Closes open files; the next use opens them again.
    fn rest(&mut self);

    /// Ends an incomplete object: makes its prefix durable, if it can be resumed. Returns when that
    /// is done, or when its space is free.
    fn give_up(self: Box<Self>) -> BoxFuture<'static, ()>;

    /// Ends as a drop does. Returns when its space is free, if it is removed.
    fn end(self: Box<Self>) -> BoxFuture<'static, ()>;

    /// Removes it. Readers that have it open can read on.
    fn remove(self: Box<Self>) -> Answer<'static, ()>;
}

/// The kind of a staging object: how it begins, and how it ends when it is dropped.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stage<'a> {
    /// A new one that is removed.
    Temporary,
    /// A new one whose durable prefix the next fill of the same content from the same source can
    /// resume.
    Resumable {
        /// The source of the content.
        source: &'a str,
        /// The digest of the content.
        digest: &'a Digest,
    },
    /// A persistent one of this name, with so many bytes received before.
    Kept {
        /// Its name.
        name: &'a str,
        /// Its length in bytes.
        len: u64,
    },
}

/// How a blob is put in place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Placing {
    /// A row names a blob of the same digest: that must not be touched before its successor is
    /// durable.
    pub(crate) replaces: bool,
    /// Until [`StagingArea::keep_published`], [`StagingArea::take_back`] undoes it, also after a
    /// kill; a failure leaves the staging object where it is. Otherwise the object is gone then.
    pub(crate) reversible: bool,
}

/// An entry of the staging area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StagedEntry {
    pub(crate) name: String,
    /// Bytes.
    pub(crate) size: u64,
    /// When it was appended to last.
    pub(crate) modified: SystemTime,
}

/// The blobs of one algorithm whose value begins with one byte: the unit of listings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Partition {
    pub(crate) algorithm: Algorithm,
    pub(crate) first: u8,
}

impl Partition {
    /// All partitions.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        ALGORITHMS
            .into_iter()
            .flat_map(|algorithm| (0..=u8::MAX).map(move |first| Self { algorithm, first }))
    }
}

/// An entry among the blobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Its name there.
    pub(crate) name: String,
    /// The digest, if the name is one.
    pub(crate) digest: Option<Digest>,
    /// Bytes.
    pub(crate) size: u64,
    /// When it was written.
    pub(crate) modified: SystemTime,
}
