//! Errors of the store itself. Errors of one operation are defined in its module.
//!
//! A full or a read-only disk has a variant of its own, so that callers can answer with more than
//! "internal error"; nothing here names content of a repository.

use std::io;
use std::path::{Path, PathBuf};

use metahub_oci::Digest;
use rustix::io::Errno;

/// The damage of stored content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It is gone.
    #[error("its file is missing")]
    Missing,
    /// It is too long or too short.
    #[error("its file holds {found} bytes instead of {expected}")]
    WrongSize {
        /// The size that was recorded, in bytes.
        expected: u64,
        /// The size that it has, in bytes.
        found: u64,
    },
    /// It hashes to this digest.
    #[error("its bytes hash to {0}")]
    HashesTo(Digest),
    /// It does not match its digest.
    #[error("its bytes hash to something else")]
    OtherContent,
    /// It cannot be read to its end, with the system's message.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
}

/// Why an operation of the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process serves this data folder.
    #[error(
        "the data folder {} is in use by another metahub serve: stop that one, or give this one another folder with --data",
        .0.display()
    )]
    InUse(PathBuf),
    /// Another process took the data folder over while this one did not answer.
    #[error(
        "another process serves this data folder now: this one writes nothing any more, end it"
    )]
    Superseded,
    /// A server of another version holds the folder, whose schema must not change under it.
    #[error(
        "the data folder {} is served by an older metahub, and this version would have to change \
         its database: run the command of the server's version, or start the server with this one",
        .0.display()
    )]
    OlderServer(PathBuf),
    /// The folder of blobs is not the one that the database was written with.
    #[error(
        "{} does not hold what the database names: {problem}; mount it, or restore it, and try \
         again; if the content is lost for good, run metahub scrub --accept-loss",
        .folder.display()
    )]
    ContentAbsent {
        /// The folder of blobs.
        folder: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A restore into this folder was not finished.
    #[error(
        "the data folder {} is not restored completely: run metahub restore again",
        .0.display()
    )]
    Restoring(PathBuf),
    /// A backup cannot be made or used.
    #[error("{}: {problem}", .folder.display())]
    Backup {
        /// The folder of the backup, or the target of the restore.
        folder: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The disk, or the quota on it, is full.
    #[error(
        "no space left on the disk that holds {}: free some, or run metahub gc; nothing was stored",
        .0.display()
    )]
    NoSpace(PathBuf),
    /// The file system is mounted read-only, or the folder may not be written.
    #[error(
        "{} is read-only: mount it writable, or give the user that runs metahub the right to write",
        .0.display()
    )]
    ReadOnly(PathBuf),
    /// Any other failure of the file system.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// The action, as a verb.
        action: &'static str,
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Stored content does not match its digest, or is gone from the disk.
    #[error(
        "the stored content of {digest} is damaged ({problem}): run metahub scrub, or push it again"
    )]
    Damaged {
        /// The requested content.
        digest: Digest,
        /// What is wrong with it.
        problem: Damage,
    },
    /// A blob is larger than the limit for reading one into memory.
    #[error("{digest} has {size} bytes where at most {limit} are read at once")]
    TooLarge {
        /// The requested content.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// A row of the database has a value that this program never writes.
    #[error("the database {} is damaged ({problem}): restore it from a backup", .path.display())]
    Corrupt {
        /// The database file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The database was written by a later version of this program.
    #[error(
        "the data folder was written by a newer metahub (schema {0}): run that version or a later one"
    )]
    Newer(i64),
    /// Another process held the database's write lock for too long.
    #[error("the database is locked by another process: end it, or try again later")]
    Busy,
    /// A task of the operation panicked.
    #[error(
        "work on the data folder ended unexpectedly, which is a defect: the log says where; nothing was stored, try again"
    )]
    Aborted,
    /// The database's writer ended unexpectedly.
    #[error("the task that writes the database has ended: restart metahub, its log says why")]
    WriterEnded,
    /// The records or the content of this store do not support that.
    #[error("{0} is not possible with a store in memory: keep it in a data folder")]
    NotSupported(&'static str),
    /// The store was closed while the operation waited.
    #[error("the store is closed")]
    Closed,
    /// Any other failure of the database.
    #[error("database error: {0}")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// The error `source` of `action` on `path`.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOSPC | Errno::DQUOT) => Self::NoSpace(path),
            Some(Errno::ROFS | Errno::ACCESS | Errno::PERM) => Self::ReadOnly(path),
            _ => Self::Io {
                action,
                path,
                source,
            },
        }
    }

    /// A copy of the error, for each caller that waited for the same commit.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::InUse(path) => Self::InUse(path.clone()),
            Self::Superseded => Self::Superseded,
            Self::OlderServer(path) => Self::OlderServer(path.clone()),
            Self::ContentAbsent { folder, problem } => Self::ContentAbsent {
                folder: folder.clone(),
                problem: problem.clone(),
            },
            Self::Restoring(path) => Self::Restoring(path.clone()),
            Self::Backup { folder, problem } => Self::Backup {
                folder: folder.clone(),
                problem: problem.clone(),
            },
            Self::NoSpace(path) => Self::NoSpace(path.clone()),
            Self::ReadOnly(path) => Self::ReadOnly(path.clone()),
            Self::Io {
                action,
                path,
                source,
            } => Self::Io {
                action,
                path: path.clone(),
                source: io::Error::new(source.kind(), source.to_string()),
            },
            Self::Damaged { digest, problem } => Self::Damaged {
                digest: digest.clone(),
                problem: problem.clone(),
            },
            Self::TooLarge {
                digest,
                size,
                limit,
            } => Self::TooLarge {
                digest: digest.clone(),
                size: *size,
                limit: *limit,
            },
            Self::Corrupt { path, problem } => Self::Corrupt {
                path: path.clone(),
                problem: problem.clone(),
            },
            Self::Newer(version) => Self::Newer(*version),
            Self::Busy => Self::Busy,
            Self::Aborted => Self::Aborted,
            Self::WriterEnded => Self::WriterEnded,
            Self::NotSupported(what) => Self::NotSupported(what),
            Self::Closed => Self::Closed,
            Self::Database(error) => Self::Database(error.to_string().into()),
        }
    }
}
