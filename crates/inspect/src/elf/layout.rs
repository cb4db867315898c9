//! Headers of an ELF file: its parts, where they lie and where they are loaded.

use crate::bytes::{u16_at, u32_at, u64_at};
use crate::content::Content;
use crate::limits::Limits;

/// First bytes of a file that say whether it is a program.
pub(crate) const HEADER: usize = 64;

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const PT_NOTE: u32 = 4;
const PT_GNU_PROPERTY: u32 = 0x6474_e553;
const PT_GNU_EH_FRAME: u32 = 0x6474_e550;
const SHT_NOBITS: u32 = 8;
const SHF_WRITE: u64 = 1;
const SHF_ALLOC: u64 = 2;
const SHF_EXEC: u64 = 4;
/// Most program headers.
const SEGMENTS: usize = 512;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A program at a fixed address.
    Executable,
    /// A library, or a program that can be placed anywhere.
    Shared,
    /// An object file, a kernel module or a memory dump: nothing that is started.
    Other,
}

/// The first bytes of an ELF file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) machine: u16,
    pub(crate) kind: Kind,
    pub(crate) wide: bool,
    pub(crate) little_endian: bool,
}

impl Header {
    pub(crate) const AMD64: u16 = 62;
    pub(crate) const ARM64: u16 = 183;

    /// Reads it; `None` for what is no ELF file.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let ident = bytes.strip_prefix(b"\x7fELF")?;
        let (class, data) = (*ident.first()?, *ident.get(1)?);
        let number = |at| {
            let little = u16_at(bytes, at)?;
            Some(if data == 2 {
                little.swap_bytes()
            } else {
                little
            })
        };
        Some(Self {
            machine: number(18)?,
            kind: match number(16)? {
                2 => Kind::Executable,
                3 => Kind::Shared,
                _ => Kind::Other,
            },
            wide: class == 2,
            little_endian: data == 1,
        })
    }

    /// The architecture by its name in OCI images.
    pub(crate) fn architecture(self) -> &'static str {
        match (self.machine, self.little_endian) {
            (Self::AMD64, _) => "amd64",
            (Self::ARM64, true) => "arm64",
            (3, _) => "386",
            (40, _) => "arm",
            (21, true) => "ppc64le",
            (21, false) => "ppc64",
            (22, _) => "s390x",
            (243, _) => "riscv64",
            (258, _) => "loong64",
            (8, _) => "mips",
            _ => "unknown",
        }
    }
}

/// A part of a file that is loaded or says something of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) offset: u64,
    pub(crate) address: u64,
    pub(crate) size: u64,
    pub(crate) memory: u64,
}

impl Segment {
    pub(crate) fn executable(&self) -> bool {
        self.kind == PT_LOAD && self.flags & 1 != 0
    }

    pub(crate) fn writable(&self) -> bool {
        self.kind == PT_LOAD && self.flags & 2 != 0
    }
}

/// A part of a file by its name.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) kind: u32,
    pub(crate) flags: u64,
    pub(crate) address: u64,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) link: usize,
}

impl Section {
    pub(crate) fn executable(&self) -> bool {
        self.flags & (SHF_EXEC | SHF_ALLOC) == SHF_EXEC | SHF_ALLOC && self.kind != SHT_NOBITS
    }

    pub(crate) fn writable(&self) -> bool {
        self.flags & SHF_WRITE != 0
    }

    pub(crate) fn allocated(&self) -> bool {
        self.flags & SHF_ALLOC != 0
    }

    pub(crate) fn has_bytes(&self) -> bool {
        self.kind != SHT_NOBITS
    }
}

/// A range of a file that is loaded at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) address: u64,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) writable: bool,
}

/// The parts of a 64-bit little-endian ELF file: what is loaded, and what it is called.
#[derive(Debug)]
pub(crate) struct Layout<'c> {
    pub(crate) content: &'c Content,
    pub(crate) header: Header,
    pub(crate) entry: u64,
    pub(crate) segments: Vec<Segment>,
    pub(crate) sections: Vec<Section>,
    /// What could not be read of it.
    pub(crate) damage: Vec<String>,
}

impl<'c> Layout<'c> {
    /// Reads the tables of `content`.
    pub(crate) fn parse(content: &'c Content, header: Header, limits: &Limits) -> Self {
        let bytes = content.up_to(0, HEADER);
        let mut layout = Self {
            content,
            header,
            entry: u64_at(&bytes, 24).unwrap_or_default(),
            segments: Vec::new(),
            sections: Vec::new(),
            damage: Vec::new(),
        };
        layout.read_segments(&bytes);
        layout.read_sections(&bytes, limits);
        layout
    }

    fn read_segments(&mut self, header: &[u8]) {
        let offset = u64_at(header, 32).unwrap_or_default();
        let count = usize::from(u16_at(header, 56).unwrap_or_default());
        if count > SEGMENTS {
            let note = format!("it claims {count} program headers: {SEGMENTS} are read");
            self.damage.push(note);
        }
        let count = count.min(SEGMENTS);
        let table = self.content.up_to(offset, count * 56);
        for entry in table.chunks_exact(56) {
            let number = |at| u64_at(entry, at).unwrap_or_default();
            self.segments.push(Segment {
                kind: u32_at(entry, 0).unwrap_or_default(),
                flags: u32_at(entry, 4).unwrap_or_default(),
                offset: number(8),
                address: number(16),
                size: number(32),
                memory: number(40),
            });
        }
        if self.segments.len() < count {
            self.damage
                .push("its program headers are cut off".to_owned());
        }
        let size = self.content.size();
        let outside = |segment: &&Segment| {
            segment.kind == PT_LOAD
                && segment
                    .offset
                    .checked_add(segment.size)
                    .is_none_or(|end| end > size)
        };
        if self.segments.iter().any(|segment| outside(&segment)) {
            self.damage
                .push("it ends within what is to be loaded".to_owned());
        }
    }

    fn read_sections(&mut self, header: &[u8], limits: &Limits) {
        let offset = u64_at(header, 40).unwrap_or_default();
        let mut count = u64::from(u16_at(header, 60).unwrap_or_default());
        let mut names = usize::from(u16_at(header, 62).unwrap_or_default());
        if offset == 0 {
            return;
        }
        let first = self.content.up_to(offset, 64);
        if count == 0 {
            count = u64_at(&first, 32).unwrap_or_default();
        }
        if names == 0xffff {
            names = u32_at(&first, 40).unwrap_or_default() as usize;
        }
        if count > limits.sections as u64 {
            let most = limits.sections;
            let note = format!("it claims {count} sections, more than {most}: none is read");
            self.damage.push(note);
            return;
        }
        let table = self.content.up_to(offset, count as usize * 64).into_owned();
        let entries = || table.chunks_exact(64);
        let names = entries().nth(names);
        let names_at = names
            .and_then(|entry| u64_at(entry, 24))
            .unwrap_or_default();
        let names_size = names
            .and_then(|entry| u64_at(entry, 32))
            .unwrap_or_default();
        for entry in entries() {
            let number = |at| u64_at(entry, at).unwrap_or_default();
            let name = u64::from(u32_at(entry, 0).unwrap_or_default());
            let name = match names_at.checked_add(name) {
                Some(at) if name < names_size => self.content.text(at, 64),
                _ => String::new(),
            };
            self.sections.push(Section {
                name,
                kind: u32_at(entry, 4).unwrap_or_default(),
                flags: number(8),
                address: number(16),
                offset: number(24),
                size: number(32),
                link: u32_at(entry, 40).unwrap_or_default() as usize,
            });
        }
        if self.sections.len() as u64 != count {
            self.damage
                .push("its section headers are cut off".to_owned());
            self.sections.clear();
        }
    }

    /// The section of that name, if it has bytes.
    pub(crate) fn section(&self, name: &str) -> Option<&Section> {
        let mut sections = self.sections.iter();
        sections.find(|section| section.name == name && section.has_bytes())
    }

    /// The lowest address that is loaded.
    pub(crate) fn base(&self) -> u64 {
        let loaded = self
            .segments
            .iter()
            .filter(|segment| segment.kind == PT_LOAD);
        loaded
            .map(|segment| segment.address)
            .min()
            .unwrap_or_default()
    }

    /// Where the byte at `address` stands in the file.
    pub(crate) fn offset(&self, address: u64) -> Option<u64> {
        self.segments.iter().find_map(|segment| {
            let within = address.checked_sub(segment.address)?;
            (segment.kind == PT_LOAD && within < segment.size)
                .then(|| segment.offset.checked_add(within))?
        })
    }

    /// What is executed: sections where there are any, else segments. In order of addresses.
    pub(crate) fn code(&self) -> Vec<Range> {
        let loaded = || {
            let segments = self.segments.iter().filter(|segment| segment.executable());
            segments.filter_map(|s| Some((s.address, s.address.checked_add(s.size)?)))
        };
        let inside = |section: &&Section| {
            let end = section.address.checked_add(section.size);
            let within = |(from, to)| from <= section.address && end.is_some_and(|e| e <= to);
            section.allocated() && section.has_bytes() && loaded().any(within)
        };
        let within: Vec<&Section> = self.sections.iter().filter(inside).collect();
        let mut ranges: Vec<Range> = within
            .iter()
            .filter(|section| section.executable())
            .map(|section| Range {
                address: section.address,
                offset: section.offset,
                size: section.size,
                writable: false,
            })
            .collect();
        let sum = |sizes: &mut dyn Iterator<Item = u64>| sizes.fold(0, u64::saturating_add);
        let described = sum(&mut within.iter().map(|section| section.size));
        let all = sum(&mut loaded().map(|(from, to)| to - from));
        let entry = self.entry == 0
            || ranges.iter().any(|range| {
                let within = self.entry.checked_sub(range.address);
                within.is_some_and(|within| within < range.size)
            });
        // Sections that leave half of what is executed out are none to believe.
        if described < all / 2 || !entry {
            let segments = self.segments.iter().filter(|segment| segment.executable());
            ranges = segments
                .map(|segment| Range {
                    address: segment.address,
                    offset: segment.offset,
                    size: segment.size,
                    writable: segment.writable(),
                })
                .collect();
        }
        let mut ranges = self.within(ranges);
        ranges.sort_unstable_by_key(|range| range.address);
        let mut end = 0;
        ranges.retain(|range| {
            let apart = range.address >= end && range.size > 0;
            if apart {
                end = range.address.saturating_add(range.size);
            }
            apart
        });
        ranges
    }

    /// Ranges as far as the file has them.
    fn within(&self, mut ranges: Vec<Range>) -> Vec<Range> {
        let size = self.content.size();
        for range in &mut ranges {
            range.size = range.size.min(size.saturating_sub(range.offset));
        }
        ranges.retain(|range| range.size > 0 && range.address.checked_add(range.size).is_some());
        ranges
    }

    /// Data with bytes in the file, in order of addresses.
    pub(crate) fn data(&self) -> Vec<Range> {
        let sections = self.sections.iter().filter(|section| {
            section.allocated() && !section.executable() && section.has_bytes() && section.size > 0
        });
        let mut ranges: Vec<Range> = sections
            .map(|section| Range {
                address: section.address,
                offset: section.offset,
                size: section.size,
                writable: section.writable(),
            })
            .collect();
        if ranges.is_empty() {
            let loaded = self
                .segments
                .iter()
                .filter(|s| s.kind == PT_LOAD && !s.executable());
            ranges = loaded
                .map(|segment| Range {
                    address: segment.address,
                    offset: segment.offset,
                    size: segment.size,
                    writable: segment.writable(),
                })
                .collect();
        }
        let mut ranges = self.within(ranges);
        ranges.sort_unstable_by_key(|range| range.address);
        ranges
    }

    /// The program that loads this one, such as `/lib64/ld-linux-x86-64.so.2`.
    pub(crate) fn interpreter(&self) -> Option<String> {
        let segment = self
            .segments
            .iter()
            .find(|segment| segment.kind == PT_INTERP)?;
        let text = self
            .content
            .text(segment.offset, segment.size.min(4096) as usize);
        (!text.is_empty()).then_some(text)
    }

    /// The segment that leads to `.eh_frame`.
    pub(crate) fn frame_header(&self) -> Option<&Segment> {
        self.segments
            .iter()
            .find(|segment| segment.kind == PT_GNU_EH_FRAME)
    }

    /// The segment of dynamic linking.
    pub(crate) fn dynamic_segment(&self) -> Option<&Segment> {
        self.segments
            .iter()
            .find(|segment| segment.kind == PT_DYNAMIC)
    }

    /// `GNU_PROPERTY_X86_ISA_1_NEEDED`: a bit per level, the lowest is the baseline.
    pub(crate) fn isa_needed(&self) -> u32 {
        const PROPERTY: u32 = 0xc000_8002;
        let mut needed = 0;
        let notes = self
            .segments
            .iter()
            .filter(|s| matches!(s.kind, PT_NOTE | PT_GNU_PROPERTY));
        for segment in notes.take(16) {
            let bytes = self
                .content
                .up_to(segment.offset, segment.size.min(4096) as usize);
            let Some(at) = bytes.windows(4).position(|name| name == b"GNU\0") else {
                continue;
            };
            if at < 12 || u32_at(&bytes, at - 4) != Some(5) {
                continue;
            }
            let mut at = at + 4;
            let end = at + u32_at(&bytes, at - 12).unwrap_or_default() as usize;
            while at + 8 <= end.min(bytes.len()) {
                let (kind, size) = (u32_at(&bytes, at), u32_at(&bytes, at + 4));
                if kind == Some(PROPERTY) {
                    needed |= u32_at(&bytes, at + 8).unwrap_or_default();
                }
                at += 8 + (size.unwrap_or_default() as usize).next_multiple_of(8);
            }
        }
        needed
    }
}
