//! A site's additions to the microarchitecture graph, from its configuration: targets, aliases, and
//! fallback edges for hardware that runs more than archspec says (grace runs neoverse_v1 builds).
//! An extension adds and never redefines.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::target::TargetError;

/// Additions to a [`Microarchitectures`](crate::Microarchitectures); all parts optional.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Extension {
    /// New targets by name.
    pub targets: BTreeMap<String, NewTarget>,
    /// Further spellings: alias → any spelling of a known target.
    pub aliases: BTreeMap<String, String>,
    /// A target → targets whose images it runs although it does not descend from them. The site
    /// vouches for it: an image picked through it is explained as a fallback.
    pub fallbacks: BTreeMap<String, Vec<String>>,
}

/// A target that archspec does not know, in archspec's own terms.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewTarget {
    /// The targets it descends from, in any spelling; none for a new family.
    #[serde(default)]
    pub from: Vec<String>,
    /// CPU vendor as `/proc/cpuinfo` states it, or `generic`.
    #[serde(default = "generic")]
    pub vendor: String,
    /// Flags of `/proc/cpuinfo` without which a machine is not this target.
    #[serde(default)]
    pub features: Vec<String>,
    /// Arm's `CPU part`, e.g. `0xd4f`.
    #[serde(default)]
    pub cpupart: Option<String>,
    /// Power's generation.
    #[serde(default)]
    pub generation: Option<u32>,
    /// Architectures, as OCI names them, whose programs it runs besides its own; without it
    /// those that all of `from` run.
    #[serde(default)]
    pub also_runs: Option<Vec<String>>,
}

fn generic() -> String {
    "generic".to_owned()
}

/// Why an [`Extension`] does not hold together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExtensionError {
    /// A name that is to be added is in use.
    #[error("{name:?} cannot be added: it already means {means}; choose another name")]
    Taken {
        /// The target or alias to be added.
        name: String,
        /// What it means now.
        means: String,
    },
    /// A name without a letter or digit.
    #[error("{name:?} cannot be a target's name: it needs letters or digits")]
    BadName {
        /// The name as written.
        name: String,
    },
    /// A parent, the right side of an alias or a side of a fallback is unknown.
    #[error("{what} {name:?}: {source}")]
    Refers {
        /// `target`, `alias` or `fallback`.
        what: &'static str,
        /// The entry that refers.
        name: String,
        /// Why the reference fails.
        source: Box<TargetError>,
    },
    /// Targets would descend from themselves.
    #[error("{} would descend from each other in a circle; remove one of the edges", .names.join(", "))]
    Circle {
        /// The targets involved.
        names: Vec<String>,
    },
    /// More targets than the graph can number.
    #[error("too many targets: at most {most} can be known at a time")]
    TooMany {
        /// The limit.
        most: usize,
    },
}
