//! One pass of the decoder over the code of a program: what each function uses, calls, reads and
//! writes. Nothing is judged here.

use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, OpKind, Register};

use crate::code::divide::Function;
use crate::code::functions::Program;
use crate::elf::{Kind, Range};
use crate::isa::{self, Uses};
use crate::limits::Limits;

/// Bytes of code that are read at once.
const WINDOW: u64 = 1 << 20;
/// Longest instruction, in bytes.
const INSTRUCTION: u64 = 15;
/// Instructions between an argument and the call that takes it.
const NEAR: u32 = 16;
/// Calls with executable memory among their arguments.
const MAPPINGS: usize = 10_000;
/// Numbers of the system calls `mmap`, `mprotect` and `pkey_mprotect`.
const MAPS: [u64; 3] = [9, 10, 329];
/// Functions that do no more than call the system are not longer, in bytes.
const WRAPPER: u32 = 256;
/// `PROT_EXEC`.
const EXECUTABLE: u64 = 4;
/// Marks a reference that writes.
pub(crate) const WRITES: u32 = 1 << 31;

/// What the pass found.
#[derive(Default)]
pub(crate) struct Swept {
    /// From which function to which.
    pub(crate) calls: Vec<(u32, u32)>,
    /// From which function, with [`WRITES`], to which address of data.
    pub(crate) data: Vec<(u32, u32)>,
    /// Calls that may make memory executable: from which function, to which function or place.
    pub(crate) mappings: Vec<(u32, Callee)>,
    /// Functions that ask the system to map memory.
    pub(crate) mapping: Vec<u32>,
    /// Instructions that were decoded.
    pub(crate) instructions: u64,
    /// Why it is not whole.
    pub(crate) incomplete: Option<String>,
}

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Callee {
    Function(u32),
    Place(u32),
}

/// Decodes the code of `program` once.
pub(crate) fn sweep(program: &mut Program<'_>, limits: &Limits, budget: u64) -> Swept {
    let functions = std::mem::take(&mut program.functions);
    // Found by their addresses while the pass fills their uses in.
    program.functions.clone_from(&functions);
    let mut pass = Pass {
        table: isa::table(),
        stubs: stubs(program),
        loaded: loaded(program),
        fixed: program.elf.header.kind == Kind::Executable,
        program,
        limits,
        found: Swept::default(),
        number: 0,
        third: None,
        call: None,
    };
    let mut done = functions;
    let mut window = Window::default();
    for (number, function) in done.iter_mut().enumerate() {
        if pass.found.instructions > budget {
            pass.found.incomplete = Some("there is more code than is decoded".to_owned());
            break;
        }
        pass.number = number as u32;
        pass.function(function, &mut window);
    }
    let found = pass.found;
    program.functions = done;
    found
}

struct Pass<'p, 'e> {
    program: &'p Program<'e>,
    table: &'static [Uses],
    /// Addresses of stubs, and the places through which they jump.
    stubs: Vec<(u32, u32)>,
    /// Where data lies that matters.
    loaded: Vec<(u32, u32)>,
    fixed: bool,
    limits: &'p Limits,
    found: Swept,
    number: u32,
    /// The last number that was put into the third argument, and at which instruction.
    third: Option<(u64, u64)>,
    /// The same of the number of a system call.
    call: Option<(u64, u64)>,
}

impl Pass<'_, '_> {
    fn function(&mut self, function: &mut Function, window: &mut Window) {
        let base = self.program.base;
        let mut at = base + u64::from(function.start);
        let end = base + u64::from(function.end);
        let mut uses = function.uses;
        let mut instruction = Instruction::default();
        let mut flow = FlowControl::Next;
        self.third = None;
        self.call = None;
        while at < end {
            let bytes = window.read(self.program, at, end);
            if bytes.is_empty() {
                break;
            }
            // The last instruction of a window may be cut off: it is decoded in the next.
            let whole = at + bytes.len() as u64 >= end;
            let stop = bytes.len() as u64
                - if whole {
                    0
                } else {
                    INSTRUCTION.min(bytes.len() as u64 - 1)
                };
            let mut decoder = Decoder::with_ip(64, bytes, at, DecoderOptions::NONE);
            while (decoder.position() as u64) < stop {
                decoder.decode_out(&mut instruction);
                self.found.instructions += 1;
                let code = instruction.code();
                let used = isa::uses(self.table, code);
                uses = uses.and(used);
                if used.has(Uses::INVALID) {
                    // Resynchronise one byte later.
                    let next = (instruction.ip() - at) as usize + 1;
                    if decoder.set_position(next).is_err() {
                        break;
                    }
                    decoder.set_ip(instruction.ip() + 1);
                    continue;
                }
                flow = code.flow_control();
                self.look(&instruction, flow, function);
            }
            at += (decoder.position() as u64).max(1);
        }
        if matches!(flow, FlowControl::Next | FlowControl::ConditionalBranch)
            && let Some(next) = self.program.functions.get(self.number as usize + 1)
            && next.start == function.end
        {
            self.call(self.number + 1);
        }
        function.uses = uses;
    }

    fn look(&mut self, instruction: &Instruction, flow: FlowControl, function: &Function) {
        match flow {
            FlowControl::Next => {}
            FlowControl::UnconditionalBranch
            | FlowControl::ConditionalBranch
            | FlowControl::Call => {
                if let Some(target) = branch(instruction).and_then(|to| self.program.at(to))
                    && (target < function.start
                        || target >= function.end
                        || flow == FlowControl::Call)
                {
                    self.branch(target);
                }
            }
            FlowControl::Interrupt | FlowControl::Return | FlowControl::Exception => return,
            _ => {}
        }
        if flow == FlowControl::Call || flow == FlowControl::IndirectCall {
            self.third = None;
        }
        let code = instruction.code();
        match code {
            Code::Mov_r32_imm32 => {
                let number = u64::from(instruction.immediate32());
                let now = Some((number, self.found.instructions));
                match instruction.op0_register() {
                    Register::EDX => self.third = now,
                    Register::EAX => self.call = now,
                    _ => {}
                }
            }
            Code::Syscall => {
                if let Some((number, when)) = self.call
                    && function.end - function.start <= WRAPPER
                    && MAPS.contains(&number)
                    && self.found.instructions - when <= u64::from(NEAR)
                {
                    self.found.mapping.push(self.number);
                }
            }
            _ if matches!(instruction.op0_register(), Register::EDX | Register::RDX)
                && writes_first(instruction) =>
            {
                self.third = None;
            }
            _ => {}
        }
        let [memory, number] = named_addresses(instruction, self.fixed);
        if let Some(address) = memory {
            self.address(address, writes(instruction));
        }
        if let Some(address) = number {
            self.address(address, false);
        }
    }

    fn branch(&mut self, target: u32) {
        if let Some(number) = self.program.function(target) {
            self.maps(Callee::Function(number));
            self.call(number);
            return;
        }
        let at = self.stubs.partition_point(|(stub, _)| *stub < target);
        // The jump stands in the first bytes of its stub.
        if let Some((stub, place)) = self.stubs.get(at).copied()
            && stub - target < 8
        {
            self.maps(Callee::Place(place));
            self.refer(place, false);
        }
    }

    fn maps(&mut self, callee: Callee) {
        if let Some((number, when)) = self.third
            && number & EXECUTABLE != 0
            && number < 8
            && self.found.instructions - when <= u64::from(NEAR)
            && self.found.mappings.len() < MAPPINGS
        {
            self.found.mappings.push((self.number, callee));
        }
    }

    fn call(&mut self, to: u32) {
        let edge = (self.number, to);
        if self.found.calls.last() == Some(&edge) || self.number == to {
            return;
        }
        if self.found.calls.len() >= self.limits.references {
            self.full();
            return;
        }
        self.found.calls.push(edge);
    }

    fn full(&mut self) {
        let most = self.limits.references;
        self.found.incomplete = Some(format!("it has more than {most} references"));
    }

    /// An address that an instruction names: of code, which is then reachable, or of data.
    fn address(&mut self, address: u64, writes: bool) {
        let Some(at) = self.program.at(address) else {
            return;
        };
        let after = self.loaded.partition_point(|(start, _)| *start <= at);
        let range = after
            .checked_sub(1)
            .and_then(|number| self.loaded.get(number));
        if range.is_some_and(|(_, end)| at < *end) {
            self.maps(Callee::Place(at));
            self.refer(at, writes);
        } else if let Some(number) = self.program.function(at) {
            self.call(number);
        }
    }

    fn refer(&mut self, at: u32, writes: bool) {
        let from = if writes {
            self.number | WRITES
        } else {
            self.number
        };
        if self.found.data.last() == Some(&(from, at)) {
            return;
        }
        if self.found.data.len() >= self.limits.references {
            self.full();
            return;
        }
        self.found.data.push((from, at));
    }
}

/// Addresses that an instruction names beside where it branches: in memory, and in a program at a
/// fixed address in a number.
pub(crate) fn named_addresses(instruction: &Instruction, fixed: bool) -> [Option<u64>; 2] {
    if instruction.is_ip_rel_memory_operand() {
        return [Some(instruction.ip_rel_memory_address()), None];
    }
    if !fixed {
        return [None, None];
    }
    let last = instruction.op_count().wrapping_sub(1);
    let number = match (last < 5).then(|| instruction.op_kind(last)) {
        Some(OpKind::Immediate32) => Some(u64::from(instruction.immediate32())),
        Some(OpKind::Immediate32to64) => Some(instruction.immediate32to64() as u64),
        Some(OpKind::Immediate64) => Some(instruction.immediate64()),
        _ => None,
    };
    let absolute =
        instruction.memory_displ_size() >= 4 && instruction.memory_base() == Register::None;
    [
        absolute.then(|| instruction.memory_displacement64()),
        number,
    ]
}

/// Where a direct branch leads.
pub(crate) fn branch(instruction: &Instruction) -> Option<u64> {
    let near = matches!(
        instruction.op0_kind(),
        OpKind::NearBranch64 | OpKind::NearBranch32
    );
    near.then(|| instruction.near_branch_target())
}

/// Whether memory is what the instruction writes; those that compare or test only read it.
pub(crate) fn writes(instruction: &Instruction) -> bool {
    if instruction.op0_kind() != OpKind::Memory {
        return false;
    }
    use iced_x86::Mnemonic as M;
    !matches!(
        instruction.mnemonic(),
        M::Cmp | M::Test | M::Bt | M::Call | M::Jmp | M::Push | M::Ucomisd | M::Ucomiss
    )
}

/// Whether the first register is one that the instruction sets.
fn writes_first(instruction: &Instruction) -> bool {
    use iced_x86::Mnemonic as M;
    !matches!(
        instruction.mnemonic(),
        M::Cmp | M::Test | M::Push | M::Bt | M::Call | M::Jmp
    )
}

/// Where the stubs of imported functions jump through.
fn stubs(program: &Program<'_>) -> Vec<(u32, u32)> {
    let mut stubs = Vec::new();
    for range in &program.stubs {
        let length = range.size.min(8 << 20) as usize;
        let bytes = program.elf.content.up_to(range.offset, length);
        let mut decoder = Decoder::with_ip(64, &bytes, range.address, DecoderOptions::NONE);
        for instruction in &mut decoder {
            if instruction.code() == Code::Jmp_rm64 && instruction.is_ip_rel_memory_operand() {
                let stub = program.at(instruction.ip());
                let place = program.at(instruction.ip_rel_memory_address());
                stubs.extend(stub.zip(place));
            }
        }
    }
    stubs
}

/// Ranges of data whose use is of interest: what may hold addresses or be written.
fn loaded(program: &Program<'_>) -> Vec<(u32, u32)> {
    let fixed = program.elf.header.kind == Kind::Executable;
    let segments = program.elf.segments.iter().filter(|segment| {
        segment.kind == 1 && !segment.executable() && (fixed || segment.writable())
    });
    let mut ranges: Vec<(u32, u32)> = segments
        .filter_map(|segment| {
            let end = segment.address.checked_add(segment.memory)?;
            Some((program.at(segment.address)?, program.at(end)?))
        })
        .collect();
    ranges.sort_unstable();
    ranges
}

/// A part of the code in memory.
#[derive(Default)]
pub(crate) struct Window {
    bytes: Vec<u8>,
    start: u64,
}

impl Window {
    /// The bytes from `at` on, at most up to `end`.
    pub(crate) fn read(&mut self, program: &Program<'_>, at: u64, end: u64) -> &[u8] {
        let held = self.start + self.bytes.len() as u64;
        let enough = at >= self.start && (end <= held || at + WINDOW / 2 < held);
        if !enough {
            let range = program.code.iter().find(|range: &&Range| {
                at.checked_sub(range.address)
                    .is_some_and(|within| within < range.size)
            });
            let Some(range) = range else { return &[] };
            let within = at - range.address;
            let length = (range.size - within).min(WINDOW) as usize;
            let bytes = program.elf.content.up_to(range.offset + within, length);
            self.bytes.clear();
            self.bytes.extend_from_slice(&bytes);
            self.start = at;
        }
        let from = (at - self.start) as usize;
        let to = ((end - self.start) as usize).min(self.bytes.len());
        self.bytes.get(from..to).unwrap_or_default()
    }
}
