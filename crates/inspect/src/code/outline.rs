//! Where the functions of a program are, for architectures whose code is not followed.

use crate::code::functions::{Part, Program, Slot};
use crate::elf::{Elf, Kind, Symbols};
use crate::isa::Uses;
use crate::limits::Limits;

/// The functions of a program.
pub(crate) struct Outline {
    pub(crate) functions: Vec<Described>,
    /// Whether it asks another file what the processor has, or has resolvers.
    pub(crate) detects: bool,
    /// Whether it is started rather than loaded by another.
    pub(crate) program: bool,
}

/// A function that a frame or a symbol describes.
pub(crate) struct Described {
    pub(crate) address: u64,
    pub(crate) offset: u64,
    pub(crate) length: u64,
    /// Whether its name says which processors it is for.
    pub(crate) named: bool,
}

impl Described {
    /// What it is called.
    pub(crate) fn name(&self, elf: &Elf<'_>) -> Option<String> {
        let full = Symbols::full(elf).and_then(|symbols| symbols.name_of(self.address));
        full.or_else(|| Symbols::dynamic(elf)?.name_of(self.address))
    }
}

impl Outline {
    /// Reads it.
    ///
    /// # Errors
    /// When a bound was reached; the reason.
    pub(crate) fn read(elf: &Elf<'_>, limits: &Limits) -> Result<Self, String> {
        let program = Program::read(elf, Part::Whole, limits);
        if let Some(why) = program.incomplete {
            return Err(why);
        }
        let functions = program.functions.iter().filter(|f| !f.uses.has(Uses::GAP));
        let functions = functions.filter_map(|function| {
            let address = program.base + u64::from(function.start);
            Some(Described {
                address,
                offset: elf.offset(address)?,
                length: u64::from(function.end - function.start),
                named: function.uses.has(Uses::NAMED),
            })
        });
        Ok(Self {
            functions: functions.collect(),
            detects: !program.resolvers.is_empty()
                || program.slots.iter().any(|(_, slot)| *slot == Slot::Detects),
            program: elf.header.kind == Kind::Executable
                || (elf.interpreter().is_some() && elf.dynamic.soname.is_none()),
        })
    }
}
