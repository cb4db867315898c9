//! The bytes of one program: in memory if it is small, else in an unlinked temporary file.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;

use sha2::{Digest as _, Sha256};

/// Bytes that are copied at once.
const CHUNK: usize = 64 * 1024;

/// Bytes that can be read at any offset.
#[derive(Debug)]
pub(crate) enum Content {
    Memory(Vec<u8>),
    File { file: File, size: u64 },
}

/// Bytes that are not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The file ends before.
    #[error("it is cut off: {wanted} bytes were expected at {offset}, and it has {size}")]
    Short { offset: u64, wanted: u64, size: u64 },
    /// The temporary file cannot be read.
    #[error("the temporary file cannot be read: {0}")]
    Io(#[from] io::Error),
}

impl Content {
    /// Takes `size` bytes of `source` after `first`, and their SHA-256. A source that ends early
    /// gives what it has.
    pub(crate) fn spool(
        first: &[u8],
        source: &mut impl Read,
        size: u64,
        in_memory: u64,
    ) -> io::Result<(Self, [u8; 32])> {
        let mut hasher = Sha256::new();
        hasher.update(first);
        let rest = size.saturating_sub(first.len() as u64);
        if size <= in_memory {
            let mut bytes = first.to_vec();
            source.take(rest).read_to_end(&mut bytes)?;
            hasher.update(bytes.get(first.len()..).unwrap_or_default());
            return Ok((Self::Memory(bytes), hasher.finalize().into()));
        }
        let mut file = tempfile::tempfile()?;
        file.write_all(first)?;
        let mut written = first.len() as u64;
        let mut chunk = vec![0; CHUNK];
        let mut rest = source.take(rest);
        loop {
            let length = rest.read(&mut chunk)?;
            let bytes = chunk.get(..length).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            hasher.update(bytes);
            // Files with holes stay files with holes.
            if bytes.iter().all(|byte| *byte == 0) {
                file.seek(SeekFrom::Current(length as i64))?;
            } else {
                file.write_all(bytes)?;
            }
            written += length as u64;
        }
        file.set_len(written)?;
        let content = Self::File {
            file,
            size: written,
        };
        Ok((content, hasher.finalize().into()))
    }

    /// A file of the machine.
    pub(crate) fn open(file: File, in_memory: u64) -> io::Result<Self> {
        let size = file.metadata()?.len();
        if size > in_memory {
            return Ok(Self::File { file, size });
        }
        let mut bytes = Vec::new();
        file.take(size).read_to_end(&mut bytes)?;
        Ok(Self::Memory(bytes))
    }

    /// In bytes.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File { size, .. } => *size,
        }
    }

    /// Exactly `length` bytes at `offset`.
    pub(crate) fn read(&self, offset: u64, length: usize) -> Result<Cow<'_, [u8]>, ReadError> {
        let size = self.size();
        let end = offset
            .checked_add(length as u64)
            .filter(|end| *end <= size)
            .ok_or(ReadError::Short {
                offset,
                wanted: length as u64,
                size,
            })?;
        match self {
            Self::Memory(bytes) => {
                let part = bytes.get(offset as usize..end as usize);
                Ok(Cow::Borrowed(part.unwrap_or_default()))
            }
            Self::File { file, .. } => {
                let mut bytes = vec![0; length];
                file.read_exact_at(&mut bytes, offset)?;
                Ok(Cow::Owned(bytes))
            }
        }
    }

    /// As many of `length` bytes as there are at `offset`.
    pub(crate) fn up_to(&self, offset: u64, length: usize) -> Cow<'_, [u8]> {
        let left = self.size().saturating_sub(offset);
        let length = left.min(length as u64) as usize;
        self.read(offset, length).unwrap_or_default()
    }

    /// The text that ends with a zero byte at `offset`, of at most `most` bytes.
    pub(crate) fn text(&self, offset: u64, most: usize) -> String {
        let bytes = self.up_to(offset, most);
        let end = bytes.iter().position(|byte| *byte == 0);
        let bytes = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    }
}
