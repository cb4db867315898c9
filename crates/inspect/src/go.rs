//! What the Go linker notes in a program: its version and how it was built (`debug/buildinfo`).

use crate::content::Content;
use crate::elf::Elf;

/// What begins the note.
const MAGIC: &[u8] = b"\xff Go buildinf:";
/// Longest note that is read, in bytes.
const LONGEST: usize = 1 << 20;
/// How far into writable data it is looked for, in bytes.
const SEARCHED: usize = 1 << 20;

/// A Go program's note.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Go {
    /// Such as `go1.24.1`; empty where it is not known.
    pub(crate) version: String,
    settings: String,
    /// Whether the note was found, and not only other signs of Go.
    pub(crate) noted: bool,
}

impl Go {
    /// The note of a program, if it is one of Go.
    pub(crate) fn read(elf: &Elf<'_>) -> Option<Self> {
        let found = elf
            .section(".go.buildinfo")
            .map(|section| section.offset)
            .or_else(|| search(elf));
        if let Some(go) = found.and_then(|offset| Self::parse(elf.content, offset)) {
            return Some(go);
        }
        let go = [".gopclntab", ".note.go.buildid", ".data.rel.ro.gopclntab"];
        go.iter()
            .any(|name| elf.section(name).is_some())
            .then(Self::default)
    }

    fn parse(content: &Content, offset: u64) -> Option<Self> {
        let head = content.up_to(offset, 32);
        if !head.starts_with(MAGIC) || head.get(15)? & 2 == 0 {
            return None;
        }
        let bytes = content.up_to(offset.checked_add(32)?, LONGEST);
        let (version, rest) = text(&bytes)?;
        let (settings, _) = text(rest)?;
        Some(Self {
            version: String::from_utf8_lossy(version).into_owned(),
            settings: String::from_utf8_lossy(settings).into_owned(),
            noted: true,
        })
    }

    /// A setting of the build, such as `GOAMD64`.
    pub(crate) fn setting(&self, name: &str) -> Option<&str> {
        self.settings.lines().find_map(|line| {
            let setting = line.strip_prefix("build\t")?.strip_prefix(name)?;
            setting.strip_prefix('=')
        })
    }
}

fn search(elf: &Elf<'_>) -> Option<u64> {
    let segment = elf.segments.iter().find(|segment| segment.writable())?;
    let bytes = elf
        .content
        .up_to(segment.offset, SEARCHED.min(segment.size as usize));
    let at = bytes
        .chunks(16)
        .position(|chunk| chunk.starts_with(MAGIC))?;
    segment.offset.checked_add(at as u64 * 16)
}

/// A text behind its length (`encoding/binary`, Uvarint), and what follows.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0_usize;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return bytes.get(index + 1..)?.split_at_checked(length);
        }
    }
    None
}
