//! Reading a layer as a stream: the tar archive of an OCI image layer, plain or compressed. Nothing
//! is unpacked, and only programs are kept, one at a time.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;
use tar::{Archive, Entry, EntryType};

use crate::content::Content;
use crate::elf::HEADER;
use crate::file;
use crate::tree::Tree;

/// Longest match of zstd that is taken, as a power of two: what `zstd --ultra` makes at its most.
const ZSTD_WINDOW: u32 = 27;
/// Bytes that are read of a compressed stream at once.
const BUFFER: usize = 64 * 1024;
/// Most bytes of headers between two files: long names and the like.
const HEADERS: u64 = 1 << 20;

/// Begins names of whiteouts (OCI image layer specification, "Whiteouts").
const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";

/// Why the rest of a layer is not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LayerError {
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    #[error("it has more than {0} bytes uncompressed")]
    TooLong(u64),
    #[error("the image has more than {0} files")]
    TooMany(u64),
}

/// Reads the layer `source` on top of those that `image` has.
pub(crate) fn read(tree: &mut Tree, source: impl Read) -> Result<(), LayerError> {
    let mut source = BufReader::with_capacity(BUFFER, source);
    let head = source.fill_buf()?;
    let gzip = head.starts_with(&[0x1f, 0x8b]);
    let zstd = head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
        || (head.get(1..4) == Some(&[0x2a, 0x4d, 0x18])
            && head.first().is_some_and(|b| b & 0xf0 == 0x50));
    if gzip {
        return archive(tree, MultiGzDecoder::new(source));
    }
    if zstd {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(source)?;
        decoder.window_log_max(ZSTD_WINDOW)?;
        return archive(tree, decoder);
    }
    archive(tree, source)
}

fn archive(tree: &mut Tree, source: impl Read) -> Result<(), LayerError> {
    let limits = tree.limits;
    let meter = Rc::new(Meter {
        read: Cell::new(0),
        budget: Cell::new(HEADERS),
    });
    let mut archive = Archive::new(Bounded {
        source,
        most: limits.layer_bytes,
        meter: Rc::clone(&meter),
    });
    for entry in archive.entries()? {
        let entry = entry.map_err(|error| long(error, limits.layer_bytes))?;
        tree.entries += 1;
        if tree.entries > limits.entries {
            return Err(LayerError::TooMany(limits.entries));
        }
        let sparse = entry.header().entry_type() == EntryType::GNUSparse;
        let size = if sparse {
            entry.header().entry_size()?
        } else {
            entry.size()
        };
        let end = entry
            .raw_file_position()
            .saturating_add(size)
            .saturating_add(511);
        // Content is not held, so its length does not matter.
        meter.budget.set(u64::MAX);
        take(tree, entry).map_err(|error| long(error, limits.layer_bytes))?;
        let left = end.saturating_sub(meter.read.get());
        meter.budget.set(HEADERS.saturating_add(left));
    }
    Ok(())
}

/// Takes what an entry of the archive tells.
fn take<R: Read>(tree: &mut Tree, mut entry: Entry<'_, R>) -> io::Result<()> {
    let limits = tree.limits;
    let name = entry.path_bytes().into_owned();
    let Some(path) = clean(&name, limits.path_bytes) else {
        tree.find(format!(
            "a name that leads out of the image or is too long is left out: {}",
            shown(&name)
        ));
        return Ok(());
    };
    if whiteout(tree, &path) {
        return Ok(());
    }
    match entry.header().entry_type() {
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            tree.replace(&path);
            let size = entry.size();
            return program(tree, &path, size, &mut entry);
        }
        EntryType::Link => {
            let target = entry.link_name_bytes();
            match target
                .as_deref()
                .and_then(|name| clean(name, limits.path_bytes))
            {
                Some(target) => tree.link(&path, &target),
                None => tree.find(format!("the hard link {path} leads out of the image")),
            }
        }
        EntryType::Directory => tree.folder(&path),
        _ => tree.replace(&path),
    }
    Ok(())
}

fn long(error: io::Error, most: u64) -> LayerError {
    if error.to_string().contains(TOO_LONG) {
        LayerError::TooLong(most)
    } else {
        LayerError::Read(error)
    }
}

/// Takes a file if it is a program.
fn program(tree: &mut Tree, path: &str, size: u64, entry: &mut impl Read) -> io::Result<()> {
    let mut head = Vec::with_capacity(HEADER);
    entry.by_ref().take(HEADER as u64).read_to_end(&mut head)?;
    if !file::is_inspected(&head) {
        return Ok(());
    }
    if size > tree.limits.file_bytes {
        tree.add_unread(
            path,
            &format!("it has {size} bytes: longer ones are not read"),
        );
        return Ok(());
    }
    if !tree.has_room() {
        return Ok(());
    }
    let (content, hash) = Content::spool(&head, entry, size, tree.limits.memory_bytes)?;
    if content.size() < size {
        tree.find(format!("the layer ends within {path}"));
    }
    tree.add(path, &content, hash, &head);
    Ok(())
}

/// Applies a whiteout; whether the path was one.
fn whiteout(tree: &mut Tree, path: &str) -> bool {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    if name == OPAQUE {
        tree.remove_below(folder);
        return true;
    }
    let Some(removed) = name.strip_prefix(WHITEOUT) else {
        return false;
    };
    if !removed.is_empty() && !removed.starts_with(WHITEOUT) {
        let path = if folder.is_empty() {
            removed.to_owned()
        } else {
            format!("{folder}/{removed}")
        };
        tree.remove(&path);
    }
    true
}

/// A path of the image without `/` at its beginning; `None` if it leads elsewhere.
fn clean(name: &[u8], most: usize) -> Option<String> {
    if name.len() > most {
        return None;
    }
    let text = String::from_utf8_lossy(name);
    let mut parts = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => return None,
            part => parts.push(part),
        }
    }
    (!parts.is_empty() || text.is_empty() || text.starts_with(['.', '/'])).then(|| parts.join("/"))
}

fn shown(name: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(name).chars().take(80).collect();
    text.escape_debug().to_string()
}

const TOO_LONG: &str = "the layer is too long";

/// How much was read of a stream, and how much may be until the budget is set anew.
struct Meter {
    read: Cell<u64>,
    budget: Cell<u64>,
}

/// A stream that ends with an error when it is too long, or its names are.
struct Bounded<R> {
    source: R,
    most: u64,
    meter: Rc<Meter>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.source.read(buffer)?;
        let read = self.meter.read.get().saturating_add(length as u64);
        self.meter.read.set(read);
        if read > self.most {
            return Err(io::Error::other(TOO_LONG));
        }
        let left = self.meter.budget.get().checked_sub(length as u64);
        let left =
            left.ok_or_else(|| io::Error::other("the name of a file has more than 1 MiB"))?;
        self.meter.budget.set(left);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_out_of_the_image_are_refused() {
        for (name, path) in [
            ("usr/bin/a", Some("usr/bin/a")),
            ("./usr//bin/./a", Some("usr/bin/a")),
            ("/usr/bin/a/", Some("usr/bin/a")),
            ("./", Some("")),
            ("../a", None),
            ("usr/../../a", None),
            ("a/..", None),
        ] {
            assert_eq!(clean(name.as_bytes(), 100).as_deref(), path, "{name}");
        }
        assert_eq!(clean(&[b'a'; 101], 100), None);
    }
}
