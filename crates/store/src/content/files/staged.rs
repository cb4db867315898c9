//! A staging file that is being received: written and hashed at the same time, on two threads, off
//! the asynchronous workers. It knows its valid length; bytes beyond that never count.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use metahub_oci::{Algorithm, Digest, Hasher};
use parking_lot::Mutex;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::StoreError;
use crate::content::files::folder::Folder;
use crate::content::files::hash::{hash_file, hash_range};
use crate::content::files::interrupted::{Beginning, Mark};
use crate::content::traits::WORTH_KEEPING;
use crate::content::write_buffer::Batch;

/// After so many bytes a flush is started, so that the last one has little left to write.
const FLUSH_EVERY: u64 = 16 * 1024 * 1024;

/// A file being received.
pub(crate) struct Staged {
    pub(super) folder: Arc<Folder>,
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) file: Option<Arc<File>>,
    /// Running SHA-256 over the first `len` bytes; absent when it must be computed again.
    hasher: Option<Hasher>,
    /// The same while it takes the last chunk.
    hashing: Option<JoinHandle<Hasher>>,
    pub(super) len: u64,
    /// How many bytes were made durable.
    pub(super) durable: Arc<AtomicU64>,
    unflushed: u64,
    pub(super) flush: Option<JoinHandle<()>>,
    /// What an early flush met.
    flush_error: Arc<Mutex<Option<io::Error>>>,
    /// Removed when dropped,
    temporary: bool,
    /// and emptied before, since others may hold it open, and its space with it.
    pub(super) emptied: bool,
    /// Unless another fill may resume it.
    pub(super) mark: Option<Arc<Mark>>,
}

impl Staged {
    /// A new file that goes away unless it is published.
    pub(crate) fn temporary(folder: &Arc<Folder>, path: PathBuf) -> Self {
        let mut staged = Self::existing(folder, path, 0);
        staged.temporary = true;
        staged
    }

    /// The same; but if it is dropped before its end, the durable part can be resumed.
    pub(crate) fn marked(folder: &Arc<Folder>, mark: Arc<Mark>) -> Self {
        let mut staged = Self::temporary(folder, mark.path().to_owned());
        staged.mark = Some(mark);
        staged
    }

    /// One that is resumed.
    pub(crate) fn resumed(folder: &Arc<Folder>, beginning: Beginning) -> Self {
        let mut staged = Self::marked(folder, beginning.mark);
        staged.len = beginning.length;
        staged.durable = Arc::new(AtomicU64::new(beginning.length));
        staged.file = Some(Arc::new(beginning.file));
        staged.hasher = Some(beginning.hasher);
        staged
    }

    /// A file of which the first `len` bytes were received before. It stays when dropped.
    pub(crate) fn existing(folder: &Arc<Folder>, path: PathBuf, len: u64) -> Self {
        let name = path.file_name().and_then(|name| name.to_str());
        Self {
            folder: Arc::clone(folder),
            name: name.unwrap_or_default().to_owned(),
            path,
            file: None,
            hashing: None,
            hasher: (len == 0).then(|| Hasher::new(Algorithm::Sha256)),
            len,
            durable: Arc::default(),
            unflushed: 0,
            flush: None,
            flush_error: Arc::default(),
            temporary: false,
            emptied: true,
            mark: None,
        }
    }

    /// Takes in what others wrote into the file, up to `end`.
    pub(super) async fn absorb_to(&mut self, end: u64) -> Result<(), StoreError> {
        let file = self.file().await?;
        let (mut hasher, start) = (self.take_hasher().await?, self.len);
        let hashed = Arc::clone(&file);
        let hasher = run(move || {
            hash_range(&hashed, start..end, &mut hasher)?;
            Ok(hasher)
        })
        .await
        .map_err(|error| self.failed("read again", error))?;
        self.hasher = Some(hasher);
        self.len = end;
        self.unflushed += end.saturating_sub(start);
        self.flush_early(&file).await
    }

    fn failed(&self, action: &'static str, error: io::Error) -> StoreError {
        StoreError::io(action, &self.path, error)
    }

    pub(super) async fn file(&mut self) -> Result<Arc<File>, StoreError> {
        if let Some(file) = &self.file {
            return Ok(Arc::clone(file));
        }
        let path = self.path.clone();
        let create = self.len == 0;
        let file = run(move || {
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(create)
                .truncate(create)
                .mode(0o600)
                .open(path)
        })
        .await
        .map_err(|error| self.failed("open", error))?;
        let file = Arc::new(file);
        self.file = Some(Arc::clone(&file));
        Ok(file)
    }

    /// The running hash, computed again from the file where it was lost.
    async fn take_hasher(&mut self) -> Result<Hasher, StoreError> {
        if let Some(hasher) = self.hasher.take() {
            return Ok(hasher);
        }
        if let Some(hashing) = self.hashing.take()
            && let Ok(hasher) = hashing.await
        {
            return Ok(hasher);
        }
        let file = self.file().await?;
        let len = self.len;
        run(move || hash_file(&file, len, Algorithm::Sha256))
            .await
            .map_err(|error| self.failed("read again", error))
    }

    /// Appends a chunk. After an error the file is as long as before.
    pub(super) async fn write(&mut self, chunk: Batch) -> Result<(), StoreError> {
        let file = self.file().await?;
        let start = self.len;
        let (out, hashed) = (Arc::clone(&file), chunk.clone());
        let writing = spawn_blocking(move || {
            let mut end = start;
            for bytes in &chunk {
                out.write_all_at(bytes, end)?;
                end += bytes.len() as u64;
            }
            Ok(end)
        });
        // Hashing may be a chunk behind, so that neither waits for a short delay of the other.
        let hasher = self.take_hasher().await;
        self.hashing = hasher.map_or(None, |mut hasher| {
            Some(spawn_blocking(move || {
                for bytes in &hashed {
                    hasher.update(bytes);
                }
                hasher
            }))
        });
        match writing
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
        {
            Ok(end) => {
                self.len = end;
                self.unflushed += end - start;
            }
            Err(error) => {
                // It is ahead of what counts now.
                self.hashing = None;
                self.spoil();
                // The written part is truncated: it may be the last free space of the disk.
                let _ = run(move || file.set_len(start)).await;
                return Err(self.failed("write", error));
            }
        }
        self.flush_early(&file).await
    }

    /// Lets the disk work while bytes still arrive, one flush at a time.
    async fn flush_early(&mut self, file: &Arc<File>) -> Result<(), StoreError> {
        let flushing = self
            .flush
            .as_ref()
            .is_some_and(|flush| !flush.is_finished());
        if self.unflushed < FLUSH_EVERY || flushing {
            return Ok(());
        }
        self.unflushed = 0;
        let mark = match &self.mark {
            Some(mark) => {
                let mark = Arc::clone(mark);
                Some((mark, self.hash(Algorithm::Sha256).await?))
            }
            None => None,
        };
        let file = Arc::clone(file);
        let (met, durable, len) = (
            Arc::clone(&self.flush_error),
            Arc::clone(&self.durable),
            self.len,
        );
        self.flush = Some(spawn_blocking(move || {
            if let Err(error) = file.sync_data() {
                met.lock().get_or_insert(error);
                return;
            }
            durable.store(len, Ordering::Release);
            if let Some((mark, prefix)) = mark
                && let Err(error) = mark.durable(len, prefix)
            {
                tracing::debug!(%error, "a fill could not be resumed where it is");
            }
        }));
        Ok(())
    }

    /// The received bytes must not be resumed.
    fn spoil(&self) {
        if let Some(mark) = &self.mark {
            mark.resumption().spoil();
        }
    }

    /// Makes the received bytes durable, if they can be resumed and are enough to be worth it.
    pub(super) async fn keep(&mut self) {
        let Some(mark) = self.mark.clone() else {
            return;
        };
        if self.len < WORTH_KEEPING || self.flush_error.lock().is_some() {
            mark.resumption().spoil();
            return;
        }
        let (file, prefix) = (self.file().await, self.hash(Algorithm::Sha256).await);
        if let (Ok(file), Ok(prefix)) = (file, prefix) {
            let (len, durable) = (self.len, Arc::clone(&self.durable));
            let kept = run(move || {
                file.sync_data()?;
                durable.store(len, Ordering::Release);
                mark.durable(len, prefix)
            });
            if let Err(error) = kept.await {
                tracing::debug!(%error, "a fill could not be resumed where it is");
            }
        }
    }

    /// What removes its file, if it is to go. Blocks when it is called.
    pub(super) fn removal(&mut self) -> Option<impl FnOnce() + Send + 'static> {
        if !std::mem::replace(&mut self.temporary, false) {
            return None;
        }
        let mark = self.mark.take();
        if mark.as_ref().is_some_and(|mark| mark.leave()) {
            return None;
        }
        let path = std::mem::take(&mut self.path);
        let file = self.file.take().filter(|_| self.emptied);
        Some(move || {
            if let Some(file) = file {
                let _ = file.set_len(0);
            }
            let _ = std::fs::remove_file(path);
            if let Some(mark) = mark {
                mark.forget();
            }
        })
    }

    /// What the bytes received so far hash to.
    pub(super) async fn hash(&mut self, algorithm: Algorithm) -> Result<Digest, StoreError> {
        if algorithm == Algorithm::Sha256 {
            let hasher = self.take_hasher().await?;
            self.hasher = Some(hasher.clone());
            return Ok(hasher.finish());
        }
        let file = self.file().await?;
        let len = self.len;
        run(move || hash_file(&file, len, algorithm))
            .await
            .map(Hasher::finish)
            .map_err(|error| self.failed("read again", error))
    }

    /// Waits for early flushes and truncates bytes that a failed append left at the end.
    pub(super) async fn cut(&mut self) -> Result<(), StoreError> {
        let file = self.file().await?;
        if let Some(flush) = self.flush.take() {
            let _ = flush.await;
        }
        // Linux reports a failed write-back once for each open file: it must not be lost here.
        if let Some(error) = self.flush_error.lock().take() {
            return Err(self.failed("make durable", error));
        }
        let (settled, len) = (Arc::clone(&file), self.len);
        run(move || {
            if settled.metadata()?.len() != len {
                settled.set_len(len)?;
            }
            Ok(())
        })
        .await
        .map_err(|error| self.failed("cut", error))
    }

    /// Makes the bytes durable.
    pub(super) async fn sync(&mut self) -> Result<(), StoreError> {
        let file = self.file().await?;
        run(move || file.sync_data())
            .await
            .map_err(|error| self.failed("make durable", error))?;
        self.durable.store(self.len, Ordering::Release);
        Ok(())
    }

    /// All bytes, of a file that is small.
    pub(super) async fn read_all(&mut self) -> Result<Bytes, StoreError> {
        if self.len == 0 {
            return Ok(Bytes::new());
        }
        let file = self.file().await?;
        let len = usize::try_from(self.len).unwrap_or(usize::MAX);
        run(move || {
            let mut bytes = vec![0; len];
            file.read_exact_at(&mut bytes, 0)?;
            Ok(Bytes::from(bytes))
        })
        .await
        .map_err(|error| self.failed("read again", error))
    }

    /// The file is elsewhere now. Blocks.
    pub(super) fn moved(mut self) {
        self.temporary = false;
        if let Some(mark) = self.mark.take() {
            mark.forget();
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        let Some(remove) = self.removal() else {
            return;
        };
        // Removing a large file takes a while.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

async fn run<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}
