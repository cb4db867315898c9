//! A file in staging that is being received: written and hashed at once, on two threads, off the
//! asynchronous workers. It knows how much of it counts; what lies beyond that never does.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use metahub_oci::{Algorithm, Digest, Hasher};
use parking_lot::Mutex;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::StoreError;
use crate::interrupted::{Beginning, Mark};
use crate::write_buffer::Batch;

/// After so many bytes the disk is told to begin, so that the last flush finds little left.
const FLUSH_EVERY: u64 = 16 * 1024 * 1024;

/// What came of a fill that was interrupted is kept from this size on, in bytes: less is asked
/// for again sooner than it is hashed again.
const WORTH_KEEPING: u64 = 256 * 1024;

/// A file being received.
pub(crate) struct Staged {
    path: PathBuf,
    file: Option<Arc<File>>,
    /// Running SHA-256 over the first `len` bytes; absent when it must be computed again.
    hasher: Option<Hasher>,
    /// The same while it takes the last chunk.
    hashing: Option<JoinHandle<Hasher>>,
    len: u64,
    unflushed: u64,
    flush: Option<JoinHandle<()>>,
    /// What an early flush met.
    flush_error: Arc<Mutex<Option<io::Error>>>,
    /// Removed when dropped,
    temporary: bool,
    /// and emptied before, since others may hold it open, and its space with it.
    emptied: bool,
    /// Unless somebody may take it up later.
    mark: Option<Arc<Mark>>,
}

impl Staged {
    /// A new file that goes away unless it is published.
    pub(crate) fn temporary(path: PathBuf) -> Self {
        let mut staged = Self::existing(path, 0);
        staged.temporary = true;
        staged
    }

    /// The same; but where it is dropped before its end, what is durable of it may be taken up.
    pub(crate) fn marked(mark: Arc<Mark>) -> Self {
        let mut staged = Self::temporary(mark.path().to_owned());
        staged.mark = Some(mark);
        staged
    }

    /// One that is taken up.
    pub(crate) fn taken_up(beginning: Beginning) -> Self {
        let mut staged = Self::marked(beginning.mark);
        staged.len = beginning.length;
        staged.file = Some(Arc::new(beginning.file));
        staged.hasher = Some(beginning.hasher);
        staged
    }

    /// A file of which the first `len` bytes were received before. It stays when dropped.
    pub(crate) fn existing(path: PathBuf, len: u64) -> Self {
        Self {
            path,
            file: None,
            hashing: None,
            hasher: (len == 0).then(|| Hasher::new(Algorithm::Sha256)),
            len,
            unflushed: 0,
            flush: None,
            flush_error: Arc::default(),
            temporary: false,
            emptied: true,
            mark: None,
        }
    }

    /// How many bytes were received.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Where they are.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The open file, made if it is not there.
    pub(crate) async fn open(&mut self) -> Result<Arc<File>, StoreError> {
        self.file().await
    }

    /// The file, if it is open.
    pub(crate) fn opened(&self) -> Option<Arc<File>> {
        self.file.clone()
    }

    /// Takes in what others wrote into the file, up to `end`.
    pub(crate) async fn absorb(&mut self, end: u64) -> Result<(), StoreError> {
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

    async fn file(&mut self) -> Result<Arc<File>, StoreError> {
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
    pub(crate) async fn write(&mut self, chunk: Batch) -> Result<(), StoreError> {
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
        // Hashing may be a chunk behind, so that neither waits for a stumble of the other.
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
                // What was written of it is given back: it may be the last space there was.
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
                Some((mark, self.len, self.digest(Algorithm::Sha256).await?))
            }
            None => None,
        };
        let file = Arc::clone(file);
        let met = Arc::clone(&self.flush_error);
        self.flush = Some(spawn_blocking(move || match (file.sync_data(), mark) {
            (Err(error), _) => {
                met.lock().get_or_insert(error);
            }
            (Ok(()), Some((mark, len, prefix))) => {
                if let Err(error) = mark.durable(len, prefix) {
                    tracing::debug!(%error, "a fill could not be taken up where it is");
                }
            }
            (Ok(()), None) => {}
        }));
        Ok(())
    }

    /// What was received is no beginning of anything.
    pub(crate) fn spoil(&self) {
        if let Some(mark) = &self.mark {
            mark.spoil();
        }
    }

    /// Ends before the end: makes durable what came, where another may take it up. Returns when
    /// that can be taken up, or when its file is gone.
    pub(crate) async fn give_up(mut self) {
        if let Some(flush) = self.flush.take() {
            let _ = flush.await;
        }
        self.keep().await;
        self.end().await;
    }

    /// Makes durable what came, if another may take it up and it is worth that.
    async fn keep(&mut self) {
        let Some(mark) = self.mark.clone() else {
            return;
        };
        if self.len < WORTH_KEEPING || self.flush_error.lock().is_some() {
            mark.spoil();
            return;
        }
        let (file, prefix) = (self.file().await, self.digest(Algorithm::Sha256).await);
        if let (Ok(file), Ok(prefix)) = (file, prefix) {
            let len = self.len;
            let kept = run(move || {
                file.sync_data()?;
                mark.durable(len, prefix)
            });
            if let Err(error) = kept.await {
                tracing::debug!(%error, "a fill could not be taken up where it is");
            }
        }
    }

    /// Ends it as a drop does. Returns when its file is gone, if it goes.
    pub(crate) async fn end(mut self) {
        if let Some(remove) = self.removal() {
            let _ = spawn_blocking(remove).await;
        }
    }

    /// What removes its file, if it is to go. Blocks when it is called.
    fn removal(&mut self) -> Option<impl FnOnce() + Send + 'static> {
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

    /// What is read of it stays readable when it is removed: its content is known to be right.
    pub(crate) fn stays_readable(&mut self) {
        self.emptied = false;
    }

    /// What the bytes received so far hash to.
    pub(crate) async fn digest(&mut self, algorithm: Algorithm) -> Result<Digest, StoreError> {
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

    /// Waits for early flushes and cuts off what a failed append left behind the bytes.
    pub(crate) async fn settle(&mut self) -> Result<Arc<File>, StoreError> {
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
        .map_err(|error| self.failed("cut", error))?;
        Ok(file)
    }

    /// Makes the bytes durable.
    pub(crate) async fn sync(&mut self) -> Result<(), StoreError> {
        let file = self.file().await?;
        run(move || file.sync_data())
            .await
            .map_err(|error| self.failed("make durable", error))
    }

    /// Lets go of the open file; the next use opens it again.
    pub(crate) fn rest(&mut self) {
        self.file = None;
    }

    /// All bytes, of a file that is small.
    pub(crate) async fn read(&mut self) -> Result<Bytes, StoreError> {
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
    pub(crate) fn moved(mut self) {
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

/// Hashes the first `len` bytes of a file. Blocks.
pub(crate) fn hash_file(file: &File, len: u64, algorithm: Algorithm) -> io::Result<Hasher> {
    let mut hasher = Hasher::new(algorithm);
    hash_range(file, 0..len, &mut hasher)?;
    Ok(hasher)
}

fn hash_range(file: &File, range: Range<u64>, hasher: &mut Hasher) -> io::Result<()> {
    let len = range.end.saturating_sub(range.start);
    let mut buffer = vec![0; 256 * 1024];
    let offset = range.start;
    let mut reader = PositionedReader { file, offset }.take(len);
    let mut seen = 0;
    loop {
        let count = reader.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        hasher.update(bytes);
        seen += count as u64;
    }
    if seen == len {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("{len} bytes were expected and {seen} are there"),
        ))
    }
}

/// Reads a file without its shared position.
struct PositionedReader<'f> {
    file: &'f File,
    offset: u64,
}

impl Read for PositionedReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}
