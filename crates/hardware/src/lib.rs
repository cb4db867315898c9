//! What a machine provides, what an image requires, and which image is best: features, the
//! microarchitecture graph, fit and rank, and detection of a node. Deciding is pure; only `detect`
//! reads files, and only below the given root.

mod build;
pub mod detect;
#[cfg(test)]
mod documented;
mod explain;
mod extension;
mod feature;
mod find;
mod fit;
mod gpu;
mod gpu_kind;
mod graph;
mod keys;
mod labels;
mod meaning;
mod mismatch;
mod mpi;
mod names;
pub mod nfd;
mod nvidia_require;
mod outcome;
mod products;
mod provided;
mod rank;
mod stated;
mod target;
mod version;

pub use extension::{Extension, ExtensionError, NewTarget};
pub use feature::{Feature, FeatureError};
pub use fit::fit;
pub use gpu::{CodeForm, ComputeCapability, Gfx, GfxMatch, GpuVendor, cuda_of_driver};
pub use graph::{Microarchitecture, Microarchitectures, OciPlatform};
pub use keys::{KEYS, Key, KeyInfo, Order};
pub use labels::{from_os_features, from_platform};
pub use mismatch::Mismatch;
pub use mpi::{Abi, Mpi};
pub use nvidia_require::NvidiaRequire;
pub use outcome::{Check, Fit, How, Nearness, Outcome};
pub use provided::Provided;
pub use rank::{
    Choice, DecidedBy, Entry, Options, Verdict, choose, choose_with, generic, least_required,
};
pub use stated::{Conflict, Stated, Statements, Unread};
pub use target::{Target, TargetError};
pub use version::Version;
