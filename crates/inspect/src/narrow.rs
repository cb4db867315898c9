//! Programs of 32-bit x86, and those for x86-64 with 32-bit addresses. Their code is read without
//! following it: where none of it is beyond what every x86-64 processor has, nothing is needed;
//! all else is unknown.

use iced_x86::{Code, Decoder, DecoderOptions, Instruction};

use crate::answer::Cpu;
use crate::bytes::{u16_at, u32_at};
use crate::content::Content;
use crate::elf::Header;
use crate::isa::{self, Uses};
use crate::limits::Limits;

const I386: u16 = 3;
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
/// Most program headers.
const SEGMENTS: usize = 512;
/// Bytes of one program header.
const SEGMENT: usize = 32;
/// Bytes that are read at once.
const WINDOW: usize = 1 << 20;
/// Longest instruction, in bytes.
const INSTRUCTION: usize = 15;
/// Longest program of this kind that is read, in bytes.
const LONGEST: u64 = 64 << 20;
/// What programs call to make memory executable, or to ask the system for it by number.
const MAPPING: &[&[u8]] = &[
    b"\0mmap\0",
    b"\0mmap64\0",
    b"\0mprotect\0",
    b"\0pkey_mprotect\0",
    b"\0syscall\0",
];
/// Longest of them.
const NAME: usize = 16;

/// What a program with 32-bit addresses asks of the processor, and how many instructions were
/// decoded.
pub(crate) fn judge(content: &Content, header: Header, limits: &Limits, budget: u64) -> (Cpu, u64) {
    let bits = match header.machine {
        I386 => 32,
        Header::AMD64 => 64,
        _ => 0,
    };
    if bits == 0 || header.wide || !header.little_endian {
        return (Cpu::unknown("code of this architecture is not read"), 0);
    }
    let mut instructions = 0;
    let cpu = match plain(content, bits, limits, budget, &mut instructions) {
        Ok(()) => Cpu::default(),
        Err(why) => Cpu::unknown(format!("it is a program with 32-bit addresses, and {why}")),
    };
    (cpu, instructions)
}

/// Whether all code runs on every x86-64 processor; else why that is not known.
fn plain(
    content: &Content,
    bits: u32,
    limits: &Limits,
    budget: u64,
    instructions: &mut u64,
) -> Result<(), &'static str> {
    let head = content.up_to(0, 52);
    let (start, count) = (u32_at(&head, 28), u16_at(&head, 44));
    let (Some(start), Some(count)) = (start, count) else {
        return Err("it is damaged");
    };
    if u16_at(&head, 42).map(usize::from) != Some(SEGMENT) {
        return Err("it is damaged");
    }
    let table = content.up_to(u64::from(start), usize::from(count).min(SEGMENTS) * SEGMENT);
    let (mut dynamic, mut code) = (false, Vec::new());
    for entry in table.chunks_exact(SEGMENT) {
        let word = |at| u32_at(entry, at).unwrap_or_default();
        let (kind, offset, size, flags) = (word(0), word(4), word(16), word(24));
        dynamic |= kind == PT_DYNAMIC;
        if kind != PT_LOAD || flags & 1 == 0 {
            continue;
        }
        if flags & 2 != 0 {
            return Err("its code can be written to");
        }
        code.push((u64::from(offset), u64::from(size)));
    }
    let bytes = code.iter().map(|(_, size)| *size).sum::<u64>();
    if code.is_empty() || usize::from(count) > SEGMENTS || bytes > limits.code_bytes {
        return Err("its code could not be found");
    }
    if !dynamic {
        return Err("it asks the system by itself");
    }
    if content.size() > LONGEST {
        return Err("it is longer than 64 MiB");
    }
    if names_mapping(content) {
        return Err("it may make code when it runs");
    }
    for (offset, size) in code {
        read(content, bits, offset, size, budget, instructions)?;
    }
    Ok(())
}

fn read(
    content: &Content,
    bits: u32,
    offset: u64,
    size: u64,
    budget: u64,
    instructions: &mut u64,
) -> Result<(), &'static str> {
    let table = isa::table();
    let above = Uses::VEX
        .and(Uses::EVEX)
        .and(Uses::V2)
        .and(Uses::V3)
        .and(Uses::V4);
    let mut instruction = Instruction::default();
    let mut at = 0;
    while at < size {
        let length = (size - at).min(WINDOW as u64) as usize;
        let bytes = content.up_to(offset + at, length);
        if bytes.is_empty() {
            return Err("it is damaged");
        }
        let last = at + bytes.len() as u64 >= size;
        let stop = bytes.len()
            - if last {
                0
            } else {
                INSTRUCTION.min(bytes.len() - 1)
            };
        let mut decoder = Decoder::with_ip(bits, &bytes, 0, DecoderOptions::NONE);
        while decoder.position() < stop {
            let from = decoder.position();
            decoder.decode_out(&mut instruction);
            *instructions += 1;
            let code = instruction.code();
            if code == Code::INVALID && decoder.set_position(from + 1).is_err() {
                break;
            }
            if isa::uses(table, code).has(above) {
                return Err("some of its code is for newer processors");
            }
            if bits == 32 && (code == Code::Sysenter || code == Code::Int_imm8) {
                return Err("it asks the system by itself");
            }
        }
        if *instructions > budget {
            return Err("there is more code than is decoded");
        }
        at += decoder.position().max(1) as u64;
    }
    Ok(())
}

/// Whether one of the names stands anywhere in the file.
fn names_mapping(content: &Content) -> bool {
    let mut at = 0;
    loop {
        let bytes = content.up_to(at, WINDOW);
        let found = MAPPING
            .iter()
            .any(|name| bytes.windows(name.len()).any(|window| window == *name));
        if found || bytes.len() < WINDOW {
            return found;
        }
        at += (WINDOW - NAME) as u64;
    }
}
