//! The inside of a dispatcher: what it does whatever the processor has, and what only where a look
//! at the processor said so. An instruction is guarded if one way of a decision on what was seen
//! never comes to it.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use iced_x86::{FlowControl, Instruction, Mnemonic, OpKind, Register};

use crate::code::decode::{callee, decode};
use crate::code::functions::Program;
use crate::code::graph::Graph;
use crate::code::sweep::{Window, branch, named_addresses};
use crate::elf::Kind;
use crate::isa::{self, Uses};

/// Instructions of one function that are looked at.
const LONGEST: usize = 50_000;
/// Decisions of one function that are followed.
const DECISIONS: usize = 64;
/// Instructions that do no more than end a function, with a word on why.
const ENDING: usize = 24;
/// Instructions after a look within which a decision is about what was seen.
const NEAR: usize = 12;

/// What a dispatcher does without having looked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Before {
    /// Functions that it calls.
    pub(crate) calls: Vec<u32>,
    /// What its instructions use.
    pub(crate) uses: Uses,
    /// Whether one way of a decision on what was seen does no more than end the function.
    pub(crate) may_end: bool,
}

/// One instruction, as far as it matters here.
struct Step {
    ip: u64,
    flow: FlowControl,
    target: Option<u64>,
    /// Whether it decides by what was seen of the processor.
    decides: bool,
    looks: bool,
    /// Functions that it calls, then what it names otherwise.
    calls: Option<u32>,
    names: Vec<u32>,
    uses: Uses,
}

/// What `number` does without a look, where `is_look` tells looks.
pub(crate) fn before(
    program: &Program<'_>,
    number: u32,
    graph: &Graph,
    window: &mut Window,
    is_look: impl Fn(&Instruction) -> bool,
) -> Before {
    let steps = steps(program, number, graph, window, is_look);
    let first_look = steps
        .iter()
        .position(|step| step.looks)
        .unwrap_or(steps.len());
    let free = free(&steps, first_look);
    let mut before = Before {
        may_end: may_end(&steps, number),
        ..Before::default()
    };
    for (at, step) in steps.iter().enumerate() {
        if free.get(at) == Some(&true) {
            before.uses = before.uses.and(step.uses);
            // A branch out of the function that what was seen decides is one that is chosen.
            before.calls.extend(step.calls.filter(|_| !step.decides));
        }
        // An address that is taken after a look is one that is chosen.
        if at < first_look {
            before.calls.extend(&step.names);
        }
    }
    before.calls.retain(|to| *to != number);
    before
}

fn steps(
    program: &Program<'_>,
    number: u32,
    graph: &Graph,
    window: &mut Window,
    is_look: impl Fn(&Instruction) -> bool,
) -> Vec<Step> {
    let table = isa::table();
    let fixed = program.elf.header.kind == Kind::Executable;
    let mut steps: Vec<Step> = Vec::new();
    let mut taint = Taint::default();
    decode(program, number, window, |instruction| {
        let uses = isa::uses(table, instruction.code());
        let looks = uses.has(Uses::DETECTS) || is_look(instruction);
        let decides = taint.step(instruction, looks);
        let names = named_addresses(instruction, fixed).into_iter().flatten();
        let names = names.filter_map(|address| {
            let at = program.at(address)?;
            program.function(at).or_else(|| graph.piece_at(at))
        });
        steps.push(Step {
            ip: instruction.ip(),
            flow: instruction.flow_control(),
            target: branch(instruction),
            decides,
            looks,
            calls: callee(program, instruction),
            names: names.collect(),
            uses,
        });
        steps.len() < LONGEST
    });
    steps
}

/// Which steps are not guarded.
fn free(steps: &[Step], first_look: usize) -> Vec<bool> {
    let decisions = steps.iter().enumerate().filter(|(_, step)| step.decides);
    let decisions: Vec<usize> = decisions.map(|(at, _)| at).collect();
    if steps.len() >= LONGEST || decisions.len() > DECISIONS {
        return (0..steps.len()).map(|at| at < first_look).collect();
    }
    let mut free = reach(steps, None);
    for decision in decisions {
        for taken in [false, true] {
            let one_way = reach(steps, Some((decision, taken)));
            for (held, reached) in free.iter_mut().zip(one_way) {
                *held &= reached;
            }
        }
    }
    free
}

/// Whether a decision on what was seen has one way that only ends the function: it is short, calls
/// no function of the program, and nothing is called where both ways come together again.
fn may_end(steps: &[Step], number: u32) -> bool {
    if steps.len() >= LONGEST {
        return false;
    }
    let calls = |step: &&Step| matches!(step.flow, FlowControl::Call | FlowControl::IndirectCall);
    let own = |step: &&Step| step.calls.is_some_and(|to| to != number);
    let decisions = steps.iter().enumerate().filter(|(_, step)| step.decides);
    decisions.take(DECISIONS).any(|(at, _)| {
        let [no, yes] = [false, true].map(|taken| after(steps, at, taken));
        // The steps of one way that the other comes to, or not.
        let part = |one: &[bool], other: &[bool], both: bool| -> Vec<&Step> {
            let ways = one.iter().zip(other).zip(steps);
            let held = ways.filter(|((one, other), _)| **one && **other == both);
            held.map(|(_, step)| step).collect()
        };
        let ends = |one: &[bool], other: &[bool]| {
            let (one, other) = (part(one, other, false), part(other, one, false));
            one.len() <= ENDING && !one.iter().any(own) && other.iter().any(calls)
        };
        !part(&no, &yes, true).iter().any(calls) && (ends(&no, &yes) || ends(&yes, &no))
    })
}

/// Which steps are reached after a decision that goes one way.
fn after(steps: &[Step], decision: usize, taken: bool) -> Vec<bool> {
    let target = steps.get(decision).and_then(|step| step.target);
    let target = target.and_then(|ip| steps.binary_search_by_key(&ip, |step| step.ip).ok());
    let next = if taken { target } else { Some(decision + 1) };
    reach_from(steps, next.into_iter().collect(), None)
}

/// Which steps are reached from the beginning, where one decision may go one way only.
fn reach(steps: &[Step], forced: Option<(usize, bool)>) -> Vec<bool> {
    reach_from(steps, vec![0], forced)
}

fn reach_from(steps: &[Step], mut next: Vec<usize>, forced: Option<(usize, bool)>) -> Vec<bool> {
    let number = |ip: u64| steps.binary_search_by_key(&ip, |step| step.ip).ok();
    let mut reached = vec![false; steps.len()];
    let mut spread = false;
    while let Some(at) = next.pop() {
        let Some(step) = steps.get(at) else { continue };
        match reached.get_mut(at) {
            Some(held) if !*held => *held = true,
            _ => continue,
        }
        let target = step.target.and_then(number);
        let way = forced
            .filter(|(decision, _)| *decision == at)
            .map(|(_, taken)| taken);
        match step.flow {
            FlowControl::Return | FlowControl::Exception => {}
            FlowControl::UnconditionalBranch => next.extend(target),
            FlowControl::ConditionalBranch => {
                if way != Some(false) {
                    next.extend(target);
                }
                if way != Some(true) {
                    next.push(at + 1);
                }
            }
            FlowControl::IndirectBranch => {
                // It may lead to whatever nothing else leads to.
                if !spread {
                    spread = true;
                    next.extend(orphans(steps));
                }
            }
            _ => next.push(at + 1),
        }
    }
    reached
}

/// Steps behind the end of a run that no branch names.
fn orphans(steps: &[Step]) -> Vec<usize> {
    let targets: BTreeSet<u64> = steps.iter().filter_map(|step| step.target).collect();
    let ends = |step: &Step| {
        matches!(
            step.flow,
            FlowControl::Return | FlowControl::UnconditionalBranch | FlowControl::IndirectBranch
        )
    };
    let pairs = steps.iter().zip(steps.iter().enumerate().skip(1));
    pairs
        .filter(|(before, (_, step))| ends(before) && !targets.contains(&step.ip))
        .map(|(_, (at, _))| at)
        .collect()
}

/// What an instruction does with values.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kinds {
    /// `MOV`, `LEA` and the like.
    Moves,
    /// `CMOVcc`.
    Chooses,
    /// `SETcc`.
    Sets,
    Other,
}

fn kind(mnemonic: Mnemonic) -> Kinds {
    static KINDS: OnceLock<Vec<Kinds>> = OnceLock::new();
    let of = |mnemonic: Mnemonic| {
        let name = format!("{mnemonic:?}");
        match () {
            () if name.starts_with("Cmov") => Kinds::Chooses,
            () if name.starts_with("Set") => Kinds::Sets,
            () if name.starts_with("Mov") || mnemonic == Mnemonic::Lea => Kinds::Moves,
            () => Kinds::Other,
        }
    };
    let kinds = KINDS.get_or_init(|| Mnemonic::values().map(of).collect());
    kinds
        .get(mnemonic as usize)
        .copied()
        .unwrap_or(Kinds::Other)
}

/// A set of registers.
#[derive(Default)]
struct Registers([u64; 4]);

impl Registers {
    fn place(register: Register) -> (usize, u64) {
        let number = register as usize;
        (number / 64, 1 << (number % 64))
    }

    fn contains(&self, register: &Register) -> bool {
        let (at, bit) = Self::place(*register);
        self.0.get(at).is_some_and(|bits| bits & bit != 0)
    }

    fn insert(&mut self, register: Register) {
        let (at, bit) = Self::place(register);
        if let Some(bits) = self.0.get_mut(at) {
            *bits |= bit;
        }
    }

    fn remove(&mut self, register: &Register) {
        let (at, bit) = Self::place(*register);
        if let Some(bits) = self.0.get_mut(at) {
            *bits &= !bit;
        }
    }
}

/// Which registers, and whether the flags, hold what was seen of the processor.
#[derive(Default)]
struct Taint {
    registers: Registers,
    flags: bool,
    since: Option<usize>,
}

impl Taint {
    /// Whether the instruction reads memory through a register that holds it.
    fn through(&self, instruction: &Instruction) -> bool {
        let base = instruction.memory_base().full_register();
        let memory = (0..instruction.op_count())
            .any(|operand| instruction.op_kind(operand) == OpKind::Memory);
        memory && base != Register::RIP && self.registers.contains(&base)
    }

    /// Takes one instruction into account; whether it decides by what was seen.
    fn step(&mut self, instruction: &Instruction, looks: bool) -> bool {
        self.since = self.since.map(|since| since + 1);
        let flow = instruction.flow_control();
        if flow == FlowControl::ConditionalBranch {
            let near = self.since.is_some_and(|since| since <= NEAR);
            return self.flags || near;
        }
        let mut sources = (0..instruction.op_count())
            .filter(|operand| instruction.op_kind(*operand) == OpKind::Register)
            .map(|operand| instruction.op_register(operand).full_register());
        let held = looks
            || sources.any(|register| self.registers.contains(&register))
            || self.through(instruction);
        if looks {
            self.since = Some(0);
        }
        let mnemonic = instruction.mnemonic();
        if mnemonic == Mnemonic::Cpuid || mnemonic == Mnemonic::Xgetbv {
            for register in [Register::RAX, Register::RBX, Register::RCX, Register::RDX] {
                self.registers.insert(register);
            }
            return false;
        }
        if flow == FlowControl::Call || flow == FlowControl::IndirectCall {
            for register in [
                Register::RCX,
                Register::RDX,
                Register::RSI,
                Register::RDI,
                Register::R8,
                Register::R9,
                Register::R10,
                Register::R11,
                Register::RAX,
            ] {
                self.registers.remove(&register);
            }
            if looks {
                self.registers.insert(Register::RAX);
            }
            return false;
        }
        let kind = kind(mnemonic);
        let chosen = self.flags && matches!(kind, Kinds::Chooses | Kinds::Sets);
        let moves = matches!(kind, Kinds::Chooses | Kinds::Moves);
        if !moves && kind != Kinds::Sets {
            self.flags = held;
        }
        let compares = matches!(mnemonic, Mnemonic::Cmp | Mnemonic::Test | Mnemonic::Bt);
        if instruction.op_count() > 0 && instruction.op0_kind() == OpKind::Register && !compares {
            let register = instruction.op0_register().full_register();
            // What a move puts in counts, not what was there.
            let own = moves && instruction.op_count() == 2 && {
                let source = instruction.op_kind(1) == OpKind::Register
                    && self
                        .registers
                        .contains(&instruction.op1_register().full_register());
                looks || source || self.through(instruction)
            };
            if own || chosen || (!moves && held) {
                self.registers.insert(register);
            } else {
                self.registers.remove(&register);
            }
        }
        false
    }
}
