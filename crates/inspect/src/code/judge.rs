//! The rule by which the use of instructions becomes an answer (`docs/inspect.md` tells it in
//! words, with what it was measured on).

use crate::answer::{Cpu, Evidence, Level, Status};
use crate::code::decode::{callee, decode};
use crate::code::functions::{Part, Program, Slot};
use crate::code::graph::{Graph, Reached};
use crate::code::guards::Guards;
use crate::code::names;
use crate::code::sweep::{Callee, Swept, Window, named_addresses, sweep};
use crate::elf::{Elf, Kind, Symbols};
use crate::isa::{self, Uses};
use crate::limits::Limits;

use iced_x86::{FlowControl, Instruction, Register};

/// Examples of one kind in an answer.
const EXAMPLES: usize = 3;
/// Share of functions with vectors that are encoded as AVX where a whole file was built for it.
const PREVALENT: f64 = 0.9;
/// Instructions that are followed from where a program begins.
const STEPS: u32 = 20_000;
/// Calls that are followed into each other.
const DEPTH: u32 = 12;

/// What the code of `elf` asks of the processor, and how many instructions were decoded.
pub(crate) fn judge(elf: &Elf<'_>, part: Part, limits: &Limits, budget: u64) -> (Cpu, u64) {
    let mut program = Program::read(elf, part, limits);
    if let Some(why) = program.incomplete.take() {
        return (Cpu::unknown(why), 0);
    }
    let swept = sweep(&mut program, limits, budget);
    if let Some(why) = &swept.incomplete {
        return (Cpu::unknown(why.clone()), swept.instructions);
    }
    let graph = Graph::new(&program, &swept);
    if part == Part::Framed {
        // The rest of the program may call whatever its own functions do not.
        program.roots = graph.led_to_by_none(&program);
    }
    let starts = starts(&program, part);
    // What the entry does is the C library's.
    let first: Vec<u32> = starts
        .iter()
        .skip(1)
        .chain(&program.modules)
        .copied()
        .collect();
    let guards = Guards::find(&program, &swept, &graph, &first);
    let roots = program.roots.iter().copied();
    let exported = program
        .exported_data
        .iter()
        .filter_map(|at| graph.piece(*at));
    let unguarded = graph.reach(roots.chain(exported), |node| {
        guards.all.get(&node).map(|before| before.calls.as_slice())
    });
    let dispatched = graph.reach(guards.all.keys().copied(), |_| None);
    let beyond = graph.reach(guards.ending.iter().copied(), |node| {
        let ends = guards.ending.contains(&node);
        let other = guards.all.get(&node).filter(|_| !ends);
        other.map(|before| before.calls.as_slice())
    });
    let mut judge = Judge {
        program: &program,
        swept: &swept,
        guards: &guards,
        part,
        unguarded,
        dispatched,
        beyond,
        starts,
        cpu: Cpu::default(),
    };
    judge.run();
    (judge.cpu, swept.instructions)
}

struct Judge<'j, 'e> {
    program: &'j Program<'e>,
    swept: &'j Swept,
    guards: &'j Guards,
    part: Part,
    unguarded: Reached,
    dispatched: Reached,
    /// What is reached from those with which the program begins, and which may end it.
    beyond: Reached,
    starts: Vec<u32>,
    cpu: Cpu,
}

/// How many functions of a set use what.
#[derive(Default)]
struct Count {
    functions: usize,
    legacy: usize,
    vex: usize,
    evex: usize,
    bits: usize,
    v2: usize,
}

impl Count {
    fn add(&mut self, uses: Uses) {
        let avx = uses.has(Uses::VEX) || uses.has(Uses::EVEX);
        self.functions += 1;
        self.vex += usize::from(avx);
        self.legacy += usize::from(uses.has(Uses::LEGACY) && !avx);
        self.evex += usize::from(uses.has(Uses::EVEX));
        self.bits += usize::from(uses.has(Uses::BITS));
        self.v2 += usize::from(uses.has(Uses::V2));
    }

    fn is_prevalent(&self, least: usize) -> bool {
        self.vex >= least && self.vex as f64 >= PREVALENT * (self.vex + self.legacy) as f64
    }

    fn is_v4(&self) -> bool {
        self.evex >= 2 && self.evex * 20 >= self.vex + self.legacy
    }
}

fn level(uses: Uses) -> Option<Level> {
    if uses.has(Uses::EVEX) || uses.has(Uses::V4) {
        Some(Level::V4)
    } else if uses.has(Uses::VEX) || uses.has(Uses::V3) {
        Some(Level::V3)
    } else if uses.has(Uses::V2) {
        Some(Level::V2)
    } else {
        None
    }
}

const ABOVE_V2: Uses = Uses::VEX.and(Uses::EVEX).and(Uses::V3).and(Uses::V4);

impl Judge<'_, '_> {
    fn run(&mut self) {
        let mut window = Window::default();
        for start in self.starts.clone() {
            self.must_run(start, &mut window);
        }
        let (mut free, mut all) = (Count::default(), Count::default());
        for (number, function) in (0..).zip(&self.program.functions) {
            let free_uses = self.free_uses(number, function.uses);
            if let Some(uses) = free_uses {
                free.add(uses);
            }
            if !function.uses.has(Uses::GAP) {
                all.add(function.uses);
            }
        }
        self.prevalence(&free, &all);
        self.rest(&free, &mut window);
        self.generated();
        self.features();
    }

    /// What a function uses without a look at the processor; `None` if it is behind one.
    fn free_uses(&self, number: u32, uses: Uses) -> Option<Uses> {
        if !self.unguarded.has(number) {
            return None;
        }
        Some(
            self.guards
                .all
                .get(&number)
                .map_or(uses, |before| before.uses),
        )
    }

    fn prevalence(&mut self, free: &Count, all: &Count) {
        let (of, count) = if free.is_prevalent(3) {
            ("functions that run without a look at the processor", free)
        } else if all.is_prevalent(5) {
            ("functions of the whole file", all)
        } else {
            return;
        };
        let level = if count.is_v4() { Level::V4 } else { Level::V3 };
        let (vex, vectors) = (count.vex, count.vex + count.legacy);
        let why = format!(
            "{vex} of {vectors} {of} with vector instructions encode them as AVX: it was built so"
        );
        let wanted = if level == Level::V4 {
            Uses::EVEX
        } else {
            Uses::VEX
        };
        let evidence = Evidence::new(Status::Required, Some(level), why);
        let example = self.first(wanted, |judge, number| judge.unguarded.has(number));
        let example = example.or_else(|| self.first(wanted, |_, _| true));
        let evidence = match example {
            Some(number) => self.prove(number, wanted, evidence),
            None => evidence,
        };
        self.cpu.show(evidence);
    }

    /// What is above the level that is known to be required.
    fn rest(&mut self, free: &Count, window: &mut Window) {
        // Go's own code, which is not read, looks at the processor.
        let executable = is_program(self.program.elf) && self.part == Part::Whole;
        let mut shown = [0; 4];
        for (number, function) in (0..).zip(&self.program.functions) {
            let free_uses = self.free_uses(number, function.uses);
            let uses = free_uses.unwrap_or(function.uses);
            // A dispatcher's other part is behind its look.
            let behind = free_uses.is_some_and(|free| free != function.uses);
            if behind {
                self.note(
                    level(function.uses),
                    Status::Dispatched,
                    number,
                    &mut shown,
                    window,
                );
            }
            let Some(level) = level(uses) else { continue };
            let known = self.cpu.required.is_some_and(|required| required >= level);
            if known {
                continue;
            }
            let status = if free_uses.is_some() {
                self.unguarded_status(uses, free, executable)
            } else if self.beyond.has(number) && !function.uses.has(Uses::NAMED) {
                Status::Unknown
            } else if self.dispatched.has(number) || self.guards.all.contains_key(&number) {
                Status::Dispatched
            } else if function.uses.has(Uses::GAP) {
                let blind = self.program.described * 2 < self.program.bytes;
                if !blind {
                    continue;
                }
                Status::Unknown
            } else if function.uses.has(Uses::NAMED) && self.guards.detects {
                Status::Dispatched
            } else if level == Level::V2 && self.part == Part::Whole {
                continue;
            } else {
                Status::Unknown
            };
            self.note(Some(level), status, number, &mut shown, window);
        }
    }

    /// What a function stands for that runs without a look at the processor.
    fn unguarded_status(&self, uses: Uses, free: &Count, executable: bool) -> Status {
        let many = !uses.has(ABOVE_V2) && free.v2 >= 5 && free.v2 * 100 >= free.functions;
        if !self.guards.detects {
            return if executable || many {
                Status::Required
            } else {
                Status::Unknown
            };
        }
        if !uses.has(ABOVE_V2) {
            return if executable && many {
                Status::Required
            } else {
                Status::Unknown
            };
        }
        // Counting zeros and the like is often chosen by a look that lies further away.
        let only_bits = !uses.has(Uses::VEX) && !uses.has(Uses::EVEX);
        if only_bits && free.vex == 0 && free.legacy > 0 {
            return Status::Dispatched;
        }
        Status::Unknown
    }

    fn note(
        &mut self,
        level: Option<Level>,
        status: Status,
        number: u32,
        shown: &mut [usize; 4],
        window: &mut Window,
    ) {
        let Some(level) = level else { return };
        let known = match status {
            Status::Required => self.cpu.required >= Some(level),
            Status::Dispatched => self.cpu.dispatched >= Some(level),
            Status::Unknown => false,
        };
        let place = shown.get_mut(status as usize);
        let few = place.is_some_and(|count| {
            *count += 1;
            *count <= EXAMPLES
        });
        if known || (!few && status == Status::Unknown) {
            return;
        }
        let why = match status {
            Status::Required => "it runs, and nothing looks at the processor before",
            Status::Dispatched => "it runs only after a look at the processor",
            Status::Unknown if self.beyond.has(number) => {
                "it runs after a look at the processor that may end the program"
            }
            Status::Unknown if self.unguarded.has(number) => {
                "it is reached without a look at the processor that could be seen"
            }
            Status::Unknown => "nothing that leads to it could be seen",
        };
        let wanted = match level {
            Level::V4 => Uses::EVEX.and(Uses::V4),
            Level::V3 => Uses::VEX.and(Uses::V3),
            _ => Uses::V2,
        };
        let evidence = Evidence::new(status, Some(level), why);
        let evidence = self.prove_in(number, wanted, evidence, window);
        self.cpu.show(evidence);
    }

    fn first(&self, wanted: Uses, of: impl Fn(&Self, u32) -> bool) -> Option<u32> {
        let functions = (0..).zip(&self.program.functions);
        let mut matching = functions.filter(|(_, f)| f.uses.has(wanted) && !f.uses.has(Uses::GAP));
        matching
            .find(|(number, _)| of(self, *number))
            .map(|(number, _)| number)
    }

    fn prove(&self, number: u32, wanted: Uses, evidence: Evidence) -> Evidence {
        self.prove_in(number, wanted, evidence, &mut Window::default())
    }

    /// Adds the function and the first instruction of the kind to the evidence.
    fn prove_in(
        &self,
        number: u32,
        wanted: Uses,
        mut evidence: Evidence,
        window: &mut Window,
    ) -> Evidence {
        let table = isa::table();
        decode(self.program, number, window, |instruction| {
            let found = isa::uses(table, instruction.code()).has(wanted);
            if found {
                evidence.address = Some(format!("{:#x}", instruction.ip()));
                evidence.instruction = Some(mnemonic(instruction));
            }
            !found
        });
        evidence.function = self.name(number);
        evidence
    }

    fn name(&self, number: u32) -> Option<String> {
        let function = self.program.functions.get(number as usize)?;
        let address = self.program.base + u64::from(function.start);
        let elf = self.program.elf;
        let full = Symbols::full(elf).and_then(|symbols| symbols.name_of(address));
        full.or_else(|| Symbols::dynamic(elf)?.name_of(address))
    }

    /// Follows what runs from the beginning of a function up to the first decision.
    fn must_run(&mut self, start: u32, window: &mut Window) {
        let mut steps = STEPS;
        let found = self.walk(start, DEPTH, &mut steps, window);
        let Some((number, address, name, uses)) = found else {
            return;
        };
        let Some(level) = level(uses) else { return };
        let why = "every run of it comes there before anything is decided";
        let mut evidence = Evidence::new(Status::Required, Some(level), why);
        evidence.address = Some(format!("{address:#x}"));
        evidence.instruction = Some(name);
        evidence.function = self.name(number);
        self.cpu.show(evidence);
    }

    fn walk(
        &self,
        number: u32,
        depth: u32,
        steps: &mut u32,
        window: &mut Window,
    ) -> Option<(u32, u64, String, Uses)> {
        let table = isa::table();
        let mut best: Option<(u32, u64, String, Uses)> = None;
        let mut calls = Vec::new();
        decode(self.program, number, window, |instruction| {
            *steps = steps.saturating_sub(1);
            let used = isa::uses(table, instruction.code());
            if used.has(Uses::DETECTS) || *steps == 0 {
                return false;
            }
            if level(used) > best.as_ref().and_then(|(.., uses)| level(*uses)) {
                best = Some((number, instruction.ip(), mnemonic(instruction), used));
            }
            match instruction.flow_control() {
                FlowControl::Next => true,
                FlowControl::Call => {
                    calls.extend(callee(self.program, instruction));
                    true
                }
                FlowControl::IndirectCall => true,
                _ => false,
            }
        });
        for to in calls {
            // Its own look may end the program or choose for the rest.
            if depth == 0 || *steps == 0 || self.guards.all.contains_key(&to) || to == number {
                break;
            }
            let deeper = self.walk(to, depth - 1, steps, window);
            let of = |found: &Option<(u32, u64, String, Uses)>| {
                found.as_ref().and_then(|(.., uses)| level(*uses))
            };
            if of(&deeper) > of(&best) {
                best = deeper;
            }
        }
        best
    }

    /// Code that is made when the program runs cannot be read.
    fn generated(&mut self) {
        let maps = |callee: &Callee| match callee {
            Callee::Function(number) => {
                self.program.mapping.contains(number) || self.swept.mapping.contains(number)
            }
            Callee::Place(place) => {
                let found = self
                    .program
                    .slots
                    .binary_search_by_key(place, |(at, _)| *at);
                found
                    .ok()
                    .and_then(|at| self.program.slots.get(at))
                    .map(|(_, slot)| *slot)
                    == Some(Slot::Maps)
            }
        };
        let found = self
            .swept
            .mappings
            .iter()
            .filter(|(_, callee)| maps(callee));
        let found: std::collections::BTreeSet<u32> = found.map(|(number, _)| *number).collect();
        let own = |number: &u32| {
            self.name(*number)
                .is_some_and(|name| names::is_of_glibc(&name))
        };
        let found: Vec<u32> = found.into_iter().filter(|number| !own(number)).collect();
        // Without names, those two of a static glibc are told by their number only.
        let elf = self.program.elf;
        let fixed = elf.dynamic.needed.is_empty() && !self.program.resolvers.is_empty();
        let unnamed = fixed && Symbols::full(elf).is_none();
        let Some(number) = found.first().filter(|_| !unnamed || found.len() > 2) else {
            return;
        };
        let why = "it makes memory executable, so it may make code when it runs";
        let mut evidence = Evidence::new(Status::Unknown, None, why);
        evidence.function = self.name(*number);
        self.cpu.show(evidence);
    }

    fn features(&mut self) {
        let Some(required) = self.cpu.required else {
            return;
        };
        let mut uses = Uses::default();
        for (number, function) in (0..).zip(&self.program.functions) {
            if let Some(free) = self.free_uses(number, function.uses) {
                uses = uses.and(free);
            }
        }
        let within = Uses::of_level(required);
        self.cpu.features.extend(uses.only(within).features());
    }
}

/// A file that is started rather than loaded by another.
fn is_program(elf: &Elf<'_>) -> bool {
    let placed_anywhere = elf.header.kind == Kind::Shared;
    let starts = elf.entry != 0 && elf.dynamic.soname.is_none();
    elf.header.kind == Kind::Executable
        || (placed_anywhere
            && starts
            && (elf.interpreter().is_some() || elf.dynamic.needed.is_empty()))
}

/// Functions that run in any case: the entry that the system calls at the start, then `main`.
fn starts(program: &Program<'_>, part: Part) -> Vec<u32> {
    let elf = program.elf;
    let number = |address: u64| program.function(program.at(address)?);
    let mut starts = Vec::new();
    if part == Part::Whole
        && is_program(elf)
        && let Some(entry) = number(elf.entry)
    {
        starts.push(entry);
        let mut main = None;
        decode(program, entry, &mut Window::default(), |instruction| {
            let first = instruction.op_count() > 0
                && matches!(instruction.op0_register(), Register::RDI | Register::EDI);
            if first {
                let named = named_addresses(instruction, true).into_iter().flatten();
                main = named.filter_map(number).next().or(main);
            }
            instruction.flow_control() != FlowControl::Call
        });
        starts.extend(main);
    }
    starts
}

fn mnemonic(instruction: &Instruction) -> String {
    format!("{:?}", instruction.mnemonic()).to_ascii_lowercase()
}
