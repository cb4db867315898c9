//! `Microarchitectures`: the CPU targets and their ancestry. The data is archspec's, read through
//! its crate, with an overlay for what that version lacks (`data/overlay.json`) and a site's
//! additions. It never looks at the machine it runs on.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use crate::names::{self, fold};
use crate::target::Target;

/// In a distance table: no way from one to the other.
pub(crate) const NONE: u16 = u16::MAX;

/// The data of one target.
#[derive(Debug, Clone)]
pub struct Microarchitecture {
    pub(crate) target: Target,
    pub(crate) parents: Vec<Target>,
    pub(crate) vendor: String,
    pub(crate) features: BTreeSet<String>,
    pub(crate) generation: Option<u32>,
    pub(crate) cpu_part: Option<String>,
    pub(crate) also_runs: Vec<String>,
    pub(crate) by_model_only: bool,
}

impl Microarchitecture {
    /// Its canonical name.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }
    /// The targets it descends from directly, as archspec lists them.
    #[must_use]
    pub fn parents(&self) -> &[Target] {
        &self.parents
    }
    /// Vendor as `/proc/cpuinfo` states it (`AuthenticAMD`), or `generic`.
    #[must_use]
    pub fn vendor(&self) -> &str {
        &self.vendor
    }
    /// The CPU flags that a machine must have to be this target.
    #[must_use]
    pub fn features(&self) -> &BTreeSet<String> {
        &self.features
    }
    /// Power's generation number.
    #[must_use]
    pub fn generation(&self) -> Option<u32> {
        self.generation
    }
    /// Arm's `CPU part`, e.g. `0xd40`.
    #[must_use]
    pub fn cpu_part(&self) -> Option<&str> {
        self.cpu_part.as_deref()
    }
    /// Whether archspec does not have it: then only a processor's model number tells it.
    #[must_use]
    pub fn is_by_model_only(&self) -> bool {
        self.by_model_only
    }
    /// Whether it is a vendor-neutral level such as `x86_64_v3`.
    #[must_use]
    pub fn is_generic(&self) -> bool {
        self.vendor == "generic"
    }
}

/// How OCI names the platform that a target belongs to (image-spec, `platform`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OciPlatform {
    /// Always `linux`: archspec's targets say nothing of the operating system.
    pub os: &'static str,
    /// `amd64`, `arm64`, `ppc64le`, `riscv64`, ...
    pub architecture: String,
    /// `v2`, `v3` or `v4` for amd64 targets of that level; none otherwise.
    pub variant: Option<&'static str>,
}

/// The graph of CPU targets.
#[derive(Debug, Clone)]
pub struct Microarchitectures {
    pub(crate) targets: Vec<Microarchitecture>,
    /// Folded spelling → position.
    pub(crate) spellings: HashMap<String, u16>,
    /// Edges vouched for by the site: (from, to).
    pub(crate) fallbacks: Vec<(u16, u16)>,
    /// Most steps from row to column along parents.
    pub(crate) lineage: Vec<u16>,
    /// The same along parents and fallback edges.
    pub(crate) reach: Vec<u16>,
    /// How many targets each descends from by parents.
    pub(crate) depths: Vec<usize>,
    pub(crate) fingerprint: u64,
}

impl Microarchitectures {
    /// archspec's targets with the overlay. Built once, shared by all.
    #[must_use]
    pub fn builtin() -> Arc<Self> {
        static BUILTIN: OnceLock<Arc<Microarchitectures>> = OnceLock::new();
        Arc::clone(BUILTIN.get_or_init(|| Arc::new(Self::load())))
    }

    pub(crate) fn at(&self, slot: u16) -> Option<&Microarchitecture> {
        self.targets.get(usize::from(slot))
    }

    /// Position here of a target that this or another graph made.
    fn slot(&self, target: &Target) -> Option<u16> {
        let hinted = self.at(target.slot())?;
        if hinted.target.same_allocation(target) || hinted.target == *target {
            return Some(target.slot());
        }
        let slot = *self.spellings.get(&fold(target.as_str()))?;
        self.at(slot)
            .filter(|entry| entry.target == *target)
            .map(|_| slot)
    }

    fn cell(&self, table: &[u16], from: &Target, to: &Target) -> Option<u16> {
        let (from, to) = (usize::from(self.slot(from)?), usize::from(self.slot(to)?));
        table
            .get(from * self.targets.len() + to)
            .copied()
            .filter(|steps| *steps != NONE)
    }

    /// A number that differs, but for chance, between graphs by which anything is judged
    /// otherwise, and is the same everywhere for the same graph.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// All targets, each after its parents.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Microarchitecture> + Clone {
        self.targets.iter()
    }

    /// The data of a target; `None` when this graph does not have it.
    #[must_use]
    pub fn get(&self, target: &Target) -> Option<&Microarchitecture> {
        self.slot(target).and_then(|slot| self.at(slot))
    }

    /// Whether `target` is `other` or descends from it by archspec's edges.
    #[must_use]
    pub fn descends_from(&self, target: &Target, other: &Target) -> bool {
        self.cell(&self.lineage, target, other).is_some()
    }

    /// Whether builds for `other` run on `target`: it descends from it, or the site
    /// vouches for it by a fallback edge.
    #[must_use]
    pub fn runs(&self, target: &Target, other: &Target) -> bool {
        self.distance(target, other).is_some()
    }

    /// The distance from `target` up to `other`: 0 for itself, the most steps by which it can be
    /// reached, `None` when builds for `other` do not run on `target`. If b lies between a and c
    /// then b is nearer to a than c is.
    #[must_use]
    pub fn distance(&self, target: &Target, other: &Target) -> Option<u16> {
        self.cell(&self.reach, target, other)
    }

    /// The targets whose builds run on `target`, itself not included, nearest first,
    /// then those with the longer line of their own, then by name.
    #[must_use]
    pub fn ancestors(&self, target: &Target) -> Vec<Target> {
        let mut found: Vec<(u16, usize, &Target)> = self
            .targets
            .iter()
            .filter(|entry| entry.target != *target)
            .filter_map(|entry| {
                let steps = self.distance(target, &entry.target)?;
                Some((steps, self.depth(&entry.target), &entry.target))
            })
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)).then(a.2.cmp(b.2)));
        found
            .into_iter()
            .map(|(_, _, target)| target.clone())
            .collect()
    }

    /// How many targets `target` descends from by archspec's edges: a measure of how
    /// much it demands, with which archspec itself ranks.
    #[must_use]
    pub fn depth(&self, target: &Target) -> usize {
        self.slot(target)
            .and_then(|slot| self.depths.get(usize::from(slot)).copied())
            .unwrap_or(0)
    }

    /// The root that a target descends from: `x86_64`, `aarch64`, `ppc64le`, ...
    #[must_use]
    pub fn family(&self, target: &Target) -> Target {
        let mut current = target;
        while let Some(parent) = self.get(current).and_then(|entry| entry.parents.first()) {
            current = parent;
        }
        current.clone()
    }

    /// The vendor-neutral level of a target, as archspec reckons: of itself and its
    /// ancestors the generic one that demands most (`x86_64_v3` for `zen3`).
    #[must_use]
    pub fn generic(&self, target: &Target) -> Target {
        self.targets
            .iter()
            .filter(|entry| entry.is_generic() && self.descends_from(target, &entry.target))
            .max_by_key(|entry| self.depth(&entry.target))
            .map_or_else(|| target.clone(), |entry| entry.target.clone())
    }

    /// The architectures whose programs a target runs, as OCI names them: its own, then others
    /// that it is known to run, such as `386` on every `x86_64` and `arm` on those Arm cores
    /// that have AArch32. A target of a vendor-neutral level runs what every machine of that
    /// level runs.
    #[must_use]
    pub fn architectures(&self, target: &Target) -> Vec<String> {
        let others = self.get(target).map(|known| known.also_runs.clone());
        let mut all = vec![self.oci_platform(target).architecture];
        all.extend(others.unwrap_or_default());
        all
    }

    /// Whether a target runs programs of an architecture, as OCI names it.
    #[must_use]
    pub fn runs_architecture(&self, target: &Target, architecture: &str) -> bool {
        self.architectures(target)
            .iter()
            .any(|own| own == architecture)
    }

    /// How OCI names the platform of a target.
    #[must_use]
    pub fn oci_platform(&self, target: &Target) -> OciPlatform {
        let variant = match self.generic(target).as_str() {
            "x86_64_v2" => Some("v2"),
            "x86_64_v3" => Some("v3"),
            "x86_64_v4" => Some("v4"),
            _ => None,
        };
        let family = self.family(target);
        OciPlatform {
            os: "linux",
            architecture: names::oci_architecture(family.as_str()).to_owned(),
            variant,
        }
    }
}
