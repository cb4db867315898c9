//! `Target`: the canonical archspec name of a CPU microarchitecture, such as `zen3` or `x86_64_v4`.
//! A `Target` only comes out of a [`Microarchitectures`](crate::Microarchitectures), so one that
//! exists is known. What the target can do is in the graph.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// The canonical name of a CPU microarchitecture. Cheap to clone; ordered and
/// compared by name.
#[derive(Clone)]
pub struct Target {
    name: Arc<str>,
    /// Position in the graph that made it. Graphs that extend another keep its
    /// positions, and a name keeps its position for good, so this is a hint that
    /// each graph checks before use.
    slot: u16,
}

impl Target {
    pub(crate) fn new(name: &str, slot: u16) -> Self {
        Self {
            name: Arc::from(name),
            slot,
        }
    }

    /// The canonical archspec name, e.g. `skylake_avx512`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }

    pub(crate) fn slot(&self) -> u16 {
        self.slot
    }

    pub(crate) fn same_allocation(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.name, &other.name)
    }
}

impl PartialEq for Target {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Target {}

impl PartialOrd for Target {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Target {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name.cmp(&other.name)
    }
}

impl Hash for Target {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({})", self.name)
    }
}

impl AsRef<str> for Target {
    fn as_ref(&self) -> &str {
        &self.name
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name)
    }
}

/// Why a spelling names no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// No target, synonym or site alias is spelled like this.
    #[error("no CPU target is called {spelling:?}{}", Near(.near, .instead.as_deref()))]
    Unknown {
        /// The requested name, as written.
        spelling: String,
        /// Known targets with similar names, nearest first; at most three.
        near: Vec<Target>,
        /// The feature that the word plainly means, where it is no CPU: `cc:9.0` for `h100`.
        instead: Option<String>,
    },
    /// A path such as `aarch64/amd/zen3` puts a target where it does not belong.
    #[error("{spelling:?} puts {target} under {stated}, but {target} belongs to {actual}")]
    Misplaced {
        /// The requested name, as written.
        spelling: String,
        /// The target that the last part names.
        target: Target,
        /// The family or vendor that the path states.
        stated: String,
        /// The family or vendor that the target has.
        actual: String,
    },
}

struct Near<'a>(&'a [Target], Option<&'a str>);

impl fmt::Display for Near<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(feature) = self.1 {
            return write!(f, "; it is no CPU, did you mean {feature}?");
        }
        match self.0 {
            [] => f.write_str("; targets are named as archspec names them, e.g. zen3, x86_64_v3"),
            [only] => write!(f, "; did you mean {only}?"),
            [first, rest @ ..] => {
                write!(f, "; did you mean {first}")?;
                for other in rest {
                    write!(f, " or {other}")?;
                }
                f.write_str("?")
            }
        }
    }
}
