//! Relocations: which places of data hold addresses, and which of them are filled with what other
//! files define.

use crate::bytes::{u32_at, u64_at};
use crate::elf::dynamic::Dynamic;
use crate::elf::layout::Header;
use crate::elf::program::Elf;

/// Entries that are read at once.
const BATCH: usize = 4096;

/// What a place will hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relocation {
    /// An address of this file.
    Address(u64),
    /// What the resolver at this address chooses.
    Chosen(u64),
    /// A symbol by its number in the dynamic table, and what is added to its address.
    Symbol(u32, u64),
}

/// The relocations of a file.
pub(crate) struct Relocations {
    /// Where they apply and to what, in order of the places.
    pub(crate) all: Vec<(u64, Relocation)>,
    /// Whether there were more than are held.
    pub(crate) cut: bool,
}

impl Relocations {
    /// Reads at most `most` of them.
    pub(crate) fn read(elf: &Elf<'_>, most: usize) -> Self {
        let mut found = Self {
            all: Vec::new(),
            cut: false,
        };
        let dynamic = &elf.dynamic;
        for (table, size) in [
            (Dynamic::RELA, Dynamic::RELA_SIZE),
            (Dynamic::JMPREL, Dynamic::PLT_SIZE),
        ] {
            let at = dynamic.value(table).and_then(|at| elf.offset(at));
            if let (Some(at), Some(size)) = (at, dynamic.value(size)) {
                found.read_table(elf, at, size, most);
            }
        }
        if !dynamic.is_present() {
            // A static program's resolvers.
            for section in &elf.sections {
                if section.kind == 4 && section.allocated() {
                    found.read_table(elf, section.offset, section.size, most);
                }
            }
        }
        let at = dynamic.value(Dynamic::RELR).and_then(|at| elf.offset(at));
        if let (Some(at), Some(size)) = (at, dynamic.value(Dynamic::RELR_SIZE)) {
            found.read_compact(elf, at, size, most);
        }
        found.all.sort_unstable_by_key(|(place, _)| *place);
        found.all.dedup_by_key(|(place, _)| *place);
        found
    }

    fn read_table(&mut self, elf: &Elf<'_>, mut at: u64, size: u64, most: usize) {
        let amd64 = elf.header.machine == Header::AMD64;
        let end = at.saturating_add(size).min(elf.content.size());
        while at < end {
            let length = (end - at).min(BATCH as u64 * 24) as usize;
            let batch = elf.content.up_to(at, length);
            if batch.len() < 24 {
                return;
            }
            for entry in batch.chunks_exact(24) {
                let (Some(place), Some(kind), Some(symbol), Some(addend)) = (
                    u64_at(entry, 0),
                    u32_at(entry, 8),
                    u32_at(entry, 12),
                    u64_at(entry, 16),
                ) else {
                    return;
                };
                let relocation = match (amd64, kind) {
                    (true, 8) | (false, 1027) => Relocation::Address(addend),
                    (true, 37) | (false, 1032) => Relocation::Chosen(addend),
                    (true, 1) | (false, 257) => Relocation::Symbol(symbol, addend),
                    (true, 6 | 7) | (false, 1025 | 1026) => Relocation::Symbol(symbol, 0),
                    _ => continue,
                };
                if self.all.len() >= most {
                    self.cut = true;
                    return;
                }
                self.all.push((place, relocation));
            }
            at += length as u64;
        }
    }

    /// `DT_RELR`: an address, or a map of the 63 places behind the last one.
    fn read_compact(&mut self, elf: &Elf<'_>, mut at: u64, size: u64, most: usize) {
        let end = at.saturating_add(size).min(elf.content.size());
        let mut place = 0_u64;
        while at < end {
            let length = (end - at).min(BATCH as u64 * 8) as usize;
            let batch = elf.content.up_to(at, length);
            if batch.len() < 8 {
                return;
            }
            for word in batch.chunks_exact(8).filter_map(|word| u64_at(word, 0)) {
                let mut places = Vec::new();
                if word & 1 == 0 {
                    places.push(word);
                    place = word.wrapping_add(8);
                } else {
                    let bits = (0..63_u64).filter(|bit| word >> (bit + 1) & 1 == 1);
                    places.extend(bits.map(|bit| place.wrapping_add(bit * 8)));
                    place = place.wrapping_add(63 * 8);
                }
                for place in places {
                    let Some(value) = elf
                        .offset(place)
                        .and_then(|offset| u64_at(&elf.content.up_to(offset, 8), 0))
                    else {
                        continue;
                    };
                    if self.all.len() >= most {
                        self.cut = true;
                        return;
                    }
                    self.all.push((place, Relocation::Address(value)));
                }
            }
            at += length as u64;
        }
    }
}
