//! Detects what a node provides from files below a given root: CPU target, GPUs, fabrics,
//! libraries, kernel. Anything absent is left out and is never an error. It starts no program and
//! uses no network: callers pass in the output of tools as text.

mod cpu;
mod cpuid;
mod cpuinfo;
mod exempt;
mod facts;
mod gpu;
mod host;
mod models;
mod node;
mod root;
mod tools;

pub use cpu::{CpuFinding, Masked, cpu};
pub use cpuid::{CpuidFacts, Registers, read_cpuid};
pub use cpuinfo::Cpuinfo;
pub use facts::Fact;
pub use node::{DetectOptions, Node, detect};
pub use root::Root;
pub use tools::{NvmlAnswers, ToolOutputs};

/// The flags whose absence is forgiven, and why.
#[cfg(test)]
pub(crate) fn never_emitted() -> &'static [(&'static str, &'static str)] {
    exempt::NEVER_EMITTED
}
