//! Which functions lead to which: by calls, by addresses that are taken, and by data that holds
//! addresses, such as tables of functions.

use crate::code::functions::Program;
use crate::code::places::Places;
use crate::code::sweep::{Swept, WRITES};

/// Functions by their numbers, and behind them the pieces of data.
pub(crate) struct Graph {
    functions: u32,
    /// Where pieces of data begin: each reaches to the next.
    pieces: Places,
    /// Where the targets of each begin in `targets`.
    starts: Vec<u32>,
    targets: Vec<u32>,
}

/// A set of functions and pieces of data.
pub(crate) struct Reached(Vec<bool>);

impl Reached {
    pub(crate) fn has(&self, node: u32) -> bool {
        self.0.get(node as usize).copied().unwrap_or_default()
    }

    /// Adds it; whether it was not there.
    pub(crate) fn add(&mut self, node: u32) -> bool {
        match self.0.get_mut(node as usize) {
            Some(held) => !std::mem::replace(held, true),
            None => false,
        }
    }
}

impl Graph {
    pub(crate) fn new(program: &Program<'_>, swept: &Swept) -> Self {
        let mut pieces: Vec<u32> = swept.data.iter().map(|(_, at)| *at).collect();
        pieces.extend(&program.exported_data);
        pieces.extend(&program.detecting_data);
        let targets = program.pointers.iter().map(|(_, target)| *target);
        pieces.extend(targets.filter(|target| program.function(*target).is_none()));
        pieces.sort_unstable();
        pieces.dedup();
        let mut graph = Self {
            functions: program.functions.len() as u32,
            pieces: Places::new(pieces),
            starts: Vec::new(),
            targets: Vec::new(),
        };
        let mut edges = swept.calls.clone();
        edges.reserve_exact(swept.data.len() + program.pointers.len());
        for (from, at) in &swept.data {
            edges.extend(graph.piece(*at).map(|piece| (from & !WRITES, piece)));
        }
        for (place, target) in &program.pointers {
            let to = program.function(*target).or_else(|| graph.piece(*target));
            edges.extend(graph.piece(*place).zip(to));
        }
        graph.set(&edges);
        graph
    }

    /// Puts the edges in order of where they come from, then each node's by where they lead.
    fn set(&mut self, edges: &[(u32, u32)]) {
        let nodes = self.nodes();
        let mut starts = vec![0_u32; nodes + 1];
        for (from, _) in edges {
            if let Some(count) = starts.get_mut(*from as usize + 1) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let mut next = starts.clone();
        let mut targets = vec![0; edges.len()];
        for (from, to) in edges {
            if let Some(at) = next.get_mut(*from as usize) {
                if let Some(place) = targets.get_mut(*at as usize) {
                    *place = *to;
                }
                *at += 1;
            }
        }
        // Each once.
        let mut kept = 0_usize;
        self.starts.reserve_exact(nodes + 1);
        self.starts.push(0);
        for (from, to) in starts.iter().zip(starts.iter().skip(1)) {
            if let Some(own) = targets.get_mut(*from as usize..*to as usize) {
                own.sort_unstable();
            }
            let first = kept;
            for at in *from as usize..*to as usize {
                let Some(target) = targets.get(at).copied() else {
                    break;
                };
                let last = kept.checked_sub(1).filter(|_| kept > first);
                if last.and_then(|last| targets.get(last)) != Some(&target) {
                    if let Some(place) = targets.get_mut(kept) {
                        *place = target;
                    }
                    kept += 1;
                }
            }
            self.starts.push(kept as u32);
        }
        targets.truncate(kept);
        targets.shrink_to_fit();
        self.targets = targets;
    }

    fn nodes(&self) -> usize {
        self.functions as usize + self.pieces.all().len()
    }

    /// The piece of data that holds an address.
    pub(crate) fn piece(&self, at: u32) -> Option<u32> {
        Some(self.functions + self.pieces.last_before(at)?)
    }

    /// The piece of data that begins at an address.
    pub(crate) fn piece_at(&self, at: u32) -> Option<u32> {
        let number = self.pieces.last_before(at)?;
        let begins = self.pieces.all().get(number as usize) == Some(&at);
        begins.then_some(self.functions + number)
    }

    /// Functions to which nothing leads, except those that the dynamic linker calls.
    pub(crate) fn led_to_by_none(&self, program: &Program<'_>) -> Vec<u32> {
        let mut led_to = self.none();
        for target in self.targets.iter().chain(&program.resolvers) {
            led_to.add(*target);
        }
        (0..self.functions)
            .filter(|number| !led_to.has(*number))
            .collect()
    }

    pub(crate) fn none(&self) -> Reached {
        Reached(vec![false; self.nodes()])
    }

    /// Where `node` leads at once.
    pub(crate) fn targets(&self, node: u32) -> &[u32] {
        let node = node as usize;
        let (from, to) = (self.starts.get(node), self.starts.get(node + 1));
        let range = from.zip(to).map(|(from, to)| *from as usize..*to as usize);
        range
            .and_then(|range| self.targets.get(range))
            .unwrap_or_default()
    }

    /// What is reached from `roots`. Where `stop` answers something, only that is followed.
    pub(crate) fn reach<'s>(
        &'s self,
        roots: impl IntoIterator<Item = u32>,
        stop: impl Fn(u32) -> Option<&'s [u32]>,
    ) -> Reached {
        let mut reached = self.none();
        let mut next: Vec<u32> = Vec::new();
        for root in roots {
            if reached.add(root) {
                next.push(root);
            }
        }
        while let Some(node) = next.pop() {
            for target in stop(node).unwrap_or_else(|| self.targets(node)) {
                if reached.add(*target) {
                    next.push(*target);
                }
            }
        }
        reached
    }
}
