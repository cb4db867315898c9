//! Symbols: where functions begin, and what they are called.

use std::borrow::Cow;

use crate::bytes::{u16_at, u32_at, u64_at};
use crate::elf::dynamic::Dynamic;
use crate::elf::program::Elf;

/// Entries that are read at once.
const BATCH: u64 = 4096;
/// Most symbols of one table.
const MOST: u64 = 4_000_000;
/// Longest table of names that is held in memory, in bytes.
const NAMES: u64 = 24 << 20;
/// Longest name, in bytes; mangled ones of C++ are long.
const NAME: usize = 512;

/// What a symbol stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SymbolKind {
    Function,
    /// A function that chooses another when the program is loaded.
    Resolver,
    Data,
    Other,
}

/// A symbol.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Symbol<'n> {
    pub(crate) name: &'n str,
    pub(crate) kind: SymbolKind,
    /// Zero for what another file defines.
    pub(crate) address: u64,
    pub(crate) size: u64,
    pub(crate) defined: bool,
}

/// A table of symbols.
pub(crate) struct Symbols<'e> {
    elf: &'e Elf<'e>,
    offset: u64,
    count: u64,
    names_at: u64,
    names: Cow<'e, [u8]>,
}

impl<'e> Symbols<'e> {
    /// The table for the dynamic linker.
    pub(crate) fn dynamic(elf: &'e Elf<'e>) -> Option<Self> {
        if let Some(table) = Self::of_section(elf, 11) {
            return Some(table);
        }
        let offset = elf.offset(elf.dynamic.value(Dynamic::SYMTAB)?)?;
        let names = elf.offset(elf.dynamic.value(Dynamic::STRTAB)?)?;
        // Without sections nothing states the number; linkers put the names right behind.
        let length = names.checked_sub(offset).filter(|length| length % 24 == 0);
        let count = length.map_or(1024, |length| length / 24).min(MOST);
        let size = elf.content.size().saturating_sub(names).min(NAMES);
        Some(Self {
            elf,
            offset,
            count,
            names_at: names,
            names: elf.content.up_to(names, size as usize),
        })
    }

    /// The table of all symbols, which stripped files have not.
    pub(crate) fn full(elf: &'e Elf<'e>) -> Option<Self> {
        Self::of_section(elf, 2)
    }

    fn of_section(elf: &'e Elf<'e>, kind: u32) -> Option<Self> {
        let table = elf.sections.iter().find(|section| section.kind == kind)?;
        let names = elf.sections.get(table.link)?;
        let in_memory = names.size <= NAMES;
        Some(Self {
            elf,
            offset: table.offset,
            count: (table.size / 24).min(MOST),
            names_at: names.offset,
            names: if in_memory {
                elf.content.up_to(names.offset, names.size as usize)
            } else {
                Cow::Borrowed(&[])
            },
        })
    }

    /// Calls `each` with every symbol and its number.
    pub(crate) fn each(&self, mut each: impl FnMut(u32, Symbol<'_>)) {
        let mut at = 0;
        while at < self.count {
            let number = (self.count - at).min(BATCH);
            let batch = self
                .elf
                .content
                .up_to(self.offset.saturating_add(at * 24), number as usize * 24);
            if batch.len() < 24 {
                return;
            }
            for (index, entry) in batch.chunks_exact(24).enumerate() {
                let Some((name, symbol)) = parse(entry) else {
                    return;
                };
                let text = self.name(name);
                each(
                    (at + index as u64) as u32,
                    Symbol {
                        name: &text,
                        ..symbol
                    },
                );
            }
            at += number;
        }
    }

    fn name(&self, at: u32) -> Cow<'_, str> {
        if self.names.is_empty() {
            // Too many to hold: those of C code are read one by one only when asked for.
            return Cow::Borrowed("");
        }
        let bytes = self.names.get(at as usize..).unwrap_or_default();
        let bytes = bytes.get(..NAME.min(bytes.len())).unwrap_or_default();
        let end = bytes
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(bytes.len());
        String::from_utf8_lossy(bytes.get(..end).unwrap_or_default())
    }

    /// The name of the function at `address`.
    pub(crate) fn name_of(&self, address: u64) -> Option<String> {
        let mut found = None;
        let mut at = 0;
        while at < self.count && found.is_none() {
            let number = (self.count - at).min(BATCH);
            let batch = self
                .elf
                .content
                .up_to(self.offset.saturating_add(at * 24), number as usize * 24);
            if batch.len() < 24 {
                break;
            }
            found = batch
                .chunks_exact(24)
                .filter_map(parse)
                .find_map(|(name, symbol)| {
                    let here = symbol.defined && symbol.address == address;
                    let function =
                        matches!(symbol.kind, SymbolKind::Function | SymbolKind::Resolver);
                    (here && function).then_some(name)
                });
            at += number;
        }
        let text = self
            .elf
            .content
            .text(self.names_at.saturating_add(u64::from(found?)), NAME);
        (!text.is_empty()).then_some(text)
    }
}

fn parse(entry: &[u8]) -> Option<(u32, Symbol<'static>)> {
    let info = *entry.get(4)?;
    let symbol = Symbol {
        name: "",
        kind: match info & 15 {
            1 => SymbolKind::Data,
            2 => SymbolKind::Function,
            10 => SymbolKind::Resolver,
            _ => SymbolKind::Other,
        },
        address: u64_at(entry, 8)?,
        size: u64_at(entry, 16)?,
        defined: u16_at(entry, 6)? != 0,
    };
    Some((u32_at(entry, 0)?, symbol))
}
