//! Paths in the data folder: `blobs/ALGORITHM/XX/HEX`, `staging/`, `metahub.db`, `lock`.
//!
//! Everything under `blobs` is complete, durable and immutable; everything under `staging` is
//! neither and may be removed while it has no writer. This module has only paths, and the creation
//! of folders.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use metahub_oci::{Algorithm, Digest};

use crate::StoreError;

/// The paths of one data folder.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Creates missing folders, except those of blobs, which may only be unmounted, see
    /// [`crate::content`]. Folders are readable by their owner only: blobs are private to the
    /// repositories that hold them.
    pub(crate) fn create(root: &Path) -> Result<Self, StoreError> {
        let layout = Self {
            root: root.to_owned(),
        };
        let fresh = !layout.root.exists();
        make(&layout.root)?;
        if let Some(parent) = layout.root.parent().filter(|_| fresh) {
            let here = Path::new(".");
            let parent = if parent.as_os_str().is_empty() {
                here
            } else {
                parent
            };
            sync_folder(parent)?;
        }
        make(&layout.staging())?;
        // SQLite would make it readable by whatever the umask allows; its log inherits the mode.
        let database = layout.database();
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&database)
            .map_err(|error| StoreError::io("open", &database, error))?;
        sync_folder(&layout.root)?;
        Ok(layout)
    }

    /// The paths of a folder that is there already. Creates nothing.
    pub(crate) fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// The data folder itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The database.
    pub(crate) fn database(&self) -> PathBuf {
        self.root.join("metahub.db")
    }

    /// Held by the process that serves.
    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// Space for the day when the disk is full.
    pub(crate) fn reserve(&self) -> PathBuf {
        self.root.join("reserve")
    }

    /// Held while the schema is brought up to date.
    pub(crate) fn migration_lock(&self) -> PathBuf {
        self.root.join("lock.migration")
    }

    /// The folder of unverified content.
    pub(crate) fn staging(&self) -> PathBuf {
        self.root.join("staging")
    }

    /// A file of the staging folder.
    pub(crate) fn staged(&self, name: &str) -> PathBuf {
        self.staging().join(name)
    }

    /// The folder of one algorithm's blobs.
    pub(crate) fn blobs(&self, algorithm: Algorithm) -> PathBuf {
        self.root.join("blobs").join(algorithm.as_str())
    }

    /// The folder of the blobs whose digest begins with `first`.
    pub(crate) fn fan_out(&self, algorithm: Algorithm, first: u8) -> PathBuf {
        self.blobs(algorithm).join(format!("{first:02x}"))
    }

    /// The file that names the serving process.
    pub(crate) fn lease(&self) -> PathBuf {
        self.root.join("lease")
    }

    /// Exists while a restore into the folder is unfinished.
    pub(crate) fn restoring(&self) -> PathBuf {
        self.root.join("restoring")
    }

    /// The file of a blob. A digest is valid by construction, so this never leaves the folder.
    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.blobs(digest.algorithm())
            .join(hex.get(..2).unwrap_or("00"))
            .join(hex)
    }

    /// Where scrub moves content that is damaged.
    pub(crate) fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }
}

/// Creates a folder and those above it, unless it is there.
pub(crate) fn make(path: &Path) -> Result<(), StoreError> {
    DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(path)
        .map_err(|error| StoreError::io("create the folder", path, error))
}

/// Makes a folder's entries durable.
pub(crate) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| StoreError::io("make durable the folder", path, error))
}

/// Removes a file; that it is gone already is fine.
pub(crate) fn remove_file(path: &Path) -> Result<bool, StoreError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::io("remove", path, error)),
    }
}
