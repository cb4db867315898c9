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
mod cache;
mod compatibility;
mod conditional_delete;
mod content;
mod derived;
mod derived_evict;
mod disk;
mod error;
mod evict;
mod fill;
mod follow;
mod gc;
mod identity;
mod kept;
mod layout;
mod lease;
mod lock;
mod manifest;
mod open_blob;
mod orphaned_files;
mod ownership;
mod prefetched_ranges;
mod process;
mod progress;
mod publish;
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
mod settle;
mod stale;
mod stated;
mod steps;
mod store;
mod sweep;
mod tag;
mod task;
mod upload;
mod upload_id;
mod upload_session;

pub use backup::{BackupOptions, BackupReport, Copying};
pub use blob::Blob;
pub use content::{BlobChunk, BlobChunks, BlobStream, Disk, WINDOW, Window};
pub use derived::Deriving;
pub use derived_evict::EvictedDerived;
pub use error::StoreError;
pub use evict::Evicted;
pub use fill::{Fill, FillError};
pub use follow::{FillHandle, Follower};
pub use gc::{GcOptions, GcReport};
pub use lock::Locking;
pub use open_blob::OpenBlob;
pub use process::Process;
pub use publish::PutBlobError;
pub use range_prefetch::PrefetchedRange;
pub use records::{
    AccountRecord, Candidate, CandidatesAfter, Deletion, Derived, DerivedTotal, LocalName, Origin,
    Page, PutError, PutManifest, Redacted, Release, StoredManifest, TagRecord, Use, Which,
};
pub use restore::{RestoreOptions, RestoreReport, restore};
pub use resumable::Begun;
pub use scrub_report::{Finding, ScrubOptions, ScrubProgress, ScrubReport};
pub use steps::Steps;
pub use store::{Mode, Options, Store};
pub use upload::{AppendError, FinishError, SendError, Upload};
pub use upload_id::{UploadId, UploadIdError};
