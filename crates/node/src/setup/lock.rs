//! One setup at a time, for a user or for the machine: a lock on an existing folder, so that no
//! file is left behind. On a file system without locks, a file that another process changed
//! meanwhile is noticed before it is written.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Together ten seconds: more than a setup takes on a slow disk.
const TRIES: u32 = 500;
const PAUSE: Duration = Duration::from_millis(20);

/// Holds the folder's lock until the handle is dropped. `None` where the file system has no locks,
/// the folder is not there, or another process has held the lock for too long.
pub(super) fn folder(folder: &Path) -> Option<File> {
    let file = File::open(folder).ok()?;
    for _ in 0..TRIES {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Some(file),
            Err(Errno::WOULDBLOCK) => std::thread::park_timeout(PAUSE),
            Err(_) => return None,
        }
    }
    None
}
