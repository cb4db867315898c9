//! Files with verified content, and those of them that are open.
//!
//! A file is identified by its metadata, which is read again at each use: any change of the
//! content, and its removal, make it unverified. Nothing is assumed about a path.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::Arc;

use metahub_oci::{Digest, Hasher};
use moka::sync::Cache;
use parking_lot::Mutex;

use crate::content::files::stamp::Stamp;
use crate::{Damage, StoreError};

/// The verified files.
const KNOWN: u64 = 50_000;
/// Files that are kept open: `metahub serve` counts on no more than these.
const OPEN: usize = 64;

/// Which files of blobs are verified.
pub(crate) struct Verified {
    stamps: Cache<Digest, Stamp>,
    open: Mutex<OpenFiles>,
}

#[derive(Default)]
struct OpenFiles {
    files: HashMap<Digest, Kept>,
    /// Counts uses, to tell which file was not used for longest.
    uses: u64,
}

struct Kept {
    file: Arc<File>,
    used: u64,
}

impl Verified {
    pub(crate) fn new() -> Self {
        Self {
            stamps: Cache::new(KNOWN),
            open: Mutex::default(),
        }
    }

    /// Whether the file of this blob that `stamp` is of was seen to be right.
    pub(crate) fn holds(&self, digest: &Digest, stamp: Stamp) -> bool {
        self.stamps.get(digest) == Some(stamp)
    }

    /// The file was seen to be right. One that is open may be another, which this replaces.
    pub(crate) fn insert(&self, digest: Digest, stamp: Stamp) {
        let before = self.stamps.get(&digest);
        if before != Some(stamp) {
            self.close(&digest);
        }
        self.stamps.insert(digest, stamp);
    }

    /// Forgets the file and closes it. To be called after a removal, or its space would not be
    /// freed.
    pub(crate) fn forget(&self, digest: &Digest) {
        self.stamps.invalidate(digest);
        self.close(digest);
    }

    /// The blob's file if it is open, there and untouched.
    pub(crate) fn opened(&self, digest: &Digest) -> Option<(Arc<File>, Stamp)> {
        let file = {
            let mut open = self.open.lock();
            open.uses += 1;
            let uses = open.uses;
            let kept = open.files.get_mut(digest)?;
            kept.used = uses;
            Arc::clone(&kept.file)
        };
        match Stamp::of(&file) {
            Ok(stamp) if stamp.linked() && self.holds(digest, stamp) => Some((file, stamp)),
            _ => {
                self.close(digest);
                None
            }
        }
    }

    /// Keeps a file open that was seen to be right.
    pub(crate) fn keep_open(&self, digest: &Digest, file: &Arc<File>) {
        let mut open = self.open.lock();
        if open.files.len() >= OPEN {
            let oldest = open.files.iter().min_by_key(|(_, kept)| kept.used);
            if let Some(oldest) = oldest.map(|(digest, _)| digest.clone()) {
                open.files.remove(&oldest);
            }
        }
        open.uses += 1;
        let used = open.uses;
        let file = Arc::clone(file);
        // A file is forgotten after it is removed. If that was a moment ago, it shows here;
        // if not, it is yet to come.
        if Stamp::of(&file).is_ok_and(|stamp| stamp.linked()) {
            open.files.insert(digest.clone(), Kept { file, used });
        }
    }

    fn close(&self, digest: &Digest) {
        self.open.lock().files.remove(digest);
    }

    /// Trusts the file of `stamp` from now on if it hashes to the digest.
    pub(crate) fn judge(
        &self,
        digest: &Digest,
        stamp: Stamp,
        found: Digest,
    ) -> Result<(), StoreError> {
        if found == *digest {
            self.insert(found, stamp);
            return Ok(());
        }
        self.forget(digest);
        tracing::error!(%digest, %found, "stored content is damaged");
        Err(StoreError::Damaged {
            digest: digest.clone(),
            problem: Damage::HashesTo(found),
        })
    }
}

impl std::fmt::Debug for Verified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verified").finish_non_exhaustive()
    }
}

/// The hashing of a file that is read as a whole.
pub(crate) struct Check {
    hasher: Hasher,
    digest: Digest,
    stamp: Stamp,
    verified: Arc<Verified>,
}

impl Check {
    pub(crate) fn new(digest: Digest, stamp: Stamp, verified: Arc<Verified>) -> Self {
        Self {
            hasher: Hasher::new(digest.algorithm()),
            digest,
            stamp,
            verified,
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    /// Whether all bytes together are the blob's.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.verified
            .judge(&self.digest, self.stamp, self.hasher.finish())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// A blob's file that is verified and open.
    fn opened(digest: &Digest, verified: &Verified) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"content").unwrap();
        let reader = Arc::new(file.reopen().unwrap());
        verified.insert(digest.clone(), Stamp::of(&reader).unwrap());
        verified.keep_open(digest, &reader);
        assert!(verified.opened(digest).is_some());
        file
    }

    #[test]
    fn a_file_that_was_removed_is_not_found_open_and_not_opened_again() {
        let (verified, digest) = (Verified::new(), Digest::sha256(b"content"));
        let file = opened(&digest, &verified);
        let reader = Arc::new(file.reopen().unwrap());
        file.close().unwrap();
        assert!(verified.opened(&digest).is_none());
        verified.keep_open(&digest, &reader);
        assert_eq!(Arc::strong_count(&reader), 1, "it is kept from being freed");
    }

    #[test]
    fn a_file_that_was_touched_is_not_found_open() {
        let (verified, digest) = (Verified::new(), Digest::sha256(b"content"));
        let mut file = opened(&digest, &verified);
        file.write_all(b"more").unwrap();
        assert!(verified.opened(&digest).is_none());
    }

    #[test]
    fn a_file_that_is_forgotten_is_closed() {
        let (verified, digest) = (Verified::new(), Digest::sha256(b"content"));
        let _file = opened(&digest, &verified);
        let (reader, _) = verified.opened(&digest).unwrap();
        verified.forget(&digest);
        assert_eq!(Arc::strong_count(&reader), 1);
        assert!(verified.opened(&digest).is_none());
    }

    #[test]
    fn no_more_files_stay_open_than_are_counted_on_and_the_latest_used_do() {
        let verified = Verified::new();
        let digests: Vec<Digest> = (0..=OPEN)
            .map(|number| Digest::sha256(number.to_string().as_bytes()))
            .collect();
        let mut files = Vec::new();
        for digest in &digests {
            files.push(opened(digest, &verified));
            assert!(verified.opened(&digests[0]).is_some());
        }
        assert!(verified.opened(&digests[1]).is_none());
        assert!(verified.opened(&digests[OPEN]).is_some());
    }
}
