//! Interns values that repeat, such as the platforms and features of thousands of entries, as
//! numbers in the order of first appearance. A hash that an attacker cannot steer costs more than
//! everything else that is done with an entry, so only values that were not seen lately are hashed.

use std::collections::HashMap;
use std::hash::Hash;

/// How many of the things that were met are looked at before one is hashed; a power of two.
const LATELY: usize = 256;

/// Numbers for things.
pub(crate) struct Numbers<T> {
    known: HashMap<T, usize>,
    /// By [`Lately::place`]: of all that share a place the one that was met last.
    lately: Vec<Option<(T, usize)>>,
}

/// A value that has a slot among those met recently.
pub(crate) trait Lately: Copy + Eq + Hash {
    /// A quick hash: usually different for different values.
    fn place(&self) -> usize;
}

impl Lately for &str {
    fn place(&self) -> usize {
        // Names differ at their ends: arch:zen2, arch:zen3.
        let end = match (self.as_bytes().last_chunk(), self.as_bytes().last_chunk()) {
            (Some(eight), _) => u64::from_le_bytes(*eight),
            (None, Some(four)) => u64::from(u32::from_le_bytes(*four)),
            (None, None) => 0,
        };
        let mixed = end.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        usize::try_from(mixed).unwrap_or_default() ^ self.len()
    }
}

/// Operating system and architecture; variant and version of the system.
impl Lately for (&str, &str, Option<&str>, Option<&str>) {
    fn place(&self) -> usize {
        self.1.place() ^ self.2.map_or(0, |variant| variant.place())
    }
}

impl<T: Lately> Default for Numbers<T> {
    fn default() -> Self {
        Self {
            known: HashMap::new(),
            lately: vec![None; LATELY],
        }
    }
}

impl<T: Lately> Numbers<T> {
    /// The number of a value; a new value gets the one from `new`.
    pub(crate) fn of(&mut self, thing: T, new: impl FnOnce() -> usize) -> usize {
        let slot = self.lately.get_mut(thing.place() % LATELY);
        if let Some(Some((same, number))) = &slot
            && *same == thing
        {
            return *number;
        }
        let number = *self.known.entry(thing).or_insert_with(new);
        if let Some(slot) = slot {
            *slot = Some((thing, number));
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_has_the_same_number_whatever_was_met_between() {
        let words: Vec<String> = (0..5_000).map(|n| format!("arch:{}", n % 1_700)).collect();
        let mut numbers = Numbers::default();
        let mut known: Vec<&str> = Vec::new();
        for word in &words {
            let number = numbers.of(word.as_str(), || {
                known.push(word);
                known.len() - 1
            });
            assert_eq!(known.get(number), Some(&word.as_str()));
        }
        assert_eq!(known.len(), 1_700);
    }
}
