//! MPI by binary interface: an image built against one MPI runs with another when both
//! are of one ABI family and one soname. It never compares what the libraries can do.

use std::fmt;

use crate::version::Version;

/// Libraries that share one binary interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Abi {
    /// The MPICH ABI initiative: `libmpi.so.12`.
    Mpich,
    /// Open MPI and libraries with its soname: `libmpi.so.40`.
    OpenMpi,
    /// The ABI that the MPI-5 standard defines: `libmpi_abi.so`.
    Standard,
}

impl fmt::Display for Abi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mpich => "MPICH ABI",
            Self::OpenMpi => "Open MPI ABI",
            Self::Standard => "MPI standard ABI",
        })
    }
}

/// Spelling (letters and digits only), canonical name, family, and the first version
/// that has the family's ABI as it is today.
pub(crate) const IMPLEMENTATIONS: &[(&str, &str, Abi, (u64, u64))] = &[
    ("mpich", "mpich", Abi::Mpich, (3, 1)),
    ("intelmpi", "intelmpi", Abi::Mpich, (5, 0)),
    ("impi", "intelmpi", Abi::Mpich, (5, 0)),
    ("mvapich2", "mvapich2", Abi::Mpich, (2, 0)),
    ("mvapich", "mvapich2", Abi::Mpich, (2, 0)),
    ("craympich", "cray-mpich", Abi::Mpich, (7, 0)),
    ("parastationmpi", "parastation", Abi::Mpich, (5, 1)),
    ("parastation", "parastation", Abi::Mpich, (5, 1)),
    ("psmpi", "parastation", Abi::Mpich, (5, 1)),
    ("openmpi", "openmpi", Abi::OpenMpi, (3, 0)),
    ("ompi", "openmpi", Abi::OpenMpi, (3, 0)),
    ("mpiabi", "mpi-abi", Abi::Standard, (0, 0)),
];

/// An MPI implementation, perhaps with its version: `mpich`, `openmpi-4.1`, `mpich@3.4`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mpi {
    name: &'static str,
    abi: Abi,
    version: Option<Version>,
    /// Whether the version stated has the ABI that the family has today.
    current: bool,
}

impl Mpi {
    /// `None` when the implementation is not in the table; such values are compared
    /// as text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let lower = text.trim().to_ascii_lowercase();
        let known = |word: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_ .".contains(c);
            if !word.chars().all(plain) {
                return None;
            }
            let bare: String = word.chars().filter(char::is_ascii_alphanumeric).collect();
            IMPLEMENTATIONS.iter().find(|row| row.0 == bare)
        };
        let (row, version) = match known(&lower) {
            Some(row) => (row, None),
            None => {
                let split = lower.rfind(['-', '@', '/', ' ', '_', '='])?;
                let (name, version) = lower.split_at_checked(split)?;
                (known(name)?, Some(Version::parse(version.get(1..)?)?))
            }
        };
        let (_, name, abi, (major, minor)) = *row;
        let current = version.is_none_or(|v| v >= Version::of(major, minor));
        Some(Self {
            name,
            abi,
            version,
            current,
        })
    }

    /// The family whose libraries can stand in for each other.
    #[must_use]
    pub fn abi(&self) -> Abi {
        self.abi
    }

    /// Whether a program linked against `self` runs with `host`'s library. Versions
    /// from before the family's ABI settled only match themselves.
    #[must_use]
    pub fn runs_with(&self, host: &Self) -> bool {
        self == host || (self.abi == host.abi && self.current && host.current)
    }
}

impl fmt::Display for Mpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Some(version) => write!(f, "{}-{version}", self.name),
            None => f.write_str(self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("mpich", "cray-mpich", true)]
    #[case("MPICH", "Intel-MPI", true)]
    #[case("mvapich2-2.3", "mpich-4.1", true)]
    #[case("mpich@3.0", "mpich@4.1", false)]
    #[case("mpich@3.0", "mpich-3.0", true)]
    #[case("openmpi", "ompi", true)]
    #[case("openmpi-4.1.5", "openmpi-5.0", true)]
    #[case("openmpi-1.10", "openmpi-4.1", false)]
    #[case("openmpi", "mpich", false)]
    #[case("mpi-abi", "mpi_abi", true)]
    #[case("mpi-abi", "mpich", false)]
    fn an_image_runs_with_any_library_of_its_abi(
        #[case] image: &str,
        #[case] host: &str,
        #[case] runs: bool,
    ) {
        let (image, host) = (Mpi::parse(image).unwrap(), Mpi::parse(host).unwrap());
        assert_eq!(image.runs_with(&host), runs);
    }

    #[test]
    fn an_unknown_implementation_is_not_guessed_at() {
        assert_eq!(Mpi::parse("mpt"), None);
        assert_eq!(Mpi::parse("spectrum-mpi"), None);
        for operator in [
            "mpich>=3.4",
            "mpich<=4",
            "mpich!=4",
            "~mpich",
            "mpich->=3.4",
            "mpich@^3",
        ] {
            assert_eq!(Mpi::parse(operator), None, "{operator}");
        }
    }
}
