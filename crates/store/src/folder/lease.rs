//! The lease on a data folder: a file that names the process that serves it, renewed while it does.
//!
//! `flock` alone does not keep two servers apart: some network and FUSE file systems accept it and
//! do nothing, others only know it within one machine. The lease is read before every commit, so
//! that a server which was suspended while another took over notices before it writes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use rand::RngExt as _;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::StoreError;
use crate::folder::layout::remove_file;
use crate::folder::process::Process;
use crate::task::blocking;

/// Without a renewal for so long, a lease of another machine has expired.
pub(crate) const EXPIRY: Duration = Duration::from_secs(20);

/// Renewals within one expiry.
const RENEWALS: u32 = 4;

/// How often an observer looks within one expiry.
const LOOKS: u32 = 20;

/// Length of the file in bytes. Constant, so that a renewal needs no space on a full disk.
const LENGTH: usize = 1024;

/// The content of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct LeaseRecord {
    token: String,
    owner: Process,
    /// Counts renewals: an observer compares these, and no clocks.
    renewals: u64,
}

/// The content of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    Lease(LeaseRecord),
    /// Bytes that are no lease: a crash may leave an empty file behind.
    Unreadable(Vec<u8>),
}

/// The verdict on a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LeaseVerdict {
    /// No process holds it.
    Free,
    /// Its owner runs.
    Held,
    /// Its owner may run on another machine: expired if it is not renewed.
    Observe,
}

/// Judges a lease. `locked`: the folder's lock is held here, and the file system is known to
/// enforce locks within this machine.
fn judge(found: &Found, me: &Process, locked: bool) -> LeaseVerdict {
    let unless_locked = if locked {
        LeaseVerdict::Free
    } else {
        LeaseVerdict::Observe
    };
    let record = match found {
        Found::Nothing => return LeaseVerdict::Free,
        Found::Unreadable(_) => return unless_locked,
        Found::Lease(record) => record,
    };
    if record.owner.shares_processes_with(me) {
        return if record.owner.is_alive() {
            LeaseVerdict::Held
        } else {
            LeaseVerdict::Free
        };
    }
    // Another container on this machine, or this machine before a reboot: the lock decides.
    if record.owner.is_of_machine(me) {
        return unless_locked;
    }
    LeaseVerdict::Observe
}

/// A lease that is held. Dropping it releases it.
pub(crate) struct Lease {
    shared: Arc<Shared>,
    renewing: JoinHandle<()>,
}

/// State shared by the lease and its checks.
pub(crate) struct Shared {
    path: PathBuf,
    expiry: Duration,
    record: Mutex<LeaseRecord>,
    /// When it was renewed last, by a clock that runs while the machine is suspended.
    renewed: Mutex<Duration>,
    lost: watch::Sender<bool>,
}

impl Lease {
    /// Takes the lease on `path`, or `None` if another process holds it. Waits up to `expiry` if
    /// its owner cannot be asked whether it still runs.
    pub(crate) async fn take(
        path: &Path,
        me: Process,
        locked: bool,
        expiry: Duration,
    ) -> Result<Option<Self>, StoreError> {
        let found = look(path).await?;
        match judge(&found, &me, locked) {
            LeaseVerdict::Held => return Ok(None),
            LeaseVerdict::Free => {}
            LeaseVerdict::Observe => {
                tracing::warn!(
                    lease = %path.display(),
                    seconds = expiry.as_secs(),
                    "the data folder may be served by another machine: waiting whether it renews \
                     its lease"
                );
                if !is_expired(path, &found, expiry).await? {
                    return Ok(None);
                }
            }
        }
        let record = LeaseRecord {
            token: format!("{:032x}", rand::rng().random::<u128>()),
            owner: me,
            renewals: 0,
        };
        let (target, new) = (path.to_owned(), record.clone());
        let replaced = blocking(move || replace(&target, &found, &new)).await?;
        if !replaced {
            return Ok(None);
        }
        if !locked {
            // Another process may have replaced the same lease at the same moment: the last one to
            // do so has it.
            tokio::time::sleep(expiry / LOOKS).await;
        }
        match look(path).await? {
            Found::Lease(now) if now.token == record.token => {}
            _ => return Ok(None),
        }
        Ok(Some(Self::start(path, record, expiry)))
    }

    fn start(path: &Path, record: LeaseRecord, expiry: Duration) -> Self {
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            expiry,
            record: Mutex::new(record),
            renewed: Mutex::new(uptime()),
            lost: watch::Sender::new(false),
        });
        let renewed = Arc::clone(&shared);
        let renewing = tokio::spawn(async move {
            loop {
                tokio::time::sleep(renewed.expiry / RENEWALS).await;
                let checked = AssertUnwindSafe(Shared::check(&renewed, true)).catch_unwind();
                match checked.await {
                    Ok(Err(StoreError::Superseded)) => return,
                    Ok(_) => {}
                    Err(_) => tracing::error!("renewing the lease panicked: it is tried again"),
                }
            }
        });
        Self { shared, renewing }
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewing.abort();
        let shared = &self.shared;
        // One that is another's by now stays.
        if let Ok(Found::Lease(now)) = read(&shared.path)
            && now.token == shared.record.lock().token
        {
            let _ = remove_file(&shared.path);
        }
    }
}

impl Shared {
    /// What identifies this owner.
    pub(crate) fn token(&self) -> String {
        self.record.lock().token.clone()
    }

    /// Signals the loss of the lease.
    pub(crate) fn watch(&self) -> watch::Receiver<bool> {
        self.lost.subscribe()
    }

    /// Notes the loss of the lease.
    pub(crate) fn lose(&self) -> StoreError {
        if !self.lost.send_replace(true) {
            tracing::error!(
                lease = %self.path.display(),
                "another process took over the data folder: nothing is written any more"
            );
        }
        StoreError::Superseded
    }

    /// Checks that the lease is still this process's, and renews it if `renew` says so or if it
    /// is about to expire.
    ///
    /// # Errors
    /// [`StoreError::Superseded`] if another process has it; the file system's error if it cannot
    /// be read, or cannot be renewed in time.
    pub(crate) async fn check(this: &Arc<Self>, renew: bool) -> Result<(), StoreError> {
        let shared = Arc::clone(this);
        blocking(move || shared.check_now(renew)).await
    }

    /// The same. Blocks.
    pub(crate) fn check_now(&self, renew: bool) -> Result<(), StoreError> {
        if *self.lost.borrow() {
            return Err(StoreError::Superseded);
        }
        // Held while the file is read: a renewal may be half written meanwhile.
        let mut record = self.record.lock();
        let failed = |error| StoreError::io("read", &self.path, error);
        match read(&self.path).map_err(failed)? {
            Found::Lease(now) if now.token == record.token => {}
            // Gone: another process took it over and gave it back while this one slept.
            Found::Lease(_) | Found::Nothing => return Err(self.lose()),
            Found::Unreadable(_) => return Err(failed(io::ErrorKind::InvalidData.into())),
        }
        let age = uptime().saturating_sub(*self.renewed.lock());
        let expires = age >= self.expiry / 2;
        if !renew && !expires {
            return Ok(());
        }
        record.renewals += 1;
        let now = uptime();
        match renew_file(&self.path, &record) {
            Ok(()) => {
                *self.renewed.lock() = now;
                Ok(())
            }
            Err(error) if age < self.expiry => {
                tracing::warn!(%error, lease = %self.path.display(), "the lease was not renewed");
                Ok(())
            }
            Err(error) => Err(StoreError::io("renew", &self.path, error)),
        }
    }
}

/// Time since the machine was started, the time that it slept included, which [`Instant`] leaves
/// out.
fn uptime() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    fs::read_to_string("/proc/uptime")
        .ok()
        .and_then(|text| text.split(' ').next()?.parse().ok())
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .unwrap_or_else(|| START.elapsed())
}

async fn look(path: &Path) -> Result<Found, StoreError> {
    let path = path.to_owned();
    blocking(move || read(&path).map_err(|error| StoreError::io("read", &path, error))).await
}

/// Whether a lease stays as it was found for as long as it is good.
async fn is_expired(path: &Path, found: &Found, expiry: Duration) -> Result<bool, StoreError> {
    for _ in 0..=LOOKS {
        tokio::time::sleep(expiry / LOOKS).await;
        if look(path).await? != *found {
            return Ok(false);
        }
    }
    Ok(true)
}

fn read(path: &Path) -> io::Result<Found> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => {
            file.take(LENGTH as u64 * 4).read_to_end(&mut bytes)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(error),
    }
    Ok(match serde_json::from_slice(&bytes) {
        Ok(record) => Found::Lease(record),
        Err(_) => Found::Unreadable(bytes),
    })
}

fn text(record: &LeaseRecord) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(record)?;
    // JSON may end in blanks.
    if bytes.len() < LENGTH {
        bytes.resize(LENGTH, b' ');
    }
    Ok(bytes)
}

/// Creates the file unless there is one.
fn create(path: &Path, record: &LeaseRecord) -> io::Result<bool> {
    let mut open = OpenOptions::new();
    open.write(true).create_new(true).mode(0o600);
    match open.open(path) {
        Ok(mut file) => file.write_all(&text(record)?).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Replaces the found lease by `record`, unless that has changed.
fn replace(path: &Path, found: &Found, record: &LeaseRecord) -> Result<bool, StoreError> {
    let failed = |error| StoreError::io("write", path, error);
    if *found == Found::Nothing {
        return create(path, record).map_err(failed);
    }
    let new = path.with_extension(&record.token);
    create(&new, record).map_err(failed)?;
    if read(path).map_err(failed)? != *found {
        remove_file(&new)?;
        return Ok(false);
    }
    fs::rename(&new, path).map(|()| true).map_err(failed)
}

/// Writes a renewal over the record that is there.
fn renew_file(path: &Path, record: &LeaseRecord) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.write_all_at(&text(record)?, 0)
}
