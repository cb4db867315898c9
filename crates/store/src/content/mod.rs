//! Content: the bytes of blobs behind one trait, so that the rest of the store does not depend on
//! files and paths.
//!
//! Bytes are *staged*: appended to a staging object that is neither verified nor durable. Once
//! their digest is verified they are *published*: made durable and stored under the digest,
//! complete and immutable. They are *opened* as a file, as a stream or as a redirect, *deleted*,
//! and *listed* in partitions. [`files`] stores them in local files, [`memory`] in memory.
//! Repositories and rights are not known here.

mod blob_chunks;
mod blob_stream;
mod files;
mod marker;
mod memory;
mod resumption;
mod source;
mod traits;
mod write_buffer;

#[cfg(test)]
mod tests;

pub use blob_chunks::{BlobChunk, BlobChunks};
pub use blob_stream::BlobStream;
pub use files::{WINDOW, Window};
pub use traits::Disk;

pub(crate) use files::{Files, Streams};
pub(crate) use marker::{Known, Marker, Survey, Verdict, bearable, judge};

pub(crate) use memory::Memory;
pub(crate) use resumption::Resumption;
pub(crate) use source::{Opened, StagedBytes};
pub(crate) use traits::{
    ALGORITHMS, Content, Listed, Partition, Placing, Stage, Staging, StoreMarks,
};
pub(crate) use write_buffer::{Disconnected, Piece, WriteBuffer};
