//! The storage of a MetaHub: content (blobs, and what is being received) and records (everything
//! else), each behind a trait: `content` in local files or in memory, `records` in SQLite or in
//! memory.
//!
//! Acknowledged writes survive a kill and a power cut: content is verified, made durable and moved
//! into place before the database commits its existence. Reading a blob needs a repository that
//! holds it; a digest alone gives no access. File work never runs on the asynchronous workers.
//! Nothing here depends on HTTP, profiles or rights.

mod account;
mod backup;
mod blobs;
mod cache;
mod content;
mod demand;
mod documents;
mod error;
mod eviction;
mod fills;
mod folder;
mod gc;
mod layer_needs;
mod manifests;
mod nodes;
mod records;
mod repositories;
mod scrub;
mod steps;
mod store;
mod task;
mod uploads;

pub use backup::create::{BackupOptions, BackupReport, Copying};
pub use backup::restore::{RestoreOptions, RestoreReport, restore};
pub use blobs::blob::Blob;
pub use blobs::open_blob::OpenBlob;
pub use blobs::publish::PutBlobError;
pub use cache::Generation;
pub use content::{BlobChunk, BlobChunks, BlobStream, Disk, WINDOW, Window};
pub use demand::MOST_NODES;
pub use error::{Damage, StoreError};
pub use eviction::derived_evict::{DerivedBound, EvictedDerived};
pub use eviction::evict::Evicted;
pub use fills::fill::{Fill, FillError};
pub use fills::follow::{FillHandle, Follower};
pub use fills::range_prefetch::PrefetchedRange;
pub use fills::resumable::ResumableFill;
pub use folder::lock::Locking;
pub use folder::process::Process;
pub use gc::collect::{GcOptions, GcReport};
pub use manifests::derived::{DerivedOutcome, Deriving};
pub use records::{
    AccountRecord, Candidate, CandidatesAfter, Deletion, DemandBounds, DemandCount, DemandGot,
    DemandKey, DemandRecord, Derived, DerivedTotal, DocumentBounds, DocumentChange,
    DocumentOutcome, DocumentVersion, Join, JoinToken, Joining, LocalName, MOST_NODE_IMAGES,
    NodeFacts, NodeImage, NodeNote, NodeRecord, Origin, Page, Pin, Pinning, Precondition, PutError,
    PutManifest, Redacted, Release, SecretHash, StoredManifest, TagRecord, Use, Which,
};
pub use scrub::report::{Finding, ScrubOptions, ScrubProgress, ScrubReport};
pub use steps::Steps;
pub use store::{Mode, Options, Store};
pub use uploads::upload::{AppendError, FinishError, SendError, Upload};
pub use uploads::upload_id::{UploadId, UploadIdError};
