//! Reads the tree of a tar file, plain or compressed with gzip or zstd. Compressed content is
//! unpacked into a temporary file first, because a layer has another order than the archive.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;
use tar::{Archive, EntryType};

use super::error::LayerError;
use super::tree::{Content, Kind, MAX_BYTES, Tree};
use crate::scan::{Bounded, MAX_HEADERS};

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Largest window that a zstd frame may ask for, as a power of two: 128 MiB, as the tool takes.
const ZSTD_WINDOW: u32 = 27;

/// Reads the tar file at `path`; returns also the uncompressed archive with the contents. Blocks.
pub(super) fn read(path: &Path, tree: &mut Tree) -> Result<File, LayerError> {
    let failed = |error| LayerError::io("read", path, error);
    let mut plain = plain(path).map_err(failed)?;
    if plain.seek(SeekFrom::End(0)).map_err(failed)? == 0 {
        return Err(tree.refuse_all("is empty: expected a folder or a tar file"));
    }
    plain.seek(SeekFrom::Start(0)).map_err(failed)?;
    // The library reads long names into memory before it returns them.
    let budget = Rc::new(Cell::new(MAX_HEADERS));
    let mut archive = Archive::new(Bounded {
        file: &plain,
        budget: Rc::clone(&budget),
    });
    for entry in archive.entries_with_seek().map_err(failed)? {
        let mut entry =
            entry.map_err(|error| tree.refuse_all(format!("is no tar file: {error}")))?;
        budget.set(MAX_HEADERS);
        let name = entry.path_bytes().into_owned();
        check_extensions(&mut entry, &name, tree)?;
        let header = entry.header();
        let mode = header.mode();
        let mode = mode.map_err(|error| tree.refuse(&name, format!("has no mode: {error}")))?;
        let kind = match header.entry_type() {
            EntryType::Directory => Kind::Folder,
            EntryType::Regular | EntryType::Continuous => Kind::File {
                size: entry.size(),
                content: Content::Archive(entry.raw_file_position()),
            },
            kind @ (EntryType::Symlink | EntryType::Link) => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                if kind == EntryType::Symlink {
                    Kind::Symlink(target)
                } else {
                    Kind::Hardlink(target)
                }
            }
            EntryType::XGlobalHeader => continue,
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                let problem = "is a device or a named pipe: a layer holds files, folders and links";
                return Err(tree.refuse(&name, problem));
            }
            other => {
                let problem = format!(
                    "is of the type {:?}, which is not taken: pack it without --sparse and other \
                     extensions",
                    char::from(other.as_byte())
                );
                return Err(tree.refuse(&name, problem));
            }
        };
        tree.add(&name, kind, mode & 0o7777)?;
    }
    Ok(plain)
}

/// Nothing is lost silently: what a layer of this form has no place for is refused.
fn check_extensions(
    entry: &mut tar::Entry<'_, impl Read>,
    name: &[u8],
    tree: &Tree,
) -> Result<(), LayerError> {
    let wrong = |error: io::Error| tree.refuse(name, format!("has unreadable headers: {error}"));
    for extension in entry.pax_extensions().map_err(wrong)?.into_iter().flatten() {
        let key = extension.map_err(wrong)?.key_bytes().to_owned();
        for (start, what) in [
            (&b"GNU.sparse."[..], "--sparse"),
            (b"SCHILY.xattr.", "--xattrs"),
            (b"SCHILY.acl.", "--acls"),
        ] {
            if key.starts_with(start) {
                let problem = format!("was packed with {what}: pack it without");
                return Err(tree.refuse(name, problem));
            }
        }
    }
    Ok(())
}

fn plain(path: &Path) -> io::Result<File> {
    let mut file = File::open(path)?;
    let mut start = Vec::new();
    Read::by_ref(&mut file).take(4).read_to_end(&mut start)?;
    file.seek(SeekFrom::Start(0))?;
    if start.starts_with(&GZIP) {
        unpacked(MultiGzDecoder::new(BufReader::new(file)))
    } else if start == ZSTD {
        let mut decoder = zstd::stream::read::Decoder::new(file)?;
        decoder.window_log_max(ZSTD_WINDOW)?;
        unpacked(decoder)
    } else {
        Ok(file)
    }
}

fn unpacked(from: impl Read) -> io::Result<File> {
    let mut plain = tempfile::tempfile()?;
    let most = MAX_BYTES.saturating_add(1);
    if io::copy(&mut from.take(most), &mut plain)? == most {
        let problem = format!("it unpacks to more than {MAX_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    }
    Ok(plain)
}
