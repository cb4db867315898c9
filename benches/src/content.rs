//! Content that is pushed: any number of bytes that nobody can compress, and no two alike,
//! without holding them in memory. Never reads a random source: the same seed gives the same
//! bytes, so that every server gets the same.

use sha2::{Digest as _, Sha256};

const BLOCK: usize = 4 << 20;
const TAIL: usize = 64;

/// The block that every content repeats.
#[derive(Clone, Debug)]
pub(crate) struct Material {
    block: Vec<u8>,
}

/// Some bytes: the material's block over and over, and an end that differs.
#[derive(Clone, Debug)]
pub(crate) struct Content<'a> {
    material: &'a Material,
    repeated: usize,
    tail: Vec<u8>,
    hashed: Sha256,
}

impl Material {
    /// Makes the block.
    pub(crate) fn new() -> Self {
        Self {
            block: noise(1, BLOCK),
        }
    }

    /// A content of `size` bytes, at least 64.
    pub(crate) fn content(&self, size: usize, seed: u64) -> Content<'_> {
        let repeated = size.saturating_sub(TAIL);
        let mut hashed = Sha256::new();
        for slice in slices(&self.block, repeated) {
            hashed.update(slice);
        }
        Content {
            material: self,
            repeated,
            tail: noise(seed, size - repeated),
            hashed,
        }
    }
}

impl<'a> Content<'a> {
    /// Another content of the same size, for the cost of hashing its end.
    pub(crate) fn another(&self, seed: u64) -> Self {
        Self {
            tail: noise(seed, self.tail.len()),
            ..self.clone()
        }
    }

    /// Its length in bytes.
    pub(crate) fn size(&self) -> usize {
        self.repeated + self.tail.len()
    }

    /// `sha256:…`
    pub(crate) fn digest(&self) -> String {
        let whole = self.hashed.clone().chain_update(&self.tail);
        format!("sha256:{}", hex::encode(whole.finalize()))
    }

    /// Its bytes in order, in pieces.
    pub(crate) fn slices(&self) -> impl Iterator<Item = &[u8]> {
        slices(&self.material.block, self.repeated).chain([self.tail.as_slice()])
    }
}

fn slices(block: &[u8], length: usize) -> impl Iterator<Item = &[u8]> {
    let whole = std::iter::repeat_n(block, length / block.len());
    whole.chain(block.get(..length % block.len()))
}

/// Bytes of a SplitMix64 generator.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x5851_f42d_4c95_7f2d);
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    });
    words.flat_map(u64::to_le_bytes).take(length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_bytes_and_no_two_contents_are_alike() {
        let material = Material::new();
        for size in [64, 65, BLOCK, BLOCK + 64, 2 * BLOCK + 100] {
            let first = material.content(size, 1);
            let other = first.another(2);
            for content in [&first, &other] {
                let bytes = content.slices().collect::<Vec<_>>().concat();
                assert_eq!(bytes.len(), size);
                assert_eq!(content.digest(), metahub_e2e::http::digest_of(&bytes));
            }
            assert_ne!(first.digest(), other.digest());
        }
    }
}
