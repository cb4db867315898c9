//! Dispatchers: functions that look at what the processor has before they go on, and what they do
//! before they look.

use std::collections::{BTreeMap, BTreeSet};

use iced_x86::Instruction;

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
/// The dispatchers of a program.
pub(crate) struct Guards {
    pub(crate) all: BTreeMap<u32, Before>,
    /// Whether the program looks at the processor at all.
    pub(crate) detects: bool,
}

impl Guards {
    pub(crate) fn find(program: &Program<'_>, swept: &Swept, graph: &Graph) -> Self {
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
        let is_look =
            |at: u32| detecting.contains(&at) || noted.contains(&at) || written.contains(&at);
        for number in &looks {
            let is_look = |instruction: &Instruction| {
                callee(program, instruction).is_some_and(|to| to != *number && looks.contains(&to))
                    || places(program, instruction).any(is_look)
            };
            let before = paths::before(program, *number, graph, &mut window, is_look);
            all.insert(*number, before);
        }
        for resolver in &program.resolvers {
            all.insert(*resolver, Before::default());
        }
        Self { all, detects }
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
    decode(program, number, window, |instruction| {
        count += 1;
        let asked = isa::uses(table, instruction.code()).has(Uses::DETECTS)
            || callee(program, instruction).is_some_and(|to| asks.contains(&to));
        if asked {
            since = Some(count);
        }
        if since.is_some_and(|since| count - since <= NOTED)
            && writes(instruction)
            && let Some(at) = places(program, instruction).next()
        {
            written.insert(at);
        }
        true
    });
}
