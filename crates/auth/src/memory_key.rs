//! Keyed hashes under which password checks are cached, so that no password, and nothing from which
//! one could be searched, is in a table.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// A random key of this process.
pub(crate) struct MemoryKey([u8; 32]);

impl MemoryKey {
    pub(crate) fn random() -> Self {
        Self(rand::random())
    }

    /// A keyed hash over `parts`, injective on lists of parts.
    pub(crate) fn hash(&self, parts: &[&str]) -> [u8; 32] {
        let mut state = Sha256::new_with_prefix(self.0);
        for part in parts {
            state.update((part.len() as u64).to_le_bytes());
            state.update(part.as_bytes());
        }
        state.finalize().into()
    }
}

impl fmt::Debug for MemoryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyed_hashes_tell_parts_and_processes_apart() {
        let key = MemoryKey::random();
        assert_eq!(key.hash(&["a", "b"]), key.hash(&["a", "b"]));
        assert_ne!(key.hash(&["ab", "c"]), key.hash(&["a", "bc"]));
        assert_ne!(key.hash(&["a"]), MemoryKey::random().hash(&["a"]));
    }
}
