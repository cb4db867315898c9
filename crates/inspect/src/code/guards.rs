//! Dispatchers: functions that look at what the processor has before they go on, and what they do
//! before they look.

use std::collections::{BTreeMap, BTreeSet};

use iced_x86::{FlowControl, Instruction, Mnemonic, OpKind, Register};

use crate::code::decode::{callee, decode, places};
use crate::code::functions::{Program, Slot};
use crate::code::graph::Graph;
use crate::code::paths::{self, Before};
use crate::code::sweep::{Swept, WRITES, Window, writes};
use crate::isa::{self, Uses};

/// Instructions after a look at the processor in which what was seen is written down.
const NOTED: u64 = 400;
/// Functions that are so short only answer what the processor has, in bytes.
const SHORT: u32 = 96;
/// Bytes that an answer fills which is written through its address.
const ANSWER: u32 = 32;
/// Instructions between an argument and the call that takes it.
const ARGUMENT: u64 = 16;

/// The dispatchers of a program.
pub(crate) struct Guards {
    pub(crate) all: BTreeMap<u32, Before>,
    /// Whether the program looks at the processor at all.
    pub(crate) detects: bool,
    /// Those of the functions with which a program begins that may end it after a look.
    pub(crate) ending: Vec<u32>,
}

impl Guards {
    /// Finds them; `first` are functions with which the program begins.
    pub(crate) fn find(program: &Program<'_>, swept: &Swept, graph: &Graph, first: &[u32]) -> Self {
        let numbers = 0..program.functions.len() as u32;
        let asks: BTreeSet<u32> = numbers
            .zip(&program.functions)
            .filter(|(_, function)| function.uses.has(Uses::DETECTS))
            .map(|(number, _)| number)
            .collect();
        let mut looks = asks.clone();
        // Those that ask through another file, or through what the compiler's library noted.
        let detecting: BTreeSet<u32> = program
            .slots
            .iter()
            .filter(|(_, slot)| *slot == Slot::Detects)
            .map(|(place, _)| *place)
            .collect();
        let noted: BTreeSet<u32> = program.detecting_data.iter().copied().collect();
        for (from, at) in &swept.data {
            if detecting.contains(at) || noted.contains(at) {
                looks.insert(from & !WRITES);
            }
        }
        let callers = |of: &BTreeSet<u32>| {
            let calls = swept.calls.iter().filter(|(_, to)| of.contains(to));
            calls.map(|(from, _)| *from).collect::<BTreeSet<u32>>()
        };
        let mut writers = asks.clone();
        writers.extend(callers(&asks));
        looks.extend(&writers);
        let mut window = Window::default();
        let mut written = BTreeSet::new();
        for writer in &writers {
            written_after(program, *writer, &asks, &mut window, &mut written);
        }
        // Variables that hold the address of one that asks are called through.
        for (place, target) in &program.pointers {
            if program
                .function(*target)
                .is_some_and(|number| asks.contains(&number))
            {
                written.insert(*place);
            }
        }
        // Exported variables are reached through a place that holds their address.
        let indirect: Vec<u32> = program
            .pointers
            .iter()
            .filter(|(_, target)| written.contains(target) || noted.contains(target))
            .map(|(place, _)| *place)
            .collect();
        written.extend(indirect);
        let mut readers = BTreeSet::new();
        for (from, at) in &swept.data {
            if from & WRITES == 0 && written.contains(at) {
                readers.insert(*from);
            }
        }
        let short: BTreeSet<u32> = readers
            .iter()
            .chain(&looks)
            .copied()
            .filter(|number| {
                let function = program.functions.get(*number as usize);
                function.is_some_and(|function| function.end - function.start <= SHORT)
            })
            .collect();
        looks.extend(readers);
        looks.extend(callers(&short));
        let detects = !looks.is_empty() || !program.resolvers.is_empty();
        let mut all: BTreeMap<u32, Before> = BTreeMap::new();
        let mut ending = Vec::new();
        let is_look =
            |at: u32| detecting.contains(&at) || noted.contains(&at) || written.contains(&at);
        for number in &looks {
            let is_look = |instruction: &Instruction| {
                callee(program, instruction).is_some_and(|to| to != *number && looks.contains(&to))
                    || places(program, instruction).any(is_look)
            };
            let before = paths::before(program, *number, graph, &mut window, is_look);
            if first.contains(number) && before.may_end {
                ending.push(*number);
            }
            all.insert(*number, before);
        }
        for resolver in &program.resolvers {
            all.insert(*resolver, Before::default());
        }
        Self {
            all,
            detects,
            ending,
        }
    }
}

/// Places that a function writes soon after it asked the processor.
fn written_after(
    program: &Program<'_>,
    number: u32,
    asks: &BTreeSet<u32>,
    window: &mut Window,
    written: &mut BTreeSet<u32>,
) {
    let table = isa::table();
    let mut since = None;
    let mut count = 0_u64;
    let mut held = Held::default();
    decode(program, number, window, |instruction| {
        count += 1;
        let asks_for_it = callee(program, instruction).is_some_and(|to| asks.contains(&to));
        if asks_for_it {
            // What is handed to a function that asks is where it writes the answer.
            for at in held.arguments(program, count) {
                written.extend((at..at.saturating_add(ANSWER)).step_by(4));
            }
        }
        if asks_for_it || isa::uses(table, instruction.code()).has(Uses::DETECTS) {
            since = Some(count);
        }
        if since.is_some_and(|since| count - since <= NOTED) && writes(instruction) {
            let through = held.through(instruction);
            written.extend(places(program, instruction).next().or(through));
        }
        held.step(program, instruction, count);
        true
    });
}

/// Addresses of data that the 16 general registers hold, and since which instruction.
#[derive(Default)]
struct Held([Option<(u32, u64)>; 16]);

impl Held {
    /// Where it is noted what a register holds; none of registers for vectors and the like.
    fn place(register: Register) -> usize {
        (register as usize).wrapping_sub(Register::RAX as usize)
    }

    fn step(&mut self, program: &Program<'_>, instruction: &Instruction, count: u64) {
        if instruction.flow_control() == FlowControl::Call {
            *self = Self::default();
        }
        if instruction.op_count() == 0 || instruction.op0_kind() != OpKind::Register {
            return;
        }
        let register = instruction.op0_register().full_register();
        let Some(held) = self.0.get_mut(Self::place(register)) else {
            return;
        };
        *held = None;
        let names = match instruction.mnemonic() {
            Mnemonic::Lea => instruction.is_ip_rel_memory_operand(),
            Mnemonic::Mov => instruction.op1_kind() != OpKind::Memory,
            _ => false,
        };
        if names && let Some(at) = places(program, instruction).next() {
            *held = Some((at, count));
        }
    }

    /// The place of data that an instruction names through a register.
    fn through(&self, instruction: &Instruction) -> Option<u32> {
        let base = instruction.memory_base().full_register();
        let (at, _) = (*self.0.get(Self::place(base))?)?;
        let within = u32::try_from(instruction.memory_displacement64()).ok()?;
        let plain = instruction.memory_index() == Register::None && within < ANSWER;
        plain.then(|| at.saturating_add(within))
    }

    /// Places that can be written among the first arguments of a call.
    fn arguments(&self, program: &Program<'_>, count: u64) -> Vec<u32> {
        let registers = [Register::RDI, Register::RSI, Register::RDX, Register::RCX];
        let held = registers.map(|register| self.0.get(Self::place(register)).copied().flatten());
        let held = held.into_iter().flatten();
        let near = held.filter(|(_, when)| count - when <= ARGUMENT);
        let writable = |at: u32| {
            let address = program.base + u64::from(at);
            program.elf.segments.iter().any(|segment| {
                let within = address.checked_sub(segment.address);
                segment.writable() && within.is_some_and(|within| within < segment.memory)
            })
        };
        near.map(|(at, _)| at).filter(|at| writable(*at)).collect()
    }
}
