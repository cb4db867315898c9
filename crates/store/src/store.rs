//! The store as a whole: opening, closing, and what its parts share.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use metahub_oci::Digest;
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use crate::StoreError;
use crate::blob_stream::Streams;
use crate::cache::Caches;
use crate::database::Database;
use crate::interrupted::Interrupted;
use crate::layout::Layout;
use crate::lock::FolderLock;
use crate::reserve;
use crate::upload::Session;
use crate::upload_id::UploadId;
use crate::verified::Verified;

/// What a process opens a data folder for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// To serve it: one process at a time. Sweeps what former processes left in staging.
    Serve,
    /// To work beside a process that may be serving it, as `metahub account add` does. Writes
    /// only what that process does not keep in memory: accounts and secrets. Sweeps nothing.
    Beside,
}

/// What can be set when a store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Memory for hot tags, manifests and blob access, in bytes.
    pub cache_bytes: u64,
    /// An upload that nobody appended to for so long is discarded by a sweep, and so is what came
    /// of a fill that was interrupted and not taken up.
    pub upload_idle: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes: 32 * 1024 * 1024,
            upload_idle: Duration::from_hours(24),
        }
    }
}

/// Blobs, manifests, tags, accounts: everything that a MetaHub keeps. Cloning is cheap.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

/// Locks for digests, so that publishing a blob and collecting it as garbage never interleave.
const STRIPES: usize = 256;

pub(crate) struct Inner {
    pub(crate) layout: Layout,
    pub(crate) database: Database,
    pub(crate) caches: Arc<Caches>,
    pub(crate) options: Options,
    /// Files whose content is known to be right, by what the file system says about them.
    pub(crate) verified: Verified,
    /// Uploads that this process has touched.
    pub(crate) sessions: Mutex<HashMap<UploadId, Arc<Session>>>,
    /// What blobs being streamed out share.
    pub(crate) streams: Arc<Streams>,
    /// Fills that ended before their end.
    pub(crate) interrupted: Arc<Interrupted>,
    /// How many uploads and fills receive bytes now.
    pub(crate) receiving: Arc<AtomicUsize>,
    stripes: Box<[Arc<tokio::sync::Mutex<()>>]>,
    lock: Mutex<Option<FolderLock>>,
    /// Removes a temporary store's folder at last.
    _folder: Option<tempfile::TempDir>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("folder", &self.folder())
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the data folder `dir` with default options, creating what is missing.
    ///
    /// Must be called within a Tokio runtime, which the store then uses for as long as it lives.
    pub async fn open(dir: &Path, mode: Mode) -> Result<Self, StoreError> {
        Self::open_with(dir, mode, Options::default()).await
    }

    /// Opens the data folder `dir`, creating what is missing.
    pub async fn open_with(dir: &Path, mode: Mode, options: Options) -> Result<Self, StoreError> {
        Self::start(dir, mode, options, None).await
    }

    /// A store in a new temporary folder, which goes away with the last handle. For tests and
    /// demonstrations.
    pub async fn temporary() -> Result<Self, StoreError> {
        let folder = tempfile::Builder::new()
            .prefix("metahub-")
            .tempdir()
            .map_err(|error| StoreError::io("create a folder in", &std::env::temp_dir(), error))?;
        let path = folder.path().to_owned();
        Self::start(&path, Mode::Serve, Options::default(), Some(folder)).await
    }

    async fn start(
        dir: &Path,
        mode: Mode,
        options: Options,
        folder: Option<tempfile::TempDir>,
    ) -> Result<Self, StoreError> {
        let dir = dir.to_owned();
        let (layout, lock) = blocking(move || {
            let layout = Layout::create(&dir)?;
            let lock = match mode {
                Mode::Beside => None,
                Mode::Serve => match FolderLock::try_take(&layout.lock())? {
                    None => return Err(StoreError::InUse(dir)),
                    held => {
                        reserve::keep(&layout.reserve());
                        held
                    }
                },
            };
            Ok((layout, lock))
        })
        .await?;
        let caches = Arc::new(Caches::new(options.cache_bytes));
        let database = Database::open(&layout, Arc::clone(&caches)).await?;
        let store = Self {
            inner: Arc::new(Inner {
                layout,
                database,
                caches,
                options,
                verified: Verified::new(),
                sessions: Mutex::default(),
                streams: Arc::default(),
                interrupted: Arc::default(),
                receiving: Arc::default(),
                stripes: (0..STRIPES).map(|_| Arc::default()).collect(),
                lock: Mutex::new(lock),
                _folder: folder,
            }),
        };
        if mode == Mode::Serve {
            store.sweep_staging().await?;
        }
        Ok(store)
    }

    /// The data folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.inner.layout.root()
    }

    /// Finishes what is being written, closes the database and lets go of the folder. Every
    /// later operation answers [`StoreError::Closed`].
    pub async fn close(&self) {
        self.inner.database.close().await;
        self.inner.lock.lock().take();
    }
}

impl Inner {
    /// Keeps publishing and collecting of `digest` apart for as long as the guard lives.
    pub(crate) async fn guard(&self, digest: &Digest) -> Option<OwnedMutexGuard<()>> {
        let first_two = digest.hex().get(..2)?;
        let stripe = usize::from_str_radix(first_two, 16).ok()? % STRIPES;
        Some(Arc::clone(self.stripes.get(stripe)?).lock_owned().await)
    }

    /// The path of a blob's file.
    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.layout.blob(digest)
    }
}

/// Runs file work off the asynchronous workers.
pub(crate) async fn blocking<T, E, F>(work: F) -> Result<T, E>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
    F: FnOnce() -> Result<T, E> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(StoreError::Closed.into()),
    }
}
