//! Writes a bundle: first a marker of its form, then content, last the index that names it.
//!
//! It is written next to its destination as `NAME.partial` and renamed when complete. An
//! interrupted one is resumed: complete and correct parts stay, the rest is truncated.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use metahub_oci::{Digest, Hasher};
use tar::{EntryType, Header};

use crate::{BLOBS, BundleError, INDEX_FILE, LAYOUT, LAYOUT_FILE};

/// Length of a tar file's parts, in bytes.
const BLOCK: u64 = 512;
/// Bytes that are copied at once.
const CHUNK: usize = 256 * 1024;

/// The file that a bundle is while it is being written.
#[must_use]
pub fn partial(path: &Path) -> PathBuf {
    let mut name = path.file_name().map(OsString::from).unwrap_or_default();
    name.push(".partial");
    path.with_file_name(name)
}

/// A bundle that is being written.
#[derive(Debug)]
pub struct BundleWriter {
    path: PathBuf,
    partial: PathBuf,
    file: File,
    held: HashMap<Digest, u64>,
}

impl BundleWriter {
    /// Begins the bundle at `path`, or resumes the interrupted one there if all its complete
    /// contents are `wanted`. Blocks.
    pub fn begin(path: &Path, wanted: &HashMap<Digest, u64>) -> Result<Self, BundleError> {
        let partial = partial(path);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&partial)
            .map_err(|error| BundleError::io("write", &partial, error))?;
        let mut writer = Self {
            path: path.to_owned(),
            partial,
            file,
            held: HashMap::new(),
        };
        let end = writer.take_up(wanted).map_err(|e| writer.error(e))?;
        writer.cut(end).map_err(|error| writer.error(error))?;
        if end == 0 {
            writer.held.clear();
            writer
                .put(LAYOUT_FILE, LAYOUT)
                .map_err(|e| writer.error(e))?;
        }
        Ok(writer)
    }

    fn error(&self, error: io::Error) -> BundleError {
        BundleError::io("write", &self.partial, error)
    }

    fn cut(&mut self, end: u64) -> io::Result<()> {
        self.file.set_len(end)?;
        self.file.seek(SeekFrom::Start(end))?;
        Ok(())
    }

    /// Whether the content is in it already.
    #[must_use]
    pub fn has(&self, digest: &Digest) -> bool {
        self.held.contains_key(digest)
    }

    /// Where the last complete and right piece of wanted content ends; 0 to begin anew.
    fn take_up(&mut self, wanted: &HashMap<Digest, u64>) -> io::Result<u64> {
        let mut expected = Vec::new();
        let layout = header(LAYOUT_FILE, LAYOUT.len() as u64)?;
        expected.extend_from_slice(layout.as_bytes());
        expected.extend_from_slice(LAYOUT);
        let mut start = vec![0; expected.len()];
        self.file.seek(SeekFrom::Start(0))?;
        if self.file.read_exact(&mut start).is_err() || start != expected {
            return Ok(0);
        }
        let mut end = padded(expected.len() as u64);
        loop {
            self.file.seek(SeekFrom::Start(end))?;
            let mut head = Header::new_gnu();
            if self.file.read_exact(head.as_mut_bytes()).is_err() {
                return Ok(end);
            }
            let Some(digest) = digest_of(&head) else {
                return Ok(end);
            };
            let Some(size) = wanted.get(&digest).copied() else {
                // It is another export's, or the images have changed since.
                return Ok(0);
            };
            if header(&blob_path(&digest), size)?.as_bytes() != head.as_bytes()
                || !self.is_whole(&digest, size)?
            {
                return Ok(end);
            }
            end += BLOCK + padded(size);
            self.held.insert(digest, size);
        }
    }

    /// Whether the next bytes of the file, with what fills the last block, are the content.
    fn is_whole(&mut self, digest: &Digest, size: u64) -> io::Result<bool> {
        let mut hasher = Hasher::new(digest.algorithm());
        let mut content = (&mut self.file).take(size);
        let read = copy(&mut content, |bytes| {
            hasher.update(bytes);
            Ok(())
        })?;
        let mut rest = Vec::new();
        (&mut self.file)
            .take(padded(size) - size)
            .read_to_end(&mut rest)?;
        let filled = rest.len() as u64 == padded(size) - size && rest.iter().all(|b| *b == 0);
        Ok(read == size && filled && hasher.finish() == *digest)
    }

    /// Adds content of exactly `size` bytes, and tells its progress. An error if it is not the
    /// digest's; then the file is as it was before. Blocks.
    pub fn add(
        &mut self,
        digest: &Digest,
        size: u64,
        content: &mut dyn Read,
        mut progress: impl FnMut(u64),
    ) -> Result<(), BundleError> {
        let before = self.file.stream_position().map_err(|e| self.error(e))?;
        let outcome = self.try_add(digest, size, content, &mut progress);
        match &outcome {
            Ok(()) => {
                self.held.insert(digest.clone(), size);
            }
            // The incomplete part is truncated here or, if that fails, when the bundle is resumed.
            Err(_) => drop(self.cut(before)),
        }
        outcome
    }

    fn try_add(
        &mut self,
        digest: &Digest,
        size: u64,
        content: &mut dyn Read,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), BundleError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |error| BundleError::io("write", &path, error)
        };
        let head = header(&blob_path(digest), size).map_err(io(&self.partial))?;
        self.file
            .write_all(head.as_bytes())
            .map_err(io(&self.partial))?;
        let mut hasher = Hasher::new(digest.algorithm());
        let mut bounded = content.take(size.saturating_add(1));
        let file = &mut self.file;
        let written = copy(&mut bounded, |bytes| {
            hasher.update(bytes);
            file.write_all(bytes)?;
            progress(bytes.len() as u64);
            Ok(())
        })
        .map_err(io(&self.partial))?;
        if written != size {
            return Err(BundleError::Size {
                digest: digest.clone(),
                expected: size,
                found: written,
            });
        }
        let found = hasher.finish();
        if found != *digest {
            return Err(BundleError::Mismatch {
                expected: digest.clone(),
                found,
            });
        }
        self.pad(size).map_err(io(&self.partial))
    }

    fn put(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let size = bytes.len() as u64;
        self.file.write_all(header(name, size)?.as_bytes())?;
        self.file.write_all(bytes)?;
        self.pad(size)
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let rest = usize::try_from(padded(size) - size).unwrap_or(0);
        self.file.write_all(&vec![0; rest])
    }

    /// Writes the index, makes the file durable and moves it to its place; its size in bytes.
    /// Blocks.
    pub fn finish(mut self, index: &[u8]) -> Result<u64, BundleError> {
        self.close(index).map_err(|error| self.error(error))
    }

    fn close(&mut self, index: &[u8]) -> io::Result<u64> {
        self.put(INDEX_FILE, index)?;
        // Two empty blocks end a tar file.
        self.file.write_all(&[0; 2 * BLOCK as usize])?;
        self.file.sync_all()?;
        let size = self.file.stream_position()?;
        fs::rename(&self.partial, &self.path)?;
        let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(size)
    }
}

/// Passes all bytes to `take`, in chunks; returns how many there were.
fn copy(from: &mut dyn Read, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<u64> {
    let mut chunk = vec![0; CHUNK];
    let mut copied = 0;
    loop {
        let read = match from.read(&mut chunk) {
            Ok(0) => return Ok(copied),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        take(chunk.get(..read).unwrap_or_default())?;
        copied += read as u64;
    }
}

fn padded(size: u64) -> u64 {
    size.div_ceil(BLOCK) * BLOCK
}

fn blob_path(digest: &Digest) -> String {
    format!("{BLOBS}/{}/{}", digest.algorithm().as_str(), digest.hex())
}

/// The digest that a header's path names.
fn digest_of(head: &Header) -> Option<Digest> {
    let path = String::from_utf8(head.path_bytes().into_owned()).ok()?;
    let mut parts = path.split('/');
    let (folder, algorithm, hex) = (parts.next()?, parts.next()?, parts.next()?);
    if folder != BLOBS || parts.next().is_some() {
        return None;
    }
    format!("{algorithm}:{hex}").parse().ok()
}

/// A header that depends on name and size alone, so that the same content makes the same file.
fn header(name: &str, size: u64) -> io::Result<Header> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_path(name)?;
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    Ok(header)
}
