//! The store: opening, closing, and the state that its parts share.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Duration;

use metahub_oci::{Digest, RepositoryName};
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use crate::StoreError;
use crate::cache::{Caches, Generation};
use crate::content::{Content, Files, Memory, Streams};
use crate::folder::identity::Identity;
use crate::folder::layout::Layout;
use crate::folder::lease::{self, EXPIRY, Lease};
use crate::folder::lock::{FolderLock, Locking};
use crate::folder::process::Process;
use crate::folder::reserve;
use crate::records::memory::MemoryRecords;
use crate::records::sqlite::SqliteRecords;
use crate::records::{Clock, Records};
use crate::steps::Steps;
use crate::task::blocking;
use crate::uploads::session::Session;
use crate::uploads::upload_id::UploadId;

/// What a process opens a data folder for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// To serve it: one process at a time. Sweeps what former processes left in staging.
    Serve,
    /// To work while another process may be serving it, as `metahub account add` does. Writes only
    /// data that the server does not keep in memory: accounts and secrets. Sweeps nothing.
    Beside,
}

/// What can be set when a store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Memory for hot tags, manifests and blob access, in bytes.
    pub cache_bytes: u64,
    /// A sweep discards uploads without an append for so long, and interrupted fills that were not
    /// resumed.
    pub upload_idle: Duration,
    /// Open the folder although content is missing that the database names, as
    /// `metahub scrub --accept-loss` does.
    pub accept_loss: bool,
    /// A lease of another machine that is not renewed for so long has expired.
    pub lease_expiry: Duration,
    /// How processes keep apart; for tests.
    #[doc(hidden)]
    pub locking: Locking,
    /// Which process this is; for tests.
    #[doc(hidden)]
    pub process: Option<Process>,
    /// Called at each step that must survive an interruption; for tests.
    #[doc(hidden)]
    pub steps: Steps,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes: 32 * 1024 * 1024,
            upload_idle: Duration::from_hours(24),
            accept_loss: false,
            lease_expiry: EXPIRY,
            locking: Locking::System,
            process: None,
            steps: Steps::default(),
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
    pub(crate) records: Arc<dyn Records>,
    pub(crate) caches: Arc<Caches>,
    pub(crate) options: Options,
    /// The bytes of blobs, and of content being received.
    pub(crate) content: Arc<dyn Content>,
    /// Uploads that this process has touched.
    pub(crate) sessions: Mutex<HashMap<UploadId, Arc<Session>>>,
    /// What blobs being streamed out share.
    pub(crate) streams: Arc<Streams>,
    /// How often kept manifests were put in order, for [`Store::orderings`].
    pub(crate) orderings: AtomicU64,
    /// Held for reading while derived content is stored, for writing while some of it is removed.
    pub(crate) deriving: Arc<tokio::sync::RwLock<()>>,
    /// How many uploads and fills receive bytes now.
    pub(crate) receiving: Arc<AtomicUsize>,
    /// Which store this is, and whether its blobs are in place.
    pub(crate) identity: Identity,
    /// Held while content is removed or none may be removed: by garbage collection, the end of a
    /// scrub, a backup.
    pub(crate) removing: tokio::sync::Mutex<()>,
    stripes: Box<[Arc<tokio::sync::Mutex<()>>]>,
    held: Mutex<Option<Held>>,
    /// Removes a temporary store's folder at last.
    _folder: Option<tempfile::TempDir>,
}

/// Keeps other processes out of the folder. The lease is released before the lock.
struct Held {
    lease: Lease,
    _lock: FolderLock,
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
        Self::start(dir, mode, options, None, false).await
    }

    /// A store in a new temporary folder, which goes away with the last handle. For tests and
    /// demonstrations.
    pub async fn temporary() -> Result<Self, StoreError> {
        let folder = temporary_folder()?;
        let path = folder.path().to_owned();
        Self::start(&path, Mode::Serve, Options::default(), Some(folder), false).await
    }

    /// A store whose records and content are in memory and go away with the last handle. For tests
    /// and demonstrations: it cannot be backed up. Its temporary folder holds a lock and no data.
    pub async fn in_memory() -> Result<Self, StoreError> {
        let folder = temporary_folder()?;
        let path = folder.path().to_owned();
        Self::start(&path, Mode::Serve, Options::default(), Some(folder), true).await
    }

    async fn start(
        dir: &Path,
        mode: Mode,
        options: Options,
        folder: Option<tempfile::TempDir>,
        in_memory: bool,
    ) -> Result<Self, StoreError> {
        let (layout, held) = match mode {
            Mode::Beside => (create(dir).await?, None),
            Mode::Serve => {
                let (layout, held) = hold(dir, &options).await?;
                (layout, Some(held))
            }
        };
        let caches = Arc::new(Caches::new(options.cache_bytes));
        let serving = mode == Mode::Serve;
        let sink = Arc::clone(&caches);
        let clock = Clock::default();
        let (records, content): (Arc<dyn Records>, Arc<dyn Content>) = if in_memory {
            let records = MemoryRecords::new(sink, clock);
            (Arc::new(records), Arc::new(Memory::default()))
        } else {
            let records = SqliteRecords::open(&layout, sink, clock, serving).await?;
            let files = Files::new(layout.clone(), options.steps.clone());
            (Arc::new(records), Arc::new(files))
        };
        let accept_loss = options.accept_loss;
        let store = Self {
            inner: Arc::new(Inner {
                content,
                layout,
                records,
                caches,
                options,
                sessions: Mutex::default(),
                streams: Arc::default(),
                orderings: AtomicU64::new(0),
                deriving: Arc::default(),
                receiving: Arc::default(),
                identity: Identity::default(),
                removing: tokio::sync::Mutex::default(),
                stripes: (0..STRIPES).map(|_| Arc::default()).collect(),
                held: Mutex::new(held),
                _folder: folder,
            }),
        };
        if serving && let Err(error) = store.begin(accept_loss).await {
            store.close().await;
            return Err(error);
        }
        Ok(store)
    }

    /// Runs once, before a served store is used.
    async fn begin(&self, accept_loss: bool) -> Result<(), StoreError> {
        self.claim().await?;
        self.settle(accept_loss).await?;
        self.sweep_staging().await
    }

    /// Completes when another process has taken over the folder: nothing can be written any more.
    pub async fn superseded(&self) {
        let lease = self.inner.lease();
        let Some(mut lost) = lease.map(|lease| lease.watch()) else {
            return std::future::pending().await;
        };
        if lost.wait_for(|lost| *lost).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The data folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.inner.layout.root()
    }

    /// The generation of a repository, to be taken before anything of it is read: a result is valid
    /// for as long as the generation [is current](Self::is_current).
    #[must_use]
    pub fn generation(&self, repository: &RepositoryName) -> Generation {
        self.inner.caches.generation(repository)
    }

    /// Whether no tag and no manifest of the repository changed since, and there was no first push
    /// to it. Repositories are counted in groups, so a generation may end without a change.
    #[must_use]
    pub fn is_current(&self, generation: Generation) -> bool {
        self.inner.caches.is_current(generation)
    }

    /// Whether anything can be written: the task that writes the database runs.
    ///
    /// # Errors
    /// [`StoreError::WriterEnded`] if it ended by itself, [`StoreError::Closed`] if the store was
    /// closed.
    pub fn ready(&self) -> Result<(), StoreError> {
        self.inner.records.ready()
    }

    /// Finishes running writes, closes the database and releases the folder. Every later operation
    /// returns [`StoreError::Closed`].
    pub async fn close(&self) {
        self.inner.records.close().await;
        let held = self.inner.held.lock().take();
        drop(held);
    }
}

/// A new folder that goes away when it is dropped.
fn temporary_folder() -> Result<tempfile::TempDir, StoreError> {
    tempfile::Builder::new()
        .prefix("metahub-")
        .tempdir()
        .map_err(|error| StoreError::io("create a folder in", &std::env::temp_dir(), error))
}

/// Creates the missing parts of a data folder.
async fn create(dir: &Path) -> Result<Layout, StoreError> {
    let dir = dir.to_owned();
    blocking(move || {
        let layout = Layout::create(&dir)?;
        if layout.restoring().exists() {
            return Err(StoreError::Restoring(dir));
        }
        Ok(layout)
    })
    .await
}

/// Creates the missing parts of a data folder and keeps other processes from serving it.
async fn hold(dir: &Path, options: &Options) -> Result<(Layout, Held), StoreError> {
    let layout = create(dir).await?;
    let (path, locking) = (layout.lock(), options.locking);
    let locked = blocking(move || {
        let lock = FolderLock::try_take(&path, locking)?;
        let excludes = lock
            .as_ref()
            .is_some_and(|lock| lock.excludes(&path, locking));
        Ok::<_, StoreError>(lock.map(|lock| (lock, excludes)))
    });
    let in_use = || StoreError::InUse(dir.to_owned());
    let (lock, excludes) = locked.await?.ok_or_else(in_use)?;
    let me = options.process.clone().unwrap_or_else(Process::this);
    let lease = Lease::take(&layout.lease(), me, excludes, options.lease_expiry).await?;
    let lease = lease.ok_or_else(in_use)?;
    let reserve = layout.reserve();
    blocking(move || {
        reserve::keep(&reserve);
        Ok::<_, StoreError>(())
    })
    .await?;
    Ok((layout, Held { lease, _lock: lock }))
}

impl Inner {
    /// The lease on the folder, if this process serves it.
    pub(crate) fn lease(&self) -> Option<Arc<lease::Shared>> {
        self.held.lock().as_ref().map(|held| held.lease.shared())
    }

    /// Keeps publishing and collecting of `digest` apart for as long as the guard lives.
    pub(crate) async fn guard(&self, digest: &Digest) -> Option<OwnedMutexGuard<()>> {
        let first_two = digest.hex().get(..2)?;
        let stripe = usize::from_str_radix(first_two, 16).ok()? % STRIPES;
        Some(Arc::clone(self.stripes.get(stripe)?).lock_owned().await)
    }
}
