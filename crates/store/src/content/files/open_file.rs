//! An open blob file: trusted if this process saw that it hashes to the digest and the file system
//! says that it is unchanged since.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use metahub_oci::{Digest, Hasher};

use crate::content::files::hash::hash_file;
use crate::content::files::stamp::Stamp;
use crate::content::files::stream::{FileStream, Streams};
use crate::content::files::verified::{Check, Verified};
use crate::folder::layout::Layout;
use crate::task::blocking;
use crate::{Damage, StoreError};

/// The open file of a blob, which has the size that the blob has.
#[derive(Clone, Debug)]
pub(crate) struct OpenFile {
    file: Arc<File>,
    stamp: Stamp,
    trusted: bool,
    verified: Arc<Verified>,
}

impl OpenFile {
    /// The file if it is open already, trusted and untouched.
    pub(crate) fn at_hand(verified: &Arc<Verified>, digest: &Digest, size: u64) -> Option<Self> {
        let (file, stamp) = verified.opened(digest)?;
        (stamp.size() == size).then(|| Self {
            file,
            stamp,
            trusted: true,
            verified: Arc::clone(verified),
        })
    }

    /// Opens the file. Blocks.
    pub(crate) fn open(
        layout: &Layout,
        verified: &Arc<Verified>,
        digest: &Digest,
        size: u64,
    ) -> Result<Self, StoreError> {
        let problem = |problem: Damage| StoreError::Damaged {
            digest: digest.clone(),
            problem,
        };
        let path = layout.blob(digest);
        let opened = File::open(&path).and_then(|file| Ok((Stamp::of(&file)?, file)));
        match opened {
            Ok((stamp, file)) if stamp.size() == size => {
                let file = Arc::new(file);
                let trusted = verified.holds(digest, stamp);
                if trusted {
                    verified.keep_open(digest, &file);
                }
                Ok(Self {
                    file,
                    stamp,
                    trusted,
                    verified: Arc::clone(verified),
                })
            }
            Ok((stamp, _)) => Err(problem(Damage::WrongSize {
                expected: size,
                found: stamp.size(),
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(problem(Damage::Missing)),
            Err(error) => Err(StoreError::io("open", &path, error)),
        }
    }

    /// The file. Its own position is shared: read it by position.
    pub(crate) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Whether it may be sent unread.
    pub(crate) fn trusted(&self) -> bool {
        self.trusted
    }

    /// Hashes the whole file now.
    pub(crate) async fn verify(&mut self, digest: &Digest, size: u64) -> Result<(), StoreError> {
        let (file, verified) = (Arc::clone(&self.file), Arc::clone(&self.verified));
        let (digest, stamp) = (digest.clone(), self.stamp);
        blocking(move || {
            let found = hash_file(&file, size, digest.algorithm());
            match found.map(Hasher::finish) {
                Ok(found) => verified.judge(&digest, stamp, found),
                // A disk that cannot read a sector says so here.
                Err(error) => Err(StoreError::Damaged {
                    digest,
                    problem: Damage::Unreadable(error.to_string()),
                }),
            }
        })
        .await?;
        self.trusted = true;
        Ok(())
    }

    /// The bytes of `range`; `whole` if those are all, which are then hashed on the way unless the
    /// file is trusted.
    pub(crate) fn stream(
        &self,
        digest: &Digest,
        range: Range<u64>,
        whole: bool,
        streams: Arc<Streams>,
    ) -> FileStream {
        let check = (whole && !self.trusted)
            .then(|| Check::new(digest.clone(), self.stamp, Arc::clone(&self.verified)));
        FileStream::new(Arc::clone(&self.file), range, check, streams)
    }
}

/// Writes bytes into a file that is being received, after the appended ones. Blocks.
pub(crate) fn write_ahead(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    file.write_all_at(bytes, at)
}
