//! Dividing code into functions: by frames, where there are none by symbols, and what is left.

use crate::elf::{Elf, Range, frames};
use crate::isa::Uses;

/// Gaps between functions that are shorter are padding, in bytes.
const PADDING: u32 = 16;

/// A run of instructions: what a frame or a symbol describes, or what lies between.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Function {
    /// Both from the program's lowest address on.
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) uses: Uses,
}

/// Where the code is.
pub(crate) struct Space<'s, 'e> {
    pub(crate) elf: &'s Elf<'e>,
    /// The lowest address.
    pub(crate) base: u64,
    pub(crate) code: &'s [Range],
}

impl Space<'_, '_> {
    fn at(&self, address: u64) -> Option<u32> {
        u32::try_from(address.checked_sub(self.base)?).ok()
    }
}

/// The functions of a program.
pub(crate) struct Divided {
    /// In order of their addresses.
    pub(crate) functions: Vec<Function>,
    /// Bytes of code that frames or symbols describe.
    pub(crate) described: u64,
    /// Whether there are more than are taken.
    pub(crate) cut: bool,
}

/// Divides code, at most into `most` functions. `symbols` are ranges by symbols,
/// `entered` addresses where it is entered, in order; what nothing describes is left out unless
/// `gaps` are wanted.
pub(crate) fn divide(
    space: &Space<'_, '_>,
    mut symbols: Vec<(u32, u32)>,
    entered: &[u32],
    gaps: bool,
    most: usize,
) -> Divided {
    let (framed, cut) = framed(space, most);
    symbols.sort_unstable();
    symbols.dedup_by_key(|(start, _)| *start);
    let symbols = between(&framed, symbols);
    let mut known: Vec<(u32, u32)> = framed;
    known.extend(symbols);
    known.sort_unstable();
    let known = apart(known);
    let mut divided = Divided {
        functions: Vec::with_capacity(known.len()),
        described: 0,
        cut,
    };
    let mut next = 0;
    for range in space.code {
        let (Some(from), Some(to)) = (
            space.at(range.address),
            space.at(range.address + range.size),
        ) else {
            continue;
        };
        let mut at = from;
        while let Some((start, end)) = known.get(next).copied() {
            if start >= to {
                break;
            }
            next += 1;
            if start < at || end > to {
                continue;
            }
            if gaps {
                gap(&mut divided.functions, entered, at, start);
            }
            divided.functions.push(Function {
                start,
                end,
                uses: Uses::default(),
            });
            divided.described += u64::from(end - start);
            at = end;
        }
        if gaps {
            gap(&mut divided.functions, entered, at, to);
        }
    }
    divided.cut |= divided.functions.len() > most;
    divided.functions.truncate(most);
    divided
}

/// What frames describe, and whether there are more than `most`.
fn framed(space: &Space<'_, '_>, most: usize) -> (Vec<(u32, u32)>, bool) {
    let mut framed: Vec<(u32, u32)> = Vec::new();
    let mut cut = false;
    frames(space.elf, |start, length| {
        if framed.len() >= most {
            cut = true;
            return false;
        }
        let end = start.checked_add(length).and_then(|end| space.at(end));
        if let (Some(start), Some(end)) = (space.at(start), end)
            && start < end
        {
            framed.push((start, end));
        }
        true
    });
    framed.sort_unstable();
    (apart(framed), cut)
}

/// What lies between functions that are known: divided where the program is entered, since
/// decoding that begins elsewhere may not come there.
fn gap(functions: &mut Vec<Function>, entered: &[u32], start: u32, end: u32) {
    let first = entered.partition_point(|at| *at < start);
    let inside = entered.get(first..).unwrap_or_default();
    let inside: Vec<u32> = inside.iter().copied().take_while(|at| *at < end).collect();
    let mut pieces = vec![start];
    pieces.extend(inside.iter().filter(|at| **at != start));
    let ends = pieces.iter().copied().skip(1).chain([end]);
    for (from, to) in pieces.iter().copied().zip(ends) {
        if to.saturating_sub(from) >= PADDING || inside.contains(&from) {
            functions.push(Function {
                start: from,
                end: to,
                uses: Uses::GAP,
            });
        }
    }
}

/// Sorted ranges, each cut where the next begins.
fn apart(mut ranges: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    ranges.dedup_by_key(|(start, _)| *start);
    let starts: Vec<u32> = ranges.iter().skip(1).map(|(start, _)| *start).collect();
    for ((_, end), next) in ranges.iter_mut().zip(starts) {
        *end = (*end).min(next);
    }
    ranges
}

/// Those of `ranges` that begin outside all of `taken`; those without a length end at the next.
fn between(taken: &[(u32, u32)], ranges: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    let starts: Vec<u32> = ranges.iter().map(|(start, _)| *start).collect();
    let mut free = Vec::new();
    for (number, (start, end)) in ranges.into_iter().enumerate() {
        let after = taken.partition_point(|(from, _)| *from <= start);
        let before = after.checked_sub(1).and_then(|at| taken.get(at));
        if before.is_some_and(|(_, until)| start < *until) {
            continue;
        }
        let next = starts.get(number + 1).copied();
        let stop = taken.get(after).map(|(from, _)| *from);
        let limit = [next, stop].into_iter().flatten().min();
        let end = if end > start { Some(end) } else { limit };
        if let Some(end) = end {
            let end = limit.map_or(end, |limit| end.min(limit));
            free.push((start, end));
        }
    }
    free
}
