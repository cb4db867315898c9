//! The rule by which the use of instructions becomes an answer (`docs/inspect.md` tells it in
//! words, with what it was measured on).

use crate::answer::{Cpu, Evidence, Level, Status};
use crate::code::functions::{Part, Program};
use crate::code::generated::generated;
use crate::code::graph::{Graph, Reached};
use crate::code::guards::Guards;
use crate::code::proof::prove;
use crate::code::starts::{is_program, must_run, starts};
use crate::code::sweep::{Swept, Window, sweep};
use crate::elf::Elf;
use crate::isa::{Uses, level};
use crate::limits::Limits;

/// Examples of one kind in an answer.
const EXAMPLES: usize = 3;
/// Share of functions with vectors that are encoded as AVX where a whole file was built for it.
const PREVALENT: f64 = 0.9;

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
    let used = program.functions.iter().map(|function| function.uses);
    if level(used.fold(Uses::default(), Uses::and)).is_none() {
        // Nothing of it depends on what leads to what.
        let mut cpu = Cpu::default();
        if let Some(evidence) = generated(&program, &swept) {
            cpu.show(evidence);
        }
        return (cpu, swept.instructions);
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

const ABOVE_V2: Uses = Uses::VEX.and(Uses::EVEX).and(Uses::V3).and(Uses::V4);

impl Judge<'_, '_> {
    fn run(&mut self) {
        let mut window = Window::default();
        for start in &self.starts {
            let found = must_run(self.program, self.guards, *start, &mut window);
            if let Some(evidence) = found {
                self.cpu.show(evidence);
            }
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
        self.prevalence(&free, &all, &mut window);
        self.rest(&free, &mut window);
        if let Some(evidence) = generated(self.program, self.swept) {
            self.cpu.show(evidence);
        }
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

    fn prevalence(&mut self, free: &Count, all: &Count, window: &mut Window) {
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
            Some(number) => prove(self.program, number, wanted, evidence, window),
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
        let evidence = prove(self.program, number, wanted, evidence, window);
        self.cpu.show(evidence);
    }

    fn first(&self, wanted: Uses, of: impl Fn(&Self, u32) -> bool) -> Option<u32> {
        let functions = (0..).zip(&self.program.functions);
        let mut matching = functions.filter(|(_, f)| f.uses.has(wanted) && !f.uses.has(Uses::GAP));
        matching
            .find(|(number, _)| of(self, *number))
            .map(|(number, _)| number)
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
