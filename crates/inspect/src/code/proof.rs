//! Evidence for what was found: the function and the first instruction of the kind.

use iced_x86::Instruction;

use crate::answer::Evidence;
use crate::code::decode::decode;
use crate::code::functions::Program;
use crate::code::sweep::Window;
use crate::elf::Symbols;
use crate::isa::{self, Uses};

/// Adds the function and the first instruction of the kind to the evidence.
pub(crate) fn prove(
    program: &Program<'_>,
    number: u32,
    wanted: Uses,
    mut evidence: Evidence,
    window: &mut Window,
) -> Evidence {
    let table = isa::table();
    decode(program, number, window, |instruction| {
        let found = isa::uses(table, instruction.code()).has(wanted);
        if found {
            evidence.address = Some(format!("{:#x}", instruction.ip()));
            evidence.instruction = Some(mnemonic(instruction));
        }
        !found
    });
    evidence.function = name(program, number);
    evidence
}

/// What a function is called.
pub(crate) fn name(program: &Program<'_>, number: u32) -> Option<String> {
    let function = program.functions.get(number as usize)?;
    let address = program.base + u64::from(function.start);
    let elf = program.elf;
    let full = Symbols::full(elf).and_then(|symbols| symbols.name_of(address));
    full.or_else(|| Symbols::dynamic(elf)?.name_of(address))
}

/// What an instruction is called.
pub(crate) fn mnemonic(instruction: &Instruction) -> String {
    format!("{:?}", instruction.mnemonic()).to_ascii_lowercase()
}
