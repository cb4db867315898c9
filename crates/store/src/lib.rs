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
mod begun;
mod blob;
mod blob_stream;
mod cache;
mod checkpoint;
mod database;
mod derived;
mod disk;
mod encoding;
mod error;
mod evict;
mod fill;
mod follow;
mod gather;
mod gc;
mod guarded;
mod identity;
mod interrupted;
mod kept;
mod layout;
mod lease;
mod lock;
mod manifest;
mod marker;
mod open_blob;
mod ownership;
mod pool;
mod portions;
mod process;
mod publish;
mod publishing;
mod put_manifest;
mod readers;
mod references;
mod referrers;
mod repository;
mod reserve;
mod restore;
mod scrub;
mod scrub_blobs;
mod scrub_orphans;
mod scrub_report;
mod staged;
mod stale;
mod stated;
mod steps;
mod store;
mod strays;
mod stretch;
mod sweep;
mod tag;
mod upload;
mod upload_id;
mod verified;
mod writer;

pub use account::{AccountRecord, Redacted};
pub use backup::{BackupOptions, BackupReport, Copying};
pub use begun::Begun;
pub use blob::Blob;
pub use blob_stream::BlobStream;
pub use derived::Derived;
pub use disk::Disk;
pub use error::StoreError;
pub use evict::Evicted;
pub use fill::{Fill, FillError};
pub use follow::{FillHandle, Follower};
pub use gc::{GcOptions, GcReport};
pub use guarded::Deletion;
pub use kept::{Candidate, CandidatesAfter, Use, Which};
pub use lock::Locking;
pub use manifest::{Origin, StoredManifest};
pub use open_blob::{Content, OpenBlob};
pub use ownership::{LocalName, Release};
pub use portions::{Portion, Portions, WINDOW, Window};
pub use process::Process;
pub use publish::PutBlobError;
pub use put_manifest::{PutError, PutManifest};
pub use repository::Page;
pub use restore::{RestoreOptions, RestoreReport, restore};
pub use scrub_report::{Finding, ScrubOptions, ScrubProgress, ScrubReport};
pub use stale::{DerivedManifest, MadeFrom};
pub use steps::Steps;
pub use store::{Mode, Options, Store};
pub use stretch::Stretch;
pub use tag::TagRecord;
pub use upload::{AppendError, FinishError, SendError, Upload};
pub use upload_id::{UploadId, UploadIdError};
