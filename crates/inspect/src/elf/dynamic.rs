//! What the dynamic linker is told: libraries, tables, and versions of symbols.

use std::collections::BTreeSet;

use crate::bytes::{u16_at, u32_at, u64_at};
use crate::elf::layout::Layout;

/// Most entries that are read.
const ENTRIES: usize = 4096;
/// Longest name of a library or version, in bytes.
const NAME: usize = 256;

/// The dynamic section.
#[derive(Debug, Default)]
pub(crate) struct Dynamic {
    entries: Vec<(u64, u64)>,
    strings: Option<u64>,
    /// `DT_NEEDED`.
    pub(crate) needed: Vec<String>,
    /// `DT_SONAME`.
    pub(crate) soname: Option<String>,
    /// Versions that are asked of libraries, such as `GLIBC_2.34`.
    pub(crate) versions: BTreeSet<String>,
}

impl Dynamic {
    pub(crate) const STRTAB: u64 = 5;
    pub(crate) const RELA: u64 = 7;
    pub(crate) const RELA_SIZE: u64 = 8;
    pub(crate) const SYMTAB: u64 = 6;
    pub(crate) const INIT: u64 = 12;
    pub(crate) const FINI: u64 = 13;
    pub(crate) const JMPREL: u64 = 23;
    pub(crate) const PLT_SIZE: u64 = 2;
    pub(crate) const INIT_ARRAY: u64 = 25;
    pub(crate) const FINI_ARRAY: u64 = 26;
    pub(crate) const INIT_ARRAY_SIZE: u64 = 27;
    pub(crate) const FINI_ARRAY_SIZE: u64 = 28;
    pub(crate) const RELR: u64 = 36;
    pub(crate) const RELR_SIZE: u64 = 35;
    const NEEDED: u64 = 1;
    const SONAME: u64 = 14;
    const VERNEED: u64 = 0x6fff_fffe;
    const VERNEED_COUNT: u64 = 0x6fff_ffff;

    pub(crate) fn read(elf: &Layout<'_>) -> Self {
        let mut dynamic = Self::default();
        let Some(segment) = elf.dynamic_segment() else {
            return dynamic;
        };
        let length = segment.size.min(ENTRIES as u64 * 16) as usize;
        for entry in elf.content.up_to(segment.offset, length).chunks_exact(16) {
            match (u64_at(entry, 0), u64_at(entry, 8)) {
                (Some(0) | None, _) | (_, None) => break,
                (Some(tag), Some(value)) => dynamic.entries.push((tag, value)),
            }
        }
        dynamic.strings = dynamic.value(Self::STRTAB).and_then(|at| elf.offset(at));
        let named = |tag: u64| {
            let of_tag = dynamic.entries.iter().filter(move |(t, _)| *t == tag);
            of_tag.map(|(_, value)| dynamic.string(elf, *value))
        };
        let needed: Vec<String> = named(Self::NEEDED)
            .filter(|name| !name.is_empty())
            .collect();
        let soname = named(Self::SONAME).find(|name| !name.is_empty());
        dynamic.needed = needed;
        dynamic.soname = soname;
        dynamic.versions = dynamic.read_versions(elf);
        dynamic
    }

    pub(crate) fn value(&self, tag: u64) -> Option<u64> {
        let mut entries = self.entries.iter();
        entries.find(|(t, _)| *t == tag).map(|(_, value)| *value)
    }

    /// Whether there is any.
    pub(crate) fn is_present(&self) -> bool {
        !self.entries.is_empty()
    }

    pub(crate) fn string(&self, elf: &Layout<'_>, at: u64) -> String {
        let offset = self.strings.and_then(|strings| strings.checked_add(at));
        offset
            .map(|offset| elf.content.text(offset, NAME))
            .unwrap_or_default()
    }

    fn read_versions(&self, elf: &Layout<'_>) -> BTreeSet<String> {
        let mut versions = BTreeSet::new();
        let count = self
            .value(Self::VERNEED_COUNT)
            .unwrap_or_default()
            .min(1024);
        let mut at = self.value(Self::VERNEED).and_then(|at| elf.offset(at));
        for _ in 0..count {
            let Some(offset) = at else { break };
            let library = elf.content.up_to(offset, 16);
            let names = u16_at(&library, 2).unwrap_or_default();
            let mut aux = next(offset, u32_at(&library, 8));
            for _ in 0..names.min(1024) {
                let Some(offset) = aux else { break };
                let entry = elf.content.up_to(offset, 16);
                let Some(name) = u32_at(&entry, 8) else { break };
                versions.insert(self.string(elf, u64::from(name)));
                aux = next(offset, u32_at(&entry, 12));
            }
            at = next(offset, u32_at(&library, 12));
        }
        versions.remove("");
        versions
    }
}

/// The next entry of a chain; they point forward only, so that none is read twice.
fn next(offset: u64, step: Option<u32>) -> Option<u64> {
    let step = step.filter(|step| *step > 0)?;
    offset.checked_add(u64::from(step))
}
