//! Code that is made when the program runs, which nobody can read before.

use crate::answer::{Evidence, Status};
use crate::code::functions::{Program, Slot};
use crate::code::names;
use crate::code::proof::name;
use crate::code::sweep::{Callee, Swept};
use crate::elf::Symbols;

/// Whether it may make code.
pub(crate) fn generated(program: &Program<'_>, swept: &Swept) -> Option<Evidence> {
    let maps = |callee: &Callee| match callee {
        Callee::Function(number) => {
            program.mapping.contains(number) || swept.mapping.contains(number)
        }
        Callee::Place(place) => {
            let found = program.slots.binary_search_by_key(place, |(at, _)| *at);
            found
                .ok()
                .and_then(|at| program.slots.get(at))
                .map(|(_, slot)| *slot)
                == Some(Slot::Maps)
        }
    };
    let found = swept.mappings.iter().filter(|(_, callee)| maps(callee));
    let found: std::collections::BTreeSet<u32> = found.map(|(number, _)| *number).collect();
    let own = |number: &u32| name(program, *number).is_some_and(|name| names::is_of_glibc(&name));
    let found: Vec<u32> = found.into_iter().filter(|number| !own(number)).collect();
    // Without names, those two of a static glibc are told by their number only.
    let elf = program.elf;
    let fixed = elf.dynamic.needed.is_empty() && !program.resolvers.is_empty();
    let unnamed = fixed && Symbols::full(elf).is_none();
    let number = found.first().filter(|_| !unnamed || found.len() > 2)?;
    let why = "it makes memory executable, so it may make code when it runs";
    let mut evidence = Evidence::new(Status::Unknown, None, why);
    evidence.function = name(program, *number);
    Some(evidence)
}
