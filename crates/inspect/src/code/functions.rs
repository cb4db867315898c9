//! The parts of a program before a single instruction is decoded: where functions are, which of
//! them the system calls, and which places of data hold addresses.

use crate::bytes::u64_at;
use crate::code::divide::{Function, Space, divide};
use crate::code::names;
use crate::code::places::Places;
use crate::elf::{Dynamic, Elf, Kind, Range, Relocation, Relocations, SymbolKind, Symbols};
use crate::isa::Uses;
use crate::limits::Limits;

/// Longest array of functions that run at the start, in bytes.
const ARRAY: u64 = 1 << 16;
/// The highest address that programs have.
const HIGHEST: u64 = 1 << 56;
/// Bytes of data that are searched for addresses at once.
const WINDOW: usize = 1 << 20;

/// What a place of data stands for that is filled when the program is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// A function or variable that tells what the processor has.
    Detects,
    /// A function that maps memory.
    Maps,
}

/// Which part of a program is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    /// What frames describe: the C code of a Go program.
    Framed,
}

/// A program, ready to be decoded. Addresses are counted from `base`.
pub(crate) struct Program<'e> {
    pub(crate) elf: &'e Elf<'e>,
    pub(crate) base: u64,
    pub(crate) code: Vec<Range>,
    pub(crate) stubs: Vec<Range>,
    /// In order of their addresses.
    pub(crate) functions: Vec<Function>,
    /// Where they start.
    starts: Places,
    /// What the system or other files call.
    pub(crate) roots: Vec<u32>,
    /// Those by which Python starts a module.
    pub(crate) modules: Vec<u32>,
    /// Data that other files use.
    pub(crate) exported_data: Vec<u32>,
    /// Functions that choose others when the program is loaded.
    pub(crate) resolvers: Vec<u32>,
    /// Places and what they stand for, in order of the places.
    pub(crate) slots: Vec<(u32, Slot)>,
    /// Places and the addresses that they hold, in order of the places.
    pub(crate) pointers: Vec<(u32, u32)>,
    /// Own data that tells what the processor has.
    pub(crate) detecting_data: Vec<u32>,
    /// Own functions that map memory.
    pub(crate) mapping: Vec<u32>,
    /// Bytes of code that frames or symbols describe, and all.
    pub(crate) described: u64,
    pub(crate) bytes: u64,
    /// Why the picture is not whole.
    pub(crate) incomplete: Option<String>,
}

#[derive(Clone, Copy)]
enum Meaning {
    Own(u64),
    Slot(Slot),
}

/// What symbols tell beside where functions are.
#[derive(Default)]
struct Told {
    ranges: Vec<(u32, u32)>,
    named: Vec<u32>,
    roots: Vec<u64>,
    resolvers: Vec<u64>,
    meanings: Vec<(u32, Meaning)>,
    python: bool,
}

impl<'e> Program<'e> {
    /// Reads what is known before decoding.
    pub(crate) fn read(elf: &'e Elf<'e>, part: Part, limits: &Limits) -> Self {
        let (stubs, code): (Vec<Range>, Vec<Range>) = elf.code().into_iter().partition(|range| {
            let mut sections = elf.sections.iter();
            sections.any(|s| s.address == range.address && s.name.starts_with(".plt"))
        });
        let mut program = Self {
            elf,
            base: elf.base(),
            code,
            stubs,
            functions: Vec::new(),
            starts: Places::default(),
            roots: Vec::new(),
            modules: Vec::new(),
            exported_data: Vec::new(),
            resolvers: Vec::new(),
            slots: Vec::new(),
            pointers: Vec::new(),
            detecting_data: Vec::new(),
            mapping: Vec::new(),
            described: 0,
            bytes: 0,
            incomplete: None,
        };
        let sizes = program.code.iter().map(|range| range.size);
        program.bytes = sizes.fold(0, u64::saturating_add);
        if program.bytes > limits.code_bytes {
            let (bytes, most) = (program.bytes >> 20, limits.code_bytes >> 20);
            program.incomplete = Some(format!("it has {bytes} MiB of code: {most} are read"));
            return program;
        }
        if program.base > HIGHEST {
            program.incomplete = Some("it is to be loaded where no program can be".to_owned());
            return program;
        }
        let last = program.code.last().map(|range| range.address + range.size);
        if last.is_some_and(|end| program.at(end).is_none()) {
            program.incomplete = Some("its code spans more than 4 GiB".to_owned());
            return program;
        }
        let mut told = Told::default();
        program.read_symbols(&mut told);
        program.read_relocations(&mut told, limits);
        program.read_starts(&mut told);
        program.divide(&told, part, limits);
        program.mark(&told);
        program
    }

    /// An address as it is counted here.
    pub(crate) fn at(&self, address: u64) -> Option<u32> {
        u32::try_from(address.checked_sub(self.base)?).ok()
    }

    /// The number of the function that holds an address.
    pub(crate) fn function(&self, at: u32) -> Option<u32> {
        let number = self.starts.last_before(at)?;
        let function = self.functions.get(number as usize)?;
        (at < function.end).then_some(number)
    }

    fn read_symbols(&mut self, told: &mut Told) {
        if let Some(symbols) = Symbols::dynamic(self.elf) {
            let mut exported = Vec::new();
            symbols.each(|number, symbol| {
                if !symbol.defined {
                    let slot = if names::detects(symbol.name) {
                        Slot::Detects
                    } else if names::maps_memory(symbol.name) {
                        Slot::Maps
                    } else {
                        return;
                    };
                    told.meanings.push((number, Meaning::Slot(slot)));
                    return;
                }
                told.meanings.push((number, Meaning::Own(symbol.address)));
                match symbol.kind {
                    SymbolKind::Resolver => told.resolvers.push(symbol.address),
                    SymbolKind::Function => {
                        told.python |= symbol.name.starts_with("PyInit_");
                        exported.push((
                            symbol.address,
                            symbol.name.starts_with("PyInit_"),
                            names::says_level(symbol.name),
                        ));
                    }
                    SymbolKind::Data => self.exported_data.extend(self.at(symbol.address)),
                    SymbolKind::Other => {}
                }
                self.describe(told, symbol.kind, symbol.name, symbol.address, symbol.size);
            });
            let python = told.python;
            let roots = exported
                .iter()
                .filter(|(_, init, level)| !level && (!python || *init));
            told.roots.extend(roots.map(|(address, ..)| *address));
            let modules = exported.iter().filter(|(_, init, _)| *init);
            self.modules = modules
                .filter_map(|(address, ..)| self.at(*address))
                .collect();
            if python {
                self.exported_data.clear();
            }
        }
        if let Some(symbols) = Symbols::full(self.elf) {
            symbols.each(|_, symbol| {
                if symbol.defined {
                    self.describe(told, symbol.kind, symbol.name, symbol.address, symbol.size);
                }
            });
        }
    }

    fn describe(&mut self, told: &mut Told, kind: SymbolKind, name: &str, address: u64, size: u64) {
        let Some(at) = self.at(address) else { return };
        match kind {
            SymbolKind::Function | SymbolKind::Resolver => {
                let end = at.saturating_add(u32::try_from(size).unwrap_or(u32::MAX));
                told.ranges.push((at, end));
                if kind == SymbolKind::Resolver {
                    told.resolvers.push(address);
                }
                if names::says_level(name) {
                    told.named.push(at);
                }
                if names::maps_memory(name) {
                    self.mapping.push(at);
                }
            }
            SymbolKind::Data if names::detects(name) => {
                let end = at.saturating_add(size.min(256) as u32);
                self.detecting_data.extend((at..end.max(at + 1)).step_by(4));
            }
            _ => {}
        }
    }

    fn read_relocations(&mut self, told: &mut Told, limits: &Limits) {
        let relocations = Relocations::read(self.elf, limits.references);
        if relocations.cut {
            self.incomplete = Some("it has more relocations than are read".to_owned());
        }
        for (place, relocation) in relocations.all {
            let Some(place) = self.at(place) else {
                continue;
            };
            let target = match relocation {
                Relocation::Address(address) => Some(address),
                Relocation::Chosen(resolver) => {
                    told.resolvers.push(resolver);
                    Some(resolver)
                }
                Relocation::Symbol(number, addend) => {
                    let found = told.meanings.binary_search_by_key(&number, |(n, _)| *n);
                    let meaning = found.ok().and_then(|at| told.meanings.get(at));
                    match meaning.map(|(_, meaning)| *meaning) {
                        Some(Meaning::Own(address)) => Some(address.wrapping_add(addend)),
                        Some(Meaning::Slot(slot)) => {
                            self.slots.push((place, slot));
                            None
                        }
                        None => None,
                    }
                }
            };
            if let Some(target) = target.and_then(|address| self.at(address)) {
                self.pointers.push((place, target));
            }
        }
    }

    /// Functions that the system calls.
    fn read_starts(&mut self, told: &mut Told) {
        let elf = self.elf;
        if elf.entry != 0 {
            told.roots.push(elf.entry);
        }
        for tag in [Dynamic::INIT, Dynamic::FINI] {
            told.roots
                .extend(elf.dynamic.value(tag).filter(|address| *address != 0));
        }
        let mut arrays: Vec<(u64, u64)> = [
            (Dynamic::INIT_ARRAY, Dynamic::INIT_ARRAY_SIZE),
            (Dynamic::FINI_ARRAY, Dynamic::FINI_ARRAY_SIZE),
        ]
        .iter()
        .filter_map(|(array, size)| Some((elf.dynamic.value(*array)?, elf.dynamic.value(*size)?)))
        .collect();
        for name in [
            ".init_array",
            ".fini_array",
            ".preinit_array",
            ".ctors",
            ".dtors",
        ] {
            arrays.extend(
                elf.section(name)
                    .map(|section| (section.address, section.size)),
            );
        }
        for name in [".init", ".fini"] {
            told.roots
                .extend(elf.section(name).map(|section| section.address));
        }
        for (address, size) in arrays {
            let from = self
                .pointers
                .partition_point(|(place, _)| u64::from(*place) + self.base < address);
            let held = self.pointers.get(from..).unwrap_or_default().iter();
            let size = size.min(ARRAY);
            let end = address.saturating_add(size);
            let inside = held.take_while(|(place, _)| u64::from(*place) + self.base < end);
            told.roots
                .extend(inside.map(|(_, target)| u64::from(*target) + self.base));
            if elf.header.kind == Kind::Executable
                && let Some(offset) = elf.offset(address)
            {
                let bytes = elf.content.up_to(offset, size as usize);
                told.roots
                    .extend(bytes.chunks_exact(8).filter_map(|word| u64_at(word, 0)));
            }
        }
    }

    fn divide(&mut self, told: &Told, part: Part, limits: &Limits) {
        let symbols = match part {
            Part::Whole => told.ranges.clone(),
            Part::Framed => Vec::new(),
        };
        let entered = told.roots.iter().chain(&told.resolvers);
        let mut entered: Vec<u32> = entered.filter_map(|address| self.at(*address)).collect();
        entered.sort_unstable();
        entered.dedup();
        let whole = part == Part::Whole;
        let space = Space {
            elf: self.elf,
            base: self.base,
            code: &self.code,
        };
        let divided = divide(&space, symbols, &entered, whole, limits.functions);
        if divided.cut {
            self.incomplete = Some(format!("it has more than {} functions", limits.functions));
        }
        let starts = divided.functions.iter().map(|function| function.start);
        self.starts = Places::new(starts.collect());
        self.functions = divided.functions;
        self.described = divided.described;
    }

    fn mark(&mut self, told: &Told) {
        for at in &told.named {
            if let Some(number) = self.function(*at)
                && let Some(function) = self.functions.get_mut(number as usize)
            {
                function.uses = function.uses.and(Uses::NAMED);
            }
        }
        let numbers = |addresses: &[u64]| {
            let mut numbers: Vec<u32> = addresses
                .iter()
                .filter_map(|address| self.function(self.at(*address)?))
                .collect();
            numbers.sort_unstable();
            numbers.dedup();
            numbers
        };
        let (roots, resolvers) = (numbers(&told.roots), numbers(&told.resolvers));
        let modules = self.modules.iter().filter_map(|at| self.function(*at));
        self.modules = modules.collect();
        self.roots = roots;
        self.resolvers = resolvers;
        self.mapping = {
            let mapping = self.mapping.iter().filter_map(|at| self.function(*at));
            mapping.collect()
        };
        if self.elf.header.kind == Kind::Executable {
            self.search_pointers();
        }
        self.slots.sort_unstable_by_key(|(place, _)| *place);
        self.pointers.sort_unstable();
        self.pointers.dedup_by_key(|(place, _)| *place);
    }

    /// A program at a fixed address holds addresses without relocations: whatever looks like the
    /// beginning of a function counts as one.
    fn search_pointers(&mut self) {
        let mut found = Vec::new();
        for range in self.elf.data() {
            let mut at = 0;
            while at < range.size {
                let length = (range.size - at).min(WINDOW as u64) as usize;
                let bytes = self.elf.content.up_to(range.offset + at, length);
                for (index, word) in bytes.chunks_exact(8).enumerate() {
                    let Some(target) = u64_at(word, 0).and_then(|word| self.at(word)) else {
                        continue;
                    };
                    let place = self.at(range.address + at + index as u64 * 8);
                    let number = self.function(target).map(|number| number as usize);
                    let function = number.and_then(|number| self.functions.get(number));
                    if let (Some(place), Some(function)) = (place, function)
                        && function.start == target
                    {
                        found.push((place, target));
                    }
                }
                at += length as u64;
            }
        }
        self.pointers.extend(found);
    }
}
