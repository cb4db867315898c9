//! The one table of feature keys that MetaHub understands: what each means and how its values are
//! ordered. Any other key is compared by equality.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// A feature's key in canonical form: lower case, aliases resolved.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Key {
    /// CPU target.
    Arch,
    /// CUDA version.
    Cuda,
    /// NVIDIA driver version.
    Driver,
    /// NVIDIA compute capability.
    Cc,
    /// ROCm version.
    Rocm,
    /// AMD GPU processor.
    Gfx,
    /// GPU vendor.
    Gpu,
    /// MPI implementation.
    Mpi,
    /// libfabric version.
    Libfabric,
    /// GNU C library version.
    Glibc,
    /// Linux kernel version.
    Kernel,
    /// An `NVIDIA_REQUIRE_*` expression.
    NvidiaRequire,
    /// Node Feature Discovery's rules.
    Nfd,
    /// Any other key.
    Other(Arc<str>),
}

/// How a required value relates to the provided ones that satisfy it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// The provided CPU target is the required one or descends from it.
    Descends,
    /// The provided version is the required one or later.
    AtLeast,
    /// As `AtLeast`, or a provided `driver:` that runs this CUDA version.
    CudaOrDriver,
    /// The provided GPU runs code for the required compute capability.
    ComputeCapability,
    /// The provided GPU runs code for the required processor.
    AmdProcessor,
    /// A GPU of the required vendor is provided.
    GpuVendor,
    /// The provided MPI has the required one's binary interface.
    MpiAbi,
    /// The provided features make the expression true.
    Expression,
    /// The texts are equal.
    Equal,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct KeyInfo {
    /// As it is written.
    pub name: &'static str,
    /// Other names for it.
    pub aliases: &'static [&'static str],
    /// How its values compare.
    pub order: Order,
    /// What it states, on an image and on a machine, in a sentence.
    pub meaning: &'static str,
    /// A feature with it.
    pub example: &'static str,
}

/// The built-in keys. The documentation's table is printed from this one.
pub const KEYS: &[KeyInfo] = &[
    KeyInfo {
        name: "arch",
        aliases: &["cpu"],
        order: Order::Descends,
        meaning: "CPU target by its archspec name; fits machines of that target and of those \
                  that descend from it",
        example: "arch:zen3",
    },
    KeyInfo {
        name: "cuda",
        aliases: &[],
        order: Order::CudaOrDriver,
        meaning: "CUDA version; fits machines that provide it or a later one, or a driver that \
                  runs it (11.0 from 450, 11.x from 450.80.02, 12.x from 525, 13.x from 580)",
        example: "cuda:12.4",
    },
    KeyInfo {
        name: "driver",
        aliases: &[],
        order: Order::AtLeast,
        meaning: "NVIDIA driver version; fits machines with that driver or a later one",
        example: "driver:550.54",
    },
    KeyInfo {
        name: "cc",
        aliases: &[],
        order: Order::ComputeCapability,
        meaning: "NVIDIA compute capability of the image's GPU code, several separated by \
                  commas; fits GPUs of the same major with this or a later minor, with +ptx any \
                  later one whose driver has the image's `cuda` or a later one",
        example: "cc:8.0,9.0+ptx",
    },
    KeyInfo {
        name: "rocm",
        aliases: &[],
        order: Order::AtLeast,
        meaning: "ROCm version; fits machines that provide it or a later one",
        example: "rocm:6.2",
    },
    KeyInfo {
        name: "gfx",
        aliases: &[],
        order: Order::AmdProcessor,
        meaning: "AMD GPU processor of the image's GPU code, several separated by commas; fits \
                  that processor, a generic one fits its family",
        example: "gfx:gfx90a",
    },
    KeyInfo {
        name: "gpu",
        aliases: &[],
        order: Order::GpuVendor,
        meaning: "GPU vendor: nvidia, amd, intel, or any; also provided by driver, cc and brand \
                  (NVIDIA) and by gfx (AMD)",
        example: "gpu:nvidia",
    },
    KeyInfo {
        name: "mpi",
        aliases: &[],
        order: Order::MpiAbi,
        meaning: "MPI library; fits machines whose MPI has the same binary interface: MPICH, \
                  Intel MPI, MVAPICH2, Cray MPICH and ParaStation are one family, Open MPI \
                  another, mpi-abi the standard's",
        example: "mpi:mpich",
    },
    KeyInfo {
        name: "libfabric",
        aliases: &[],
        order: Order::AtLeast,
        meaning: "libfabric version; fits machines that provide it or a later one",
        example: "libfabric:1.20",
    },
    KeyInfo {
        name: "glibc",
        aliases: &[],
        order: Order::AtLeast,
        meaning: "GNU C library version of the host; fits machines with it or a later one",
        example: "glibc:2.34",
    },
    KeyInfo {
        name: "kernel",
        aliases: &[],
        order: Order::AtLeast,
        meaning: "Linux kernel version; fits machines with it or a later one",
        example: "kernel:5.14",
    },
    KeyInfo {
        name: "nvidia-require",
        aliases: &[],
        order: Order::Expression,
        meaning: "an expression as in an image's NVIDIA_REQUIRE_CUDA, over cuda, driver, arch \
                  (compute capability) and brand; fits machines for which it is true",
        example: "nvidia-require:cuda>=12.4 brand=tesla,driver>=535,driver<536",
    },
    KeyInfo {
        name: "nfd",
        aliases: &[],
        order: Order::Expression,
        meaning: "an image-compatibility specification of Node Feature Discovery as JSON; fits \
                  machines for which all rules of one of its sets are true",
        example: "nfd:{\"compatibilities\":[]}",
    },
];

/// Other words for built-in keys, letters and digits only.
const SYNONYMS: &[(&str, &str)] = &[
    ("target", "arch"),
    ("cputarget", "arch"),
    ("march", "arch"),
    ("microarch", "arch"),
    ("microarchitecture", "arch"),
    ("architecture", "arch"),
    ("cup", "arch"),
    ("cpus", "arch"),
    ("cudaversion", "cuda"),
    ("nvidiadriver", "driver"),
    ("driverversion", "driver"),
    ("computecapability", "cc"),
    ("cudaarch", "cc"),
    ("sm", "cc"),
    ("gfxarch", "gfx"),
    ("gpus", "gpu"),
    ("gup", "gpu"),
    ("libc", "glibc"),
    ("ofi", "libfabric"),
];

impl Key {
    /// The canonical form of a key that is already known to be well written.
    pub(crate) fn canonical(written: &str) -> Self {
        let lower = written.to_ascii_lowercase();
        match lower.as_str() {
            "arch" | "cpu" => Self::Arch,
            "cuda" => Self::Cuda,
            "driver" => Self::Driver,
            "cc" => Self::Cc,
            "rocm" => Self::Rocm,
            "gfx" => Self::Gfx,
            "gpu" => Self::Gpu,
            "mpi" => Self::Mpi,
            "libfabric" => Self::Libfabric,
            "glibc" => Self::Glibc,
            "kernel" => Self::Kernel,
            "nvidia-require" => Self::NvidiaRequire,
            "nfd" => Self::Nfd,
            other => Self::Other(Arc::from(other)),
        }
    }

    /// The canonical name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Arch => "arch",
            Self::Cuda => "cuda",
            Self::Driver => "driver",
            Self::Cc => "cc",
            Self::Rocm => "rocm",
            Self::Gfx => "gfx",
            Self::Gpu => "gpu",
            Self::Mpi => "mpi",
            Self::Libfabric => "libfabric",
            Self::Glibc => "glibc",
            Self::Kernel => "kernel",
            Self::NvidiaRequire => "nvidia-require",
            Self::Nfd => "nfd",
            Self::Other(name) => name,
        }
    }

    /// The built-in key that a name which is none may be a slip of, or another word for:
    /// `acrh` and `target` for `arch`, `cudda` for `cuda`. Short names are near to too much.
    #[must_use]
    pub fn near(name: &str) -> Option<&'static KeyInfo> {
        let bare: String = name
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|c| c.to_ascii_lowercase())
            .collect();
        let row = |key: &str| KEYS.iter().find(|row| row.name == key);
        let known = |row: &KeyInfo| row.name == name || row.aliases.contains(&name);
        if KEYS.iter().any(known) {
            return None;
        }
        if let Some((_, key)) = SYNONYMS.iter().find(|(word, _)| *word == bare) {
            return row(key);
        }
        let names = KEYS.iter().filter(|row| row.name.len() >= 4);
        let slip = |row: &&KeyInfo| {
            let folded: String = row.name.chars().filter(|c| *c != '-').collect();
            strsim::damerau_levenshtein(&bare, &folded) <= 1
        };
        names.clone().find(slip)
    }

    /// The form of its values, for a message about one that cannot be read.
    pub(crate) fn expects(&self) -> &'static str {
        match self {
            Self::Arch => "a CPU target by its archspec name, e.g. zen3 or x86_64_v3",
            Self::Cuda
            | Self::Driver
            | Self::Rocm
            | Self::Libfabric
            | Self::Glibc
            | Self::Kernel => {
                "a version without an operator, e.g. 12.4, which means that one or a later one"
            }
            Self::Cc => "compute capabilities, e.g. 8.0,9.0+ptx",
            Self::Gfx => "AMD GPU processors, e.g. gfx90a",
            Self::Gpu => "a GPU vendor: nvidia, amd, intel, or any",
            Self::Mpi => "an MPI library that is known, e.g. mpich, openmpi-4.1 or mpi-abi",
            Self::NvidiaRequire => "an expression, e.g. cuda>=12.4",
            Self::Nfd => "an image-compatibility specification as JSON",
            Self::Other(_) => "a text",
        }
    }

    /// How values of this key compare.
    #[must_use]
    pub fn order(&self) -> Order {
        KEYS.iter()
            .find(|row| row.name == self.as_str())
            .map_or(Order::Equal, |row| row.order)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Feature;

    #[test]
    fn a_slip_or_another_word_is_near_to_its_key() {
        let near = |name: &str| Key::near(name).map(|row| row.name);
        for (name, key) in [
            ("acrh", "arch"),
            ("target", "arch"),
            ("micro-arch", "arch"),
            ("cudda", "cuda"),
            ("drvier", "driver"),
            ("glib", "glibc"),
            ("nvidia_require", "nvidia-require"),
        ] {
            assert_eq!(near(name), Some(key), "{name}");
        }
        for name in [
            "arch", "cpu", "cc", "mpi", "site", "fabric", "brand", "smt", "pmix", "api",
        ] {
            assert_eq!(near(name), None, "{name}");
        }
    }

    #[test]
    fn every_row_of_the_table_is_a_key_that_the_code_knows() {
        for row in KEYS {
            for name in row.aliases.iter().chain([&row.name]) {
                let key = Key::canonical(&name.to_uppercase());
                assert_eq!(key.as_str(), row.name);
                assert_eq!(key.order(), row.order);
                assert!(!matches!(key, Key::Other(_)));
            }
            let example: Feature = row.example.parse().unwrap();
            assert_eq!(example.key().as_str(), row.name);
            assert!(example.is_understood(), "{}", row.example);
        }
    }
}
