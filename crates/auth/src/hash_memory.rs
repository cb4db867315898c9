//! Reuses the memory in which password hashes are computed. A hash needs 19 MiB: allocated for
//! each, that much stays behind in every thread that ever hashed.

use argon2::{Block, Params};
use parking_lot::Mutex;

/// Blocks of a kibibyte that a hash at the standard cost needs.
const STANDARD: usize = Params::DEFAULT_M_COST as usize;

/// Buffers that wait to be used again: at most as many as hashes are computed at once.
#[derive(Debug)]
pub(crate) struct HashMemory {
    idle: Mutex<Vec<Vec<Block>>>,
    most: usize,
}

impl HashMemory {
    /// Keeps up to `most` buffers.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            idle: Mutex::default(),
            most,
        }
    }

    /// Lends a buffer to `work`. After a panic in there it is freed.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Vec<Block>) -> T) -> T {
        let idle = self.idle.lock().pop();
        let mut blocks = idle.unwrap_or_default();
        let result = work(&mut blocks);
        // A stored hash of another make may have asked for more.
        if blocks.len() <= STANDARD {
            let mut idle = self.idle.lock();
            if idle.len() < self.most {
                idle.push(blocks);
            }
        }
        result
    }

    /// Bytes of the buffers that are kept now.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        let idle = self.idle.lock();
        idle.iter()
            .map(|blocks| blocks.capacity() * Block::SIZE)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_used_again_and_only_a_few_are_kept() {
        let memory = HashMemory::new(2);
        let grow = |blocks: &mut Vec<Block>, to: usize| blocks.resize(to, Block::default());
        memory.with(|one| {
            memory.with(|two| {
                memory.with(|three| grow(three, 10));
                grow(two, 10);
            });
            grow(one, 10);
        });
        assert_eq!(memory.idle.lock().len(), 2);
        let before = memory.kept();
        for _ in 0..100 {
            memory.with(|blocks| assert_eq!(blocks.len(), 10));
        }
        assert_eq!(memory.kept(), before);
        memory.with(|blocks| grow(blocks, STANDARD + 1));
        assert_eq!(memory.idle.lock().len(), 1, "an odd one is not kept");
    }
}
