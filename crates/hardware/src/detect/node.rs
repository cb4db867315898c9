//! Everything that detection finds out about a node, each fact with its source.

use std::fmt;

use serde::Serialize;

use super::cpu::{CpuFinding, cpu};
use super::cpuinfo::Cpuinfo;
use super::facts::{Fact, Facts};
use super::root::Root;
use super::tools::ToolOutputs;
use super::{cpuid, gpu, host};
use crate::feature::Feature;
use crate::graph::Microarchitectures;

/// What to look for, and facts found by other means.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DetectOptions {
    /// The machine as `uname -m` names it, when the caller knows.
    pub machine: Option<String>,
    /// Read this text instead of `/proc/cpuinfo`; the running processor is not asked.
    pub cpuinfo: Option<String>,
    /// State the cloud's instance type as the firmware gives it.
    pub cloud: bool,
    /// The cloud's instance type, if the caller requested it.
    pub instance: Option<String>,
    /// What tools printed.
    pub tools: ToolOutputs,
}

/// A node as detected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Its CPU; none when the architecture is unknown.
    pub cpu: Option<CpuFinding>,
    /// All its features, CPU target first.
    pub facts: Vec<Fact>,
}

impl Node {
    /// The features, as a profile would provide them.
    pub fn features(&self) -> impl Iterator<Item = &Feature> {
        self.facts.iter().map(|fact| &fact.feature)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fact in &self.facts {
            writeln!(f, "{}  ({})", fact.feature, fact.from)?;
        }
        match &self.cpu {
            Some(cpu) if cpu.mixed_cores || !cpu.masked.is_empty() => writeln!(f, "CPU: {cpu}"),
            _ => Ok(()),
        }
    }
}

/// Finds out what the node below `root` provides.
#[must_use]
pub fn detect(root: &Root, graph: &Microarchitectures, options: &DetectOptions) -> Node {
    let mut facts = Facts::default();
    let cpu = find_cpu(root, graph, options);
    if let Some(found) = &cpu {
        facts.push(Feature::of_target(&found.target), "/proc/cpuinfo");
    }
    // Tools know more than files; where both speak, the tool's word is noted.
    options.tools.read(&mut facts);
    gpu::nvidia(root, &mut facts);
    gpu::amd(root, &mut facts);
    gpu::intel(root, &mut facts);
    host::fabrics(root, &mut facts);
    host::libraries(root, &mut facts);
    host::slurm(root, &mut facts);
    host::glibc(root, &mut facts);
    host::kernel(root, &mut facts);
    host::smt(root, &mut facts);
    if let Some(instance) = &options.instance {
        facts.add("instance", instance, "the cloud's metadata service");
    } else if options.cloud {
        host::instance(root, &mut facts);
    }
    Node {
        cpu,
        facts: facts.into_list(),
    }
}

/// The machine that this program was compiled for, as `uname -m` names it.
fn own_machine() -> &'static str {
    match std::env::consts::ARCH {
        "powerpc64" if cfg!(target_endian = "little") => "powerpc64le",
        other => other,
    }
}

fn find_cpu(
    root: &Root,
    graph: &Microarchitectures,
    options: &DetectOptions,
) -> Option<CpuFinding> {
    let given = options.cpuinfo.is_some();
    let text = options
        .cpuinfo
        .clone()
        .or_else(|| root.text("/proc/cpuinfo"));
    let mut info = Cpuinfo::parse(&text.unwrap_or_default());
    let running = root.is_live() && !given;
    let machine = options
        .machine
        .clone()
        .or_else(|| info.machine().filter(|_| given).map(str::to_owned))
        .or_else(|| root.text("/proc/sys/kernel/arch").filter(|_| !given))
        .or_else(|| {
            (!given)
                .then(|| host::machine_of_release(root))?
                .map(str::to_owned)
        })
        .or_else(|| info.machine().map(str::to_owned))
        .or_else(|| (info.is_power() && !given && !running).then(|| host::power_order(root))?)
        .or_else(|| running.then(|| own_machine().to_owned()))?;
    if let (true, "x86_64", Some(facts)) = (running, machine.as_str(), cpuid::live()) {
        info = info.confirmed_by(&facts);
    }
    cpu(&info, &machine, graph)
}
