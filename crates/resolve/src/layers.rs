//! How many layers an image may have.

/// Most layers of an image: Docker mounts no more than 125.
pub const MAX_LAYERS: usize = 125;
