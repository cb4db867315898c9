//! The CPU target of a machine: archspec's rule over the flags that every core has. Where a
//! hypervisor hides flags that no compiler emits, it is the target that family and model name, if
//! and only if all other flags of that target are present. It errs on the safe side: a target that
//! it names runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use archspec::schema::MicroarchitecturesSchema;
use serde::Serialize;

use super::cpuinfo::Cpuinfo;
use super::{exempt, models};
use crate::build::{overlay, with_implied};
use crate::graph::{Microarchitecture, Microarchitectures};
use crate::target::Target;

/// A flag that a target should have and the machine does not show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Masked {
    /// The flag, as `/proc/cpuinfo` writes it.
    pub flag: String,
    /// Why programs for the target run without it.
    pub why: &'static str,
}

/// The detected facts of a CPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CpuFinding {
    /// The most specific target whose programs this machine runs.
    pub target: Target,
    /// What archspec's rule alone says.
    pub by_flags: Target,
    /// Why `target` is more than `by_flags`: flags hidden, each with the reason why that
    /// is safe. Empty when both are the same, or when its model number alone tells it.
    pub masked: Vec<Masked>,
    /// Whether cores of different kinds were reduced to what they have in common.
    pub mixed_cores: bool,
}

impl fmt::Display for CpuFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.target)?;
        if self.mixed_cores {
            f.write_str(", which is what its different cores have in common")?;
        }
        if !self.masked.is_empty() {
            write!(
                f,
                "; its flags alone say {}, for these are hidden:",
                self.by_flags
            )?;
            for masked in &self.masked {
                write!(f, " {} ({})", masked.flag, masked.why)?;
            }
        }
        Ok(())
    }
}

/// One kind of core, as archspec's rule looks at it.
struct Core {
    vendor: String,
    /// The vendor whose targets its numbers name: the maker, or the designer of the core.
    designer: String,
    /// Arm.
    part: Option<String>,
    /// Power.
    generation: u32,
    /// RISC-V.
    name: Option<String>,
    /// RISC-V's extensions; none when they are not stated.
    extensions: Option<BTreeSet<String>>,
    /// The target that its numbers name.
    model: Option<Target>,
}

/// The CPU target of a machine whose `/proc/cpuinfo` is `info` and whose `uname -m` is
/// `machine`. `None` when the machine's architecture is unknown, or a core does not have
/// what every program for that architecture is compiled for (RISC-V without `c` or `d`).
#[must_use]
pub fn cpu(info: &Cpuinfo, machine: &str, graph: &Microarchitectures) -> Option<CpuFinding> {
    let root = graph.look_up(machine)?.ok()?;
    let (key, flags) = match root.as_str() {
        "x86_64" => ("flags", with_implied(info.common("flags"))),
        "aarch64" => ("Features", info.common("Features")),
        "ppc64" | "ppc64le" => ("cpu", BTreeSet::new()),
        "riscv64" => ("isa", BTreeSet::new()),
        _ => ("", BTreeSet::new()),
    };
    let mut kinds = info.kinds(key);
    let nothing = BTreeMap::new();
    if kinds.is_empty() {
        kinds.push(&nothing);
    }
    let found: Option<Vec<CpuFinding>> = kinds
        .into_iter()
        .map(|block| {
            let core = core(block, info, root.as_str(), graph);
            if !core.may_be(&root) {
                return None;
            }
            let by_flags = by_rule(&core, &flags, &root, graph);
            Some(unmask(&core, &flags, by_flags, graph))
        })
        .collect();
    in_common(&found?, graph)
}

fn core(
    block: &BTreeMap<String, String>,
    info: &Cpuinfo,
    family: &str,
    graph: &Microarchitectures,
) -> Core {
    let get = |key: &str| {
        block
            .get(key)
            .map(String::as_str)
            .or_else(|| info.first(key))
    };
    let number = |key: &str| get(key).and_then(|text| text.parse::<u32>().ok());
    let mut core = Core {
        vendor: "generic".to_owned(),
        part: None,
        designer: "generic".to_owned(),
        generation: 0,
        name: None,
        extensions: None,
        model: None,
    };
    match family {
        "x86_64" => {
            core.vendor = get("vendor_id").unwrap_or("generic").to_owned();
            core.designer.clone_from(&core.vendor);
            core.model = match (number("cpu family"), number("model")) {
                (Some(family), Some(model)) => {
                    let stepping = number("stepping").unwrap_or(0);
                    models::x86(&core.vendor, family, model, stepping)
                        .and_then(|name| graph.look_up(name)?.ok())
                }
                _ => None,
            };
        }
        "aarch64" => {
            let vendors = &MicroarchitecturesSchema::schema().conversions.arm_vendors;
            if let Some(code) = get("CPU implementer") {
                core.vendor = vendors.get(code).map_or(code, String::as_str).to_owned();
                core.designer = models::arm_designer(code, &core.vendor).to_owned();
            }
            core.part = get("CPU part").map(str::to_owned);
            core.model = graph
                .iter()
                .find(|entry| {
                    core.part.is_some()
                        && entry.cpu_part() == core.part.as_deref()
                        && entry.vendor() == core.designer
                })
                .map(|entry| entry.target().clone());
        }
        "ppc64" | "ppc64le" => core.generation = get("cpu").map_or(0, power_generation),
        "riscv64" => {
            core.name = match (get("uarch"), get("model name")) {
                (Some("sifive,u74-mc"), _) => Some("u74mc".to_owned()),
                (Some("spacemit,x60"), _) | (_, Some("Spacemit(R) X60")) => Some("x60".to_owned()),
                (uarch, _) => uarch.map(str::to_owned),
            };
            core.extensions = get("isa").map(riscv_extensions);
        }
        _ => {}
    }
    core
}

impl Core {
    /// RISC-V: whether no extension that the target is compiled for is known to be missing. An
    /// extension that only one kind of core has must be stated.
    fn may_be(&self, target: &Target) -> bool {
        let Some(needed) = overlay().riscv_extensions.get(target.as_str()) else {
            return true;
        };
        match &self.extensions {
            Some(stated) => needed.iter().all(|extension| stated.contains(extension)),
            None => target.as_str() == "riscv64",
        }
    }
}

/// `rv64imafdcv_zicsr_zba` is `i`, `m`, `a`, `f`, `d`, `c`, `v`, `zicsr`, `zba`; `g` stands
/// for `imafd`.
fn riscv_extensions(isa: &str) -> BTreeSet<String> {
    let isa = isa.to_ascii_lowercase();
    let mut parts = isa.trim_start_matches("rv64").split('_');
    let base = parts.next().unwrap_or_default();
    // Names of several letters begin with one of these.
    let letters = base.find(['z', 's', 'x']).unwrap_or(base.len());
    let (letters, rest) = base.split_at_checked(letters).unwrap_or((base, ""));
    let general = if letters.contains('g') { "imafd" } else { "" };
    letters
        .chars()
        .chain(general.chars())
        .map(String::from)
        .chain(parts.chain([rest]).map(str::to_owned))
        .filter(|extension| !extension.is_empty())
        .collect()
}

/// `POWER9 (raw), altivec supported` is 9; 0 when no generation is named.
fn power_generation(cpu: &str) -> u32 {
    cpu.split("POWER")
        .skip(1)
        .find_map(|rest| {
            let digits = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            rest.get(..digits)?.parse().ok()
        })
        .unwrap_or(0)
}

/// archspec's rule: of the targets whose demands are met, those that descend from the
/// best generic one; of these the one with most ancestors, then most flags.
fn by_rule(
    core: &Core,
    flags: &BTreeSet<String>,
    root: &Target,
    graph: &Microarchitectures,
) -> Target {
    let compatible = |entry: &&Microarchitecture| {
        if !graph.descends_from(entry.target(), root) || entry.is_by_model_only() {
            return false;
        }
        let vendor = entry.is_generic() || entry.vendor() == core.vendor;
        match root.as_str() {
            "x86_64" => vendor && entry.features().is_subset(flags),
            // Generic Arm levels cannot be recognised by flags.
            "aarch64" if entry.is_generic() => entry.target() == root,
            "aarch64" => vendor && entry.features().is_subset(flags),
            "ppc64" | "ppc64le" => entry.generation().unwrap_or(0) <= core.generation,
            "riscv64" => {
                let named = core.name.as_deref() == Some(entry.target().as_str());
                (entry.is_generic() || named) && core.may_be(entry.target())
            }
            _ => entry.target() == root,
        }
    };
    let all: Vec<&Microarchitecture> = graph.iter().filter(compatible).collect();
    let demands = |entry: &&&Microarchitecture| {
        (
            graph.depth(entry.target()),
            entry.features().len(),
            entry.target().clone(),
        )
    };
    let Some(generic) = all
        .iter()
        .filter(|entry| entry.is_generic())
        .max_by_key(demands)
    else {
        return root.clone();
    };
    let of_part = |entry: &&&Microarchitecture| {
        core.part.is_some() && entry.cpu_part() == core.part.as_deref()
    };
    let part_known = all.iter().any(|entry| of_part(&entry));
    all.iter()
        .filter(|entry| !part_known || of_part(entry))
        .filter(|entry| {
            entry.target() != generic.target()
                && graph.descends_from(entry.target(), generic.target())
        })
        .max_by_key(demands)
        .map_or_else(|| generic.target().clone(), |entry| entry.target().clone())
}

/// The target that the core's numbers name, or the nearest of its line, when all that
/// is missing of it is what no compiler emits; and when that is more than the flags say.
fn unmask(
    core: &Core,
    flags: &BTreeSet<String>,
    by_flags: Target,
    graph: &Microarchitectures,
) -> CpuFinding {
    let line = core.model.iter().flat_map(|model| {
        std::iter::once(model.clone())
            .chain(graph.ancestors(model))
            .filter(|target| graph.descends_from(model, target))
    });
    for target in line {
        let Some(known) = graph.get(&target) else {
            continue;
        };
        let more = target != by_flags && graph.descends_from(&target, &by_flags);
        if known.vendor() != core.designer || !more {
            continue;
        }
        let masked: Option<Vec<Masked>> = known
            .features()
            .difference(flags)
            .map(|flag| {
                Some(Masked {
                    flag: flag.clone(),
                    why: exempt::reason(flag)?,
                })
            })
            .collect();
        if let Some(masked) = masked {
            return CpuFinding {
                target,
                by_flags,
                masked,
                mixed_cores: false,
            };
        }
    }
    CpuFinding {
        target: by_flags.clone(),
        by_flags,
        masked: Vec::new(),
        mixed_cores: false,
    }
}

/// Cores of different kinds run what all of them run.
fn in_common(found: &[CpuFinding], graph: &Microarchitectures) -> Option<CpuFinding> {
    let first = found.first()?;
    if found.iter().all(|other| other.target == first.target) {
        return Some(first.clone());
    }
    let shared = |of: fn(&CpuFinding) -> &Target| {
        graph
            .iter()
            .filter(|entry| {
                found
                    .iter()
                    .all(|f| graph.descends_from(of(f), entry.target()))
            })
            .max_by_key(|entry| (graph.depth(entry.target()), entry.target().clone()))
            .map(|entry| entry.target().clone())
    };
    let target = shared(|finding| &finding.target)?;
    let demanded = graph.get(&target)?.features();
    let masked: BTreeMap<&str, &Masked> = found
        .iter()
        .flat_map(|finding| &finding.masked)
        .filter(|masked| demanded.contains(&masked.flag))
        .map(|masked| (masked.flag.as_str(), masked))
        .collect();
    Some(CpuFinding {
        by_flags: shared(|finding| &finding.by_flags)?,
        masked: masked.into_values().cloned().collect(),
        target,
        mixed_cores: true,
    })
}
