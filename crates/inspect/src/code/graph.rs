//! Which functions lead to which: by calls, by addresses that are taken, and by data that holds
//! addresses, such as tables of functions.

use crate::code::functions::Program;
use crate::code::sweep::{Swept, WRITES};

/// Functions by their numbers, and behind them the pieces of data.
pub(crate) struct Graph {
    functions: u32,
    /// Where pieces of data begin: each reaches to the next.
    pieces: Vec<u32>,
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
            pieces,
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
        edges.sort_unstable();
        edges.dedup();
        let nodes = graph.nodes();
        graph.starts.reserve_exact(nodes + 1);
        graph.targets.reserve_exact(edges.len());
        let mut from = 0;
        graph.starts.push(0);
        for (source, target) in edges {
            while from < source {
                graph.starts.push(graph.targets.len() as u32);
                from += 1;
            }
            graph.targets.push(target);
        }
        graph.starts.resize(nodes + 1, graph.targets.len() as u32);
        graph
    }

    fn nodes(&self) -> usize {
        self.functions as usize + self.pieces.len()
    }

    /// The piece of data that holds an address.
    pub(crate) fn piece(&self, at: u32) -> Option<u32> {
        let number = self
            .pieces
            .partition_point(|start| *start <= at)
            .checked_sub(1)?;
        Some(self.functions + number as u32)
    }

    /// The piece of data that begins at an address.
    pub(crate) fn piece_at(&self, at: u32) -> Option<u32> {
        let number = self.pieces.binary_search(&at).ok()?;
        Some(self.functions + number as u32)
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
