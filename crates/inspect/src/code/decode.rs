//! Decoding single functions once more, where the one pass over all of them left questions.

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction};

use crate::code::functions::Program;
use crate::code::sweep::{Window, branch, named_addresses};
use crate::elf::Kind;

/// Longest function that is decoded once more, in bytes.
const LONGEST: u32 = 4 << 20;

/// Decodes a function once more, until `each` answers false.
pub(crate) fn decode(
    program: &Program<'_>,
    number: u32,
    window: &mut Window,
    mut each: impl FnMut(&Instruction) -> bool,
) {
    let Some(function) = program.functions.get(number as usize) else {
        return;
    };
    let start = program.base + u64::from(function.start);
    let length = (function.end - function.start).min(LONGEST);
    let (mut at, end) = (start, start + u64::from(length));
    while at < end {
        let bytes = window.read(program, at, end);
        if bytes.is_empty() {
            return;
        }
        let mut decoder = Decoder::with_ip(64, bytes, at, DecoderOptions::NONE);
        let mut moved = 0;
        while decoder.can_decode() {
            let instruction = decoder.decode();
            if instruction.is_invalid() {
                let next = (instruction.ip() - at) as usize + 1;
                if bytes.len() - decoder.position() < 15 && at + (bytes.len() as u64) < end {
                    break;
                }
                if decoder.set_position(next).is_err() {
                    return;
                }
                decoder.set_ip(instruction.ip() + 1);
                moved = next as u64;
                continue;
            }
            moved = decoder.position() as u64;
            if !each(&instruction) {
                return;
            }
        }
        at += moved.max(1);
    }
}

/// The function that a direct branch leads to.
pub(crate) fn callee(program: &Program<'_>, instruction: &Instruction) -> Option<u32> {
    let flow = instruction.code().flow_control();
    let branches = matches!(
        flow,
        FlowControl::Call | FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch
    );
    let target = branches.then(|| branch(instruction)).flatten()?;
    program.function(program.at(target)?)
}

/// The addresses of the program that an instruction names beside where it branches.
pub(crate) fn places(
    program: &Program<'_>,
    instruction: &Instruction,
) -> impl Iterator<Item = u32> {
    let fixed = program.elf.header.kind == Kind::Executable;
    let named = named_addresses(instruction, fixed).into_iter().flatten();
    let base = program.base;
    named.filter_map(move |address| u32::try_from(address.checked_sub(base)?).ok())
}
