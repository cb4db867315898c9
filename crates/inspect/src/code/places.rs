//! Finding an address among many in order: by a coarse index first, since most of what an
//! instruction names is looked for.

/// Addresses in order, each once.
#[derive(Debug, Default)]
pub(crate) struct Places {
    all: Vec<u32>,
    /// How many addresses lie before each step of `1 << shift` bytes after the first.
    before: Vec<u32>,
    shift: u32,
}

impl Places {
    /// `all` is in order.
    pub(crate) fn new(all: Vec<u32>) -> Self {
        let (Some(first), Some(last)) = (all.first().copied(), all.last().copied()) else {
            return Self::default();
        };
        // About one address a step, on average.
        let span = last - first;
        let mut shift = 0;
        while (span >> shift) as usize > all.len() {
            shift += 1;
        }
        let steps = (span >> shift) as usize + 1;
        let mut before = Vec::with_capacity(steps + 1);
        for (number, at) in (0..).zip(&all) {
            let step = ((at - first) >> shift) as usize;
            before.resize(before.len().max(step + 1), number);
        }
        before.push(all.len() as u32);
        Self { all, before, shift }
    }

    pub(crate) fn all(&self) -> &[u32] {
        &self.all
    }

    /// The number of the last address that is not behind `at`.
    pub(crate) fn last_before(&self, at: u32) -> Option<u32> {
        let within = at.checked_sub(*self.all.first()?)?;
        let step = (within >> self.shift) as usize;
        let (from, to) = match (self.before.get(step), self.before.get(step + 1)) {
            (Some(from), Some(to)) => (*from as usize, *to as usize),
            _ => (self.all.len(), self.all.len()),
        };
        let part = self.all.get(from..to).unwrap_or_default();
        let up_to = from + part.partition_point(|start| *start <= at);
        up_to.checked_sub(1).map(|number| number as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_as_by_a_search() {
        let mut state = 1_u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as u32
        };
        for (count, of) in [
            (0, 1),
            (1, 1),
            (2, u32::MAX),
            (500, 600),
            (3000, 1 << 20),
            (3000, u32::MAX),
        ] {
            let mut all: Vec<u32> = (0..count).map(|_| next() % of).collect();
            all.sort_unstable();
            all.dedup();
            let places = Places::new(all.clone());
            let near = all
                .iter()
                .flat_map(|at| [at.saturating_sub(1), *at, at.saturating_add(1)]);
            for at in near.chain([0, u32::MAX]) {
                let expected = all.partition_point(|start| *start <= at).checked_sub(1);
                assert_eq!(
                    places.last_before(at).map(|n| n as usize),
                    expected,
                    "{at} of {count}"
                );
            }
        }
    }
}
