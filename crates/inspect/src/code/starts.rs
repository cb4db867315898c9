//! Where a program begins, and what every run of it comes to from there.

use iced_x86::{FlowControl, Register};

use crate::answer::{Evidence, Status};
use crate::code::decode::{callee, decode};
use crate::code::functions::{Part, Program};
use crate::code::guards::Guards;
use crate::code::proof::{mnemonic, name};
use crate::code::sweep::{Window, named_addresses};
use crate::elf::{Elf, Kind};
use crate::isa::{self, Uses, level};

/// Instructions that are followed from where a program begins.
const STEPS: u32 = 20_000;
/// Calls that are followed into each other.
const DEPTH: u32 = 12;

/// A file that is started rather than loaded by another.
pub(crate) fn is_program(elf: &Elf<'_>) -> bool {
    let placed_anywhere = elf.header.kind == Kind::Shared;
    let starts = elf.entry != 0 && elf.dynamic.soname.is_none();
    elf.header.kind == Kind::Executable
        || (placed_anywhere
            && starts
            && (elf.interpreter().is_some() || elf.dynamic.needed.is_empty()))
}

/// Functions that run in any case: the entry that the system calls at the start, then `main`.
pub(crate) fn starts(program: &Program<'_>, part: Part) -> Vec<u32> {
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

/// Follows what runs from the beginning of a function up to the first decision: what it comes to
/// that not every processor has.
pub(crate) fn must_run(
    program: &Program<'_>,
    guards: &Guards,
    start: u32,
    window: &mut Window,
) -> Option<Evidence> {
    let mut steps = STEPS;
    let (number, address, instruction, uses) =
        walk(program, guards, start, DEPTH, &mut steps, window)?;
    let why = "every run of it comes there before anything is decided";
    let mut evidence = Evidence::new(Status::Required, Some(level(uses)?), why);
    evidence.address = Some(format!("{address:#x}"));
    evidence.instruction = Some(instruction);
    evidence.function = name(program, number);
    Some(evidence)
}

fn walk(
    program: &Program<'_>,
    guards: &Guards,
    number: u32,
    depth: u32,
    steps: &mut u32,
    window: &mut Window,
) -> Option<(u32, u64, String, Uses)> {
    let table = isa::table();
    let mut best: Option<(u32, u64, String, Uses)> = None;
    let mut calls = Vec::new();
    decode(program, number, window, |instruction| {
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
                calls.extend(callee(program, instruction));
                true
            }
            FlowControl::IndirectCall => true,
            _ => false,
        }
    });
    for to in calls {
        // Its own look may end the program or choose for the rest.
        if depth == 0 || *steps == 0 || guards.all.contains_key(&to) || to == number {
            break;
        }
        let deeper = walk(program, guards, to, depth - 1, steps, window);
        let of = |found: &Option<(u32, u64, String, Uses)>| {
            found.as_ref().and_then(|(.., uses)| level(*uses))
        };
        if of(&deeper) > of(&best) {
            best = deeper;
        }
    }
    best
}
