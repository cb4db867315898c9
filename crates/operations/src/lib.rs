//! The operations that the command, the control socket, the server's schedule and its API share:
//! each is a typed request with a typed report, and reports its progress in bytes. Callers parse,
//! call and print; nothing here prints, reads arguments or speaks a protocol.
//!
//! Operations on a data folder implement [`Operation`], and [`Request`] is any of them, as it goes
//! through the control socket. [`Check`], [`Coverage`], [`Inspect`] and [`Resolve`] read documents
//! or images and change nothing. [`export()`] and [`restore()`] write files of their own.

mod backup;
mod catalog_blob;
mod catalog_error;
mod catalog_lock;
mod catalog_reader;
mod catalog_signatures;
mod check;
mod common;
mod coverage;
mod curation;
mod demand;
mod documents;
mod error;
mod export;
mod image_reader;
mod images;
mod import;
mod inspect;
mod local_catalog;
mod local_images;
mod names;
mod offline;
mod operation;
mod pins;
mod profile_test;
mod progress;
mod request;
mod resolve;
mod resolve_locally;
mod update_catalog;
mod upkeep;
mod verify;
mod verify_catalog;
mod why;

pub use backup::{Backup, BackupOutcome, RestoreOutcome, restore};
pub use catalog_error::CatalogError;
pub use catalog_lock::{CatalogLock, LockError, MAX_LOCK_BYTES, Moved};
pub use catalog_reader::{CatalogReader, CatalogState, FetchedCatalog};
pub use check::{Check, CheckReport};
pub use common::{CommonLogin, objection, served};
pub use coverage::{Cell, Coverage, Kind, Matrix, Row};
pub use curation::{
    Changed, Curation, CurationError, DOCUMENT_BOUNDS, DOCUMENTS_PATH, DocumentKind, Expects,
    JoinedCatalog, Listed, MAX_DOCUMENT_BYTES, Shown, VersionInfo, api_documents,
};
pub use demand::ShowDemand;
pub use documents::{DocumentsError, ImportedDocuments, imported_folder};
pub use error::OperationError;
pub use export::{Exported, ExportedImage, export};
pub use image_reader::ImageReader;
pub use images::{Images, TakeInventory, Warm, Warmed, fetch};
pub use import::{ImportBundle, ImportReport};
pub use inspect::{
    Inspect, InspectReport, Inspected, LabelVerdict, LiftedFile, RunOn, RunOutcome, RunReport,
};
pub use local_images::LocalImages;
pub use names::{ListEmptyNames, Release};
pub use operation::Operation;
pub use pins::{ListPins, PinImage, UnpinImage};
pub use profile_test::{Mismatch, ProfileTest, ProfileTestReport, TestOutcome};
pub use progress::Progress;
pub use request::Request;
pub use resolve::{NothingFits, Resolve};
pub use resolve_locally::{ResolveLocally, Resolved};
pub use update_catalog::{ChangedDocument, UpdateCatalog, UpdateReport};
pub use upkeep::{CollectGarbage, Scrub, ScrubOutcome};
pub use verify::{Verification, VerifiedImage};
pub use verify_catalog::{FoundImage, VerifyCatalog, VerifyReport};
pub use why::{Story, StoryChoice, StoryProfile, StorySource};
