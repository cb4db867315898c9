//! Writes the tree of a layer as a compressed tar file. The bytes depend on paths, modes, contents
//! and settings alone.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use flate2::GzBuilder;
use flate2::write::GzEncoder;
use metahub_oci::{Algorithm, Digest, Hasher};
use tar::{Builder, EntryType, Header};

use super::error::LayerError;
use super::settings::{Compression, LayerSettings};
use super::tree::{Content, Entry, Kind};

/// Bytes that are compressed at once.
const CHUNK: usize = 64 * 1024;
/// The operating system in gzip's header: unknown, so that it is the same on all.
const ANY_SYSTEM: u8 = 255;
const GZIP_LEVEL: u32 = 6;
const ZSTD_LEVEL: i32 = 3;

/// Takes the digest and the length of what passes.
pub(super) struct Counted<W> {
    inner: W,
    hasher: Hasher,
    bytes: u64,
}

impl<W: Write> Counted<W> {
    pub(super) fn new(inner: W) -> Self {
        let hasher = Hasher::new(Algorithm::Sha256);
        Self {
            inner,
            hasher,
            bytes: 0,
        }
    }

    /// The digest of what has passed.
    pub(super) fn digest(self) -> Digest {
        self.hasher.finish()
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or_default());
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

enum Encoder<W: Write> {
    Gzip(GzEncoder<W>),
    Zstd(zstd::stream::write::Encoder<'static, W>),
}

impl<W: Write> Encoder<W> {
    fn new(compression: Compression, to: W) -> io::Result<Self> {
        Ok(match compression {
            Compression::Gzip => {
                let builder = GzBuilder::new().mtime(0).operating_system(ANY_SYSTEM);
                Self::Gzip(builder.write(to, flate2::Compression::new(GZIP_LEVEL)))
            }
            Compression::Zstd => Self::Zstd(zstd::stream::write::Encoder::new(to, ZSTD_LEVEL)?),
        })
    }

    fn finish(self) -> io::Result<W> {
        match self {
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }
}

/// A layer as it was written.
pub(super) struct Packed {
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) diff_id: Digest,
    pub(super) unpacked: u64,
}

type Layers<'a> = Builder<BufWriter<Counted<Encoder<Counted<&'a File>>>>>;

/// A layer that is being written to `to`.
pub(super) struct Packer<'a> {
    tar: Layers<'a>,
    /// What errors call the file that is written.
    path: &'a Path,
    archive: Option<&'a File>,
    settings: &'a LayerSettings,
}

impl<'a> Packer<'a> {
    /// Begins a layer in `to`, which errors call `path`. Contents that are in an archive are read
    /// from `archive`.
    pub(super) fn begin(
        to: &'a File,
        path: &'a Path,
        archive: Option<&'a File>,
        settings: &'a LayerSettings,
    ) -> Result<Self, LayerError> {
        let encoder = Encoder::new(settings.compression, Counted::new(to));
        let encoder = encoder.map_err(|error| LayerError::io("write", path, error))?;
        let tar = Builder::new(BufWriter::with_capacity(CHUNK, Counted::new(encoder)));
        Ok(Self {
            tar,
            path,
            archive,
            settings,
        })
    }

    /// Appends an entry. Blocks.
    pub(super) fn add(&mut self, path: &[u8], entry: &Entry) -> Result<(), LayerError> {
        let output = self.path;
        let failed = |error| LayerError::io("write", output, error);
        let mut name = path.to_owned();
        let mut header = Header::new_gnu();
        header.set_mode(self.settings.mode(entry));
        header.set_uid(self.settings.owner.0.into());
        header.set_gid(self.settings.owner.1.into());
        header.set_mtime(self.settings.mtime);
        header.set_size(0);
        match &entry.kind {
            Kind::Folder => {
                header.set_entry_type(EntryType::Directory);
                name.push(b'/');
                let name = OsStr::from_bytes(&name);
                let appended = self.tar.append_data(&mut header, name, io::empty());
                appended.map_err(failed)
            }
            Kind::Symlink(target) => {
                header.set_entry_type(EntryType::Symlink);
                self.add_link(header, &name, target).map_err(failed)
            }
            Kind::Hardlink(target) => {
                header.set_entry_type(EntryType::Link);
                self.add_link(header, &name, target).map_err(failed)
            }
            Kind::File { size, content } => {
                header.set_entry_type(EntryType::Regular);
                header.set_size(*size);
                self.add_file(header, &name, *size, content)
            }
        }
    }

    /// Links keep their targets byte for byte.
    fn add_link(&mut self, mut header: Header, name: &[u8], target: &[u8]) -> io::Result<()> {
        let name = OsStr::from_bytes(name);
        if header.set_link_name_literal(target).is_ok() {
            return self.tar.append_data(&mut header, name, io::empty());
        }
        let target = OsStr::from_bytes(target);
        self.tar.append_link(&mut header, name, target)
    }

    fn add_file(
        &mut self,
        mut header: Header,
        name: &[u8],
        size: u64,
        content: &Content,
    ) -> Result<(), LayerError> {
        let (path, source): (&Path, Box<dyn Read + '_>) = match content {
            Content::File(path) => {
                let file = File::open(path);
                let file = file.map_err(|error| LayerError::io("read", path, error))?;
                (path, Box::new(file))
            }
            Content::Archive(offset) => {
                let failed = |error| LayerError::io("read", self.path, error);
                let mut archive = self
                    .archive
                    .ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
                archive.seek(SeekFrom::Start(*offset)).map_err(failed)?;
                (self.path, Box::new(archive))
            }
        };
        let mut exact = Exact { source, left: size };
        let name = OsStr::from_bytes(name);
        let appended = self.tar.append_data(&mut header, name, &mut exact);
        appended.map_err(|error| LayerError::io("read", path, error))?;
        if matches!(content, Content::File(_)) {
            exact.ended().map_err(|e| LayerError::io("read", path, e))?;
        }
        Ok(())
    }

    /// Ends the layer. Blocks.
    pub(super) fn finish(self) -> Result<Packed, LayerError> {
        let path = self.path;
        let finish = || {
            let buffered = self.tar.into_inner()?;
            let diff = buffered
                .into_inner()
                .map_err(io::IntoInnerError::into_error)?;
            let Counted {
                inner,
                hasher,
                bytes,
            } = diff;
            let blob = inner.finish()?;
            Ok(Packed {
                size: blob.bytes,
                digest: blob.digest(),
                unpacked: bytes,
                diff_id: hasher.finish(),
            })
        };
        finish().map_err(|error| LayerError::io("write", path, error))
    }
}

/// Exactly as many bytes as the header of a file says: one that changes meanwhile is an error.
struct Exact<'a> {
    source: Box<dyn Read + 'a>,
    left: u64,
}

impl Exact<'_> {
    fn ended(&mut self) -> io::Result<()> {
        match self.source.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(changed()),
        }
    }
}

impl Read for Exact<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        let bytes = bytes.get_mut(..most).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(0);
        }
        match self.source.read(bytes)? {
            0 => Err(changed()),
            read => {
                self.left -= read as u64;
                Ok(read)
            }
        }
    }
}

fn changed() -> io::Error {
    io::Error::other("its length changed while it was read")
}
