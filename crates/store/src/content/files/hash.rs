//! Hashes a part of a file.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use metahub_oci::{Algorithm, Hasher};

/// Hashes the first `len` bytes of a file. Blocks.
pub(crate) fn hash_file(file: &File, len: u64, algorithm: Algorithm) -> io::Result<Hasher> {
    let mut hasher = Hasher::new(algorithm);
    hash_range(file, 0..len, &mut hasher)?;
    Ok(hasher)
}

/// The same of a part, by a hasher that has the bytes before it. Blocks.
pub(crate) fn hash_range(file: &File, range: Range<u64>, hasher: &mut Hasher) -> io::Result<()> {
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
pub(crate) struct PositionedReader<'f> {
    pub(crate) file: &'f File,
    pub(crate) offset: u64,
}

impl Read for PositionedReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}
