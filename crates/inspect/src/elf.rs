//! ELF files (System V gABI and the x86-64 psABI), read so that nothing in them is believed: every
//! offset is checked, every table has a bound, and a damaged part is left out with a note.

mod dynamic;
mod frames;
mod layout;
mod program;
mod relocations;
mod symbols;

pub(crate) use dynamic::Dynamic;
pub(crate) use frames::frames;
pub(crate) use layout::{HEADER, Header, Kind, Range};
pub(crate) use program::Elf;
pub(crate) use relocations::{Relocation, Relocations};
pub(crate) use symbols::{SymbolKind, Symbols};
