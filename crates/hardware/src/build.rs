//! Builds a [`Microarchitectures`] from archspec's schema, the overlay and a site's [`Extension`],
//! with the table of distances that makes every later question a look-up. It never decides what
//! fits.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::OnceLock;

use archspec::schema::{Microarchitecture as Schema, MicroarchitecturesSchema};
use serde::Deserialize;

use crate::extension::{Extension, ExtensionError, NewTarget};
use crate::graph::{Microarchitecture, Microarchitectures, NONE};
use crate::names::{self, fold};
use crate::target::Target;

/// Distances are kept for every pair, so the number of targets has a bound.
const MOST_TARGETS: usize = 2_000;

/// Data beyond the crate's.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Overlay {
    /// archspec's targets that the crate lacks or has differently.
    pub(crate) microarchitectures: BTreeMap<String, NewTarget>,
    /// Targets that archspec does not have. They are detected by the processor's model
    /// number only, so that archspec's rule is archspec's.
    pub(crate) own: BTreeMap<String, NewTarget>,
    /// Architectures, as OCI names them, that a target runs besides its own.
    pub(crate) also_runs: BTreeMap<String, Vec<String>>,
    /// RISC-V: the extensions without which a machine is not the target.
    pub(crate) riscv_extensions: BTreeMap<String, Vec<String>>,
    /// Folded names of processors and machines that are no target, and a target whose programs
    /// they run for certain.
    pub(crate) hints: BTreeMap<String, String>,
}

/// The overlay as shipped; a test holds that it parses, and that each entry is new
/// or differs from the crate's.
pub(crate) fn overlay() -> &'static Overlay {
    static OVERLAY: OnceLock<Overlay> = OnceLock::new();
    OVERLAY.get_or_init(|| {
        serde_json::from_str(include_str!("../data/overlay.json")).unwrap_or_default()
    })
}

pub(crate) fn from_schema(entry: &Schema) -> NewTarget {
    NewTarget {
        from: entry.from.clone(),
        vendor: entry.vendor.clone(),
        features: entry.features.clone(),
        cpupart: entry.cpupart.clone(),
        generation: entry.generation.and_then(|g| u32::try_from(g).ok()),
        also_runs: None,
    }
}

/// Linux lists `sse3` as `pni`, archspec mostly leaves it out: SSSE3 implies it.
pub(crate) fn with_implied(flags: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    let mut flags: BTreeSet<String> = flags.into_iter().collect();
    if flags.contains("ssse3") || flags.contains("pni") {
        flags.insert("sse3".to_owned());
    }
    flags
}

impl Microarchitectures {
    pub(crate) fn load() -> Self {
        let base = &MicroarchitecturesSchema::schema().microarchitectures;
        let mut data: BTreeMap<String, NewTarget> = base
            .iter()
            .map(|(name, entry)| (name.clone(), from_schema(entry)))
            .collect();
        let overlay = overlay();
        data.extend(overlay.microarchitectures.clone());
        data.extend(overlay.own.clone());
        for (name, architectures) in &overlay.also_runs {
            if let Some(entry) = data.get_mut(name) {
                entry.also_runs = Some(architectures.clone());
            }
        }
        let mut graph = Self {
            targets: Vec::new(),
            spellings: HashMap::new(),
            fallbacks: Vec::new(),
            lineage: Vec::new(),
            reach: Vec::new(),
            depths: Vec::new(),
            fingerprint: 0,
        };
        // A target that cannot be placed (it names a parent that does not exist) is left out; a
        // test verifies that there is none.
        let _unplaced = graph.place(data);
        for (synonym, target) in names::SYNONYMS {
            if let Some(&slot) = graph.spellings.get(&fold(target)) {
                graph.spellings.entry((*synonym).to_owned()).or_insert(slot);
            }
        }
        graph.lineage = graph.distances(&[]).unwrap_or_default();
        graph.reach = graph.lineage.clone();
        graph.depths = graph.count_ancestors();
        graph.fingerprint = graph.take_fingerprint();
        graph
    }

    /// Adds targets, parents before children; returns what could not be added.
    fn place(&mut self, mut data: BTreeMap<String, NewTarget>) -> BTreeMap<String, NewTarget> {
        loop {
            let ready: Vec<String> = data
                .iter()
                .filter(|(_, entry)| {
                    entry
                        .from
                        .iter()
                        .all(|parent| matches!(self.look_up(parent), Some(Ok(_))))
                })
                .map(|(name, _)| name.clone())
                .collect();
            if ready.is_empty() {
                return data;
            }
            for name in ready {
                let Some(entry) = data.remove(&name) else {
                    continue;
                };
                let Ok(slot) = u16::try_from(self.targets.len()) else {
                    continue;
                };
                let parents: Vec<Target> = entry
                    .from
                    .iter()
                    .filter_map(|p| self.look_up(p)?.ok())
                    .collect();
                let also_runs = entry.also_runs.unwrap_or_else(|| self.run_by_all(&parents));
                self.spellings.insert(fold(&name), slot);
                self.targets.push(Microarchitecture {
                    target: Target::new(&name, slot),
                    parents,
                    also_runs,
                    by_model_only: overlay().own.contains_key(&name),
                    vendor: entry.vendor,
                    features: with_implied(entry.features),
                    generation: entry.generation,
                    cpu_part: entry.cpupart,
                });
            }
        }
    }

    /// The architectures that all of some targets run besides their own.
    fn run_by_all(&self, targets: &[Target]) -> Vec<String> {
        let mut lists = targets
            .iter()
            .map(|target| self.get(target).map_or(&[][..], |known| &known.also_runs));
        let first = lists.next().unwrap_or_default().to_vec();
        lists.fold(first, |mut common, other| {
            common.retain(|architecture| other.contains(architecture));
            common
        })
    }

    /// This graph with a site's additions.
    ///
    /// # Errors
    /// When a name is taken or unknown, or an edge would close a circle.
    pub fn extend(&self, extension: &Extension) -> Result<Self, ExtensionError> {
        let mut graph = self.clone();
        for name in extension.targets.keys() {
            graph.free(name)?;
        }
        if graph.targets.len() + extension.targets.len() > MOST_TARGETS {
            return Err(ExtensionError::TooMany { most: MOST_TARGETS });
        }
        let unplaced = graph.place(extension.targets.clone());
        for (name, entry) in &unplaced {
            for parent in &entry.from {
                let new = unplaced.keys().any(|other| fold(other) == fold(parent));
                if let (false, Err(source)) = (new, graph.find(parent)) {
                    return Err(ExtensionError::Refers {
                        what: "target",
                        name: name.clone(),
                        source: Box::new(source),
                    });
                }
            }
        }
        if !unplaced.is_empty() {
            return Err(ExtensionError::Circle {
                names: unplaced.into_keys().collect(),
            });
        }
        for (alias, means) in &extension.aliases {
            graph.free(alias)?;
            let target = graph.refer("alias", alias, means)?;
            graph.spellings.insert(fold(alias), target.slot());
        }
        for (from, list) in &extension.fallbacks {
            let source = graph.refer("fallback", from, from)?;
            for to in list {
                let target = graph.refer("fallback", from, to)?;
                graph.fallbacks.push((source.slot(), target.slot()));
            }
        }
        graph.lineage = graph.distances(&[])?;
        graph.reach = graph.distances(&graph.fallbacks)?;
        graph.depths = graph.count_ancestors();
        graph.fingerprint = graph.take_fingerprint();
        Ok(graph)
    }

    fn free(&self, name: &str) -> Result<(), ExtensionError> {
        let folded = fold(name);
        if folded.is_empty() {
            return Err(ExtensionError::BadName {
                name: name.to_owned(),
            });
        }
        match self.spellings.get(&folded).and_then(|slot| self.at(*slot)) {
            Some(known) => Err(ExtensionError::Taken {
                name: name.to_owned(),
                means: known.target.to_string(),
            }),
            None => Ok(()),
        }
    }

    fn refer(&self, what: &'static str, name: &str, to: &str) -> Result<Target, ExtensionError> {
        self.find(to).map_err(|source| ExtensionError::Refers {
            what,
            name: name.to_owned(),
            source: Box::new(source),
        })
    }

    /// The most steps between every two targets. "Most" keeps the order of the graph: a target
    /// between two others is always nearer than the farther one.
    fn distances(&self, extra: &[(u16, u16)]) -> Result<Vec<u16>, ExtensionError> {
        let count = self.targets.len();
        let mut table = vec![NONE; count * count];
        let parents: Vec<BTreeSet<usize>> = self
            .targets
            .iter()
            .enumerate()
            .map(|(slot, entry)| {
                let vouched = extra
                    .iter()
                    .filter(|(from, _)| usize::from(*from) == slot)
                    .map(|(_, to)| *to);
                entry
                    .parents
                    .iter()
                    .map(Target::slot)
                    .chain(vouched)
                    .map(usize::from)
                    .collect()
            })
            .collect();
        let mut done = vec![false; count];
        loop {
            let ready: Vec<usize> = parents
                .iter()
                .enumerate()
                .filter(|(slot, of)| {
                    done.get(*slot) == Some(&false)
                        && of.iter().all(|p| done.get(*p) == Some(&true))
                })
                .map(|(slot, _)| slot)
                .collect();
            if ready.is_empty() {
                break;
            }
            for slot in ready {
                let mut row = vec![NONE; count];
                for parent in parents.get(slot).into_iter().flatten() {
                    let start = parent * count;
                    let above = table.get(start..start + count).into_iter().flatten();
                    for (mine, &theirs) in row.iter_mut().zip(above) {
                        if theirs != NONE && (*mine == NONE || *mine < theirs + 1) {
                            *mine = theirs + 1;
                        }
                    }
                }
                if let Some(own) = row.get_mut(slot) {
                    *own = 0;
                }
                if let Some(place) = table.get_mut(slot * count..(slot + 1) * count) {
                    place.copy_from_slice(&row);
                }
                if let Some(mark) = done.get_mut(slot) {
                    *mark = true;
                }
            }
        }
        let stuck: Vec<String> = self
            .targets
            .iter()
            .zip(&done)
            .filter(|(_, done)| !**done)
            .map(|(entry, _)| entry.target.to_string())
            .collect();
        if stuck.is_empty() {
            Ok(table)
        } else {
            Err(ExtensionError::Circle { names: stuck })
        }
    }

    /// FNV-1a over all that decisions are made by. The standard library's hashes may change
    /// from release to release, and this one is kept with derived content.
    fn take_fingerprint(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut add = |text: &str| {
            for byte in text.bytes().chain([0]) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        for entry in &self.targets {
            add(entry.target.as_str());
            add(&entry.vendor);
            entry.parents.iter().for_each(|parent| add(parent.as_str()));
            add("");
            entry.features.iter().for_each(|flag| add(flag));
            add("");
            entry.also_runs.iter().for_each(|other| add(other));
        }
        let spellings: BTreeMap<&String, &u16> = self.spellings.iter().collect();
        for (spelling, slot) in spellings {
            add(spelling);
            add(&slot.to_string());
        }
        for (from, to) in &self.fallbacks {
            add(&format!("{from} {to}"));
        }
        hash
    }

    fn count_ancestors(&self) -> Vec<usize> {
        self.lineage
            .chunks(self.targets.len().max(1))
            .map(|row| {
                row.iter()
                    .filter(|steps| **steps != NONE && **steps != 0)
                    .count()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_overlay_holds_only_what_the_crate_lacks_or_has_differently() {
        let overlay = overlay();
        let parsed = serde_json::from_str::<Overlay>(include_str!("../data/overlay.json"));
        assert!(parsed.is_ok(), "data/overlay.json does not parse");
        let base = &MicroarchitecturesSchema::schema().microarchitectures;
        let facts = |mut entry: NewTarget| {
            entry.features.sort();
            entry
        };
        for (name, entry) in &overlay.microarchitectures {
            let same = base
                .get(name)
                .is_some_and(|old| facts(from_schema(old)) == facts(entry.clone()));
            assert!(
                !same,
                "{name} is in the archspec crate as it is: run scripts/archspec-overlay"
            );
        }
        for name in overlay.own.keys() {
            let theirs = base.contains_key(name) || overlay.microarchitectures.contains_key(name);
            assert!(!theirs, "archspec has {name} now: remove MetaHub's own");
        }
    }

    #[test]
    fn what_the_overlay_says_is_said_of_known_targets() {
        let graph = Microarchitectures::builtin();
        let overlay = overlay();
        let named = overlay
            .also_runs
            .keys()
            .chain(overlay.riscv_extensions.keys());
        for name in named.chain(overlay.hints.values()) {
            assert_eq!(graph.find(name).unwrap().as_str(), name);
        }
        for hint in overlay.hints.keys() {
            assert_eq!(fold(hint), *hint);
            assert!(graph.look_up(hint).is_none(), "{hint} is a target's name");
        }
    }

    #[test]
    fn every_target_of_the_crate_and_the_overlay_finds_its_place() {
        let graph = Microarchitectures::builtin();
        let base = &MicroarchitecturesSchema::schema().microarchitectures;
        let overlay = overlay();
        let newer = overlay.microarchitectures.keys().chain(overlay.own.keys());
        let names: BTreeSet<&String> = base.keys().chain(newer).collect();
        assert_eq!(graph.iter().count(), names.len());
        for name in names {
            let target = graph.find(name).unwrap();
            assert_eq!(target.as_str(), name);
            let known = graph.get(&target).unwrap();
            let from = overlay
                .own
                .get(name)
                .or_else(|| overlay.microarchitectures.get(name))
                .map_or_else(|| &base[name].from, |entry| &entry.from);
            let parents: Vec<&str> = known.parents().iter().map(Target::as_str).collect();
            assert_eq!(&parents, from);
        }
    }

    #[test]
    fn every_synonym_means_a_known_target_and_hides_none() {
        let graph = Microarchitectures::builtin();
        let canonical: BTreeSet<String> = graph
            .iter()
            .map(|entry| fold(entry.target().as_str()))
            .collect();
        assert_eq!(
            canonical.len(),
            graph.iter().count(),
            "two targets fold to one spelling"
        );
        let mut seen = BTreeSet::new();
        for (synonym, target) in names::SYNONYMS {
            assert_eq!(fold(synonym), *synonym, "{synonym} is not folded");
            assert!(seen.insert(synonym), "{synonym} stands twice");
            assert!(
                !canonical.contains(*synonym),
                "{synonym} is a target itself"
            );
            assert_eq!(graph.find(synonym).unwrap().as_str(), *target);
        }
    }
}
