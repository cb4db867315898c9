//! What a MetaHub keeps, on local disk: blobs as content-addressed files, everything else in
//! SQLite.
//!
//! What was acknowledged survives a kill and a power cut: content is verified, made durable and
//! moved into place before the database commits that it is there. Reading a blob needs a
//! repository that holds it; knowing a digest opens nothing. File work never runs on the
//! asynchronous workers. Nothing here knows HTTP, profiles or rights.

mod account;
mod backup;
mod backup_folder;
mod blob;
mod blob_chunks;
mod blob_stream;
mod cache;
mod compatibility;
mod conditional_delete;
mod derived;
mod derived_evict;
mod disk;
mod error;
mod evict;
mod fill;
mod follow;
mod gc;
mod identity;
mod interrupted;
mod kept;
mod layout;
mod lease;
mod lock;
mod manifest;
mod marker;
mod open_blob;
mod orphaned_files;
mod ownership;
mod pool;
mod process;
mod publish;
mod publishing;
mod put_manifest;
mod range_prefetch;
mod readers;
mod records;
mod referrers;
mod repository;
mod reserve;
mod restore;
mod resumable;
mod scrub;
mod scrub_blobs;
mod scrub_orphans;
mod scrub_report;
mod staged;
mod stale;
mod stated;
mod steps;
mod store;
mod sweep;
mod tag;
mod upload;
mod upload_id;
mod verified;
mod write_buffer;

pub use account::{AccountRecord, Redacted};
pub use backup::{BackupOptions, BackupReport, Copying};
pub use blob::Blob;
pub use blob_chunks::{BlobChunk, BlobChunks, WINDOW, Window};
pub use blob_stream::BlobStream;
pub use derived::{Derived, DerivedTotal, Deriving};
pub use derived_evict::EvictedDerived;
pub use disk::Disk;
pub use error::StoreError;
pub use evict::Evicted;
pub use fill::{Fill, FillError};
pub use follow::{FillHandle, Follower};
pub use gc::{GcOptions, GcReport};
pub use kept::{Candidate, CandidatesAfter, Use, Which};
pub use lock::Locking;
pub use open_blob::{Content, OpenBlob};
pub use ownership::{LocalName, Release};
pub use process::Process;
pub use publish::PutBlobError;
pub use range_prefetch::PrefetchedRange;
pub use records::{Deletion, Origin, Page, PutError, PutManifest, StoredManifest, TagRecord};
pub use restore::{RestoreOptions, RestoreReport, restore};
pub use resumable::Begun;
pub use scrub_report::{Finding, ScrubOptions, ScrubProgress, ScrubReport};
pub use stale::{DerivedManifest, MadeFrom};
pub use steps::Steps;
pub use store::{Mode, Options, Store};
pub use upload::{AppendError, FinishError, SendError, Upload};
pub use upload_id::{UploadId, UploadIdError};
