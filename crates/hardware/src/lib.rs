//! What a machine provides, what an image requires, and which image is best:
//! features, the microarchitecture graph, fit and rank, and detection of a node.
//! Deciding is pure; only `detect` reads files, and only below the root it is given.

mod build;
mod extension;
mod feature;
mod find;
mod gpu;
mod graph;
mod keys;
mod mpi;
mod names;
mod target;
mod version;

pub use extension::{Extension, ExtensionError, NewTarget};
pub use feature::{Feature, FeatureError};
pub use gpu::{CodeForm, ComputeCapability, Gfx, GfxMatch, cuda_of_driver};
pub use graph::{Microarchitecture, Microarchitectures, OciPlatform};
pub use keys::{KEYS, Key, KeyInfo, Order};
pub use mpi::{Abi, Mpi};
pub use target::{Target, TargetError};
pub use version::Version;
