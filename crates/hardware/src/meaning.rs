//! The meaning of a feature's value: parsed by the rules of its key, and written in the one
//! canonical form by which features are equal.

use crate::gpu::{ComputeCapability, Gfx, GpuVendor};
use crate::graph::Microarchitectures;
use crate::keys::Key;
use crate::mpi::Mpi;
use crate::nfd::Compatibility;
use crate::nvidia_require::NvidiaRequire;
use crate::target::Target;
use crate::version::Version;

/// A value read by the rules of its key.
pub(crate) enum Meaning {
    Target(Target),
    Version(Version),
    Capabilities(Vec<ComputeCapability>),
    Processors(Vec<Gfx>),
    Gpu(GpuVendor),
    Mpi(Mpi),
    NvidiaRequire(NvidiaRequire),
    Compatibility(Compatibility),
    /// Of a key that is compared as text, or a value that its key's rules cannot read.
    Text,
}

impl Meaning {
    pub(crate) fn read(key: &Key, value: &str) -> Self {
        // Lists are written with commas, CUDA's own tools write them with `;` or blanks.
        let list = || {
            let items = value.split([',', ';', ' ']);
            items.filter(|item| !item.is_empty())
        };
        let read = match key {
            Key::Arch => Microarchitectures::builtin()
                .find(value)
                .ok()
                .map(Self::Target),
            Key::Cuda | Key::Driver | Key::Rocm | Key::Libfabric | Key::Glibc | Key::Kernel => {
                Version::parse(value).map(Self::Version)
            }
            Key::Cc => list()
                .map(ComputeCapability::parse)
                .collect::<Option<Vec<_>>>()
                .filter(|list| !list.is_empty())
                .map(Self::Capabilities),
            Key::Gfx => list()
                .map(Gfx::parse)
                .collect::<Option<Vec<_>>>()
                .filter(|list| !list.is_empty())
                .map(Self::Processors),
            Key::Gpu => GpuVendor::parse(value).map(Self::Gpu),
            Key::Mpi => Mpi::parse(value).map(Self::Mpi),
            Key::NvidiaRequire => NvidiaRequire::parse(value).map(Self::NvidiaRequire),
            Key::Nfd => Compatibility::parse(value).ok().map(Self::Compatibility),
            Key::Other(_) => None,
        };
        read.unwrap_or(Self::Text)
    }

    pub(crate) fn canonical(&self, key: &Key, value: &str) -> String {
        fn joined<T: ToString>(items: &[T]) -> String {
            items
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(",")
        }
        match self {
            Self::Target(target) => target.to_string(),
            Self::Version(version) => version.to_string(),
            Self::Capabilities(list) => joined(list),
            Self::Processors(list) => joined(list),
            Self::Gpu(vendor) => vendor.to_string(),
            Self::Mpi(mpi) => mpi.to_string(),
            Self::NvidiaRequire(expression) => expression.to_string(),
            // Its own text: nothing shorter says the same.
            Self::Compatibility(_) => value.to_owned(),
            // Names of targets match without regard to case, `-` and `_`.
            Self::Text if *key == Key::Arch => value.to_ascii_lowercase().replace('-', "_"),
            Self::Text => value.to_owned(),
        }
    }
}
