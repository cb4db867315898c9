//! Probes of the running node, for `metahub_hardware::detect`: the output of its tools, NVIDIA's
//! management library, and on request the cloud's metadata service. Anything absent is left out;
//! nothing here fails, and nothing waits for long. It decides nothing: texts are passed on
//! unchanged, and detection parses them.

mod ancestors;
mod cloud;
#[cfg(not(target_env = "musl"))]
mod nvml;
mod tools;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use metahub_hardware::detect::DetectOptions;

pub use cloud::{Cloud, MetadataService};

/// Set for every tool that is run. A tool may be set up to run this program again, as a Slurm
/// `cli_filter` does that asks for a login: with it, no tool is run a second time.
pub const PROBING: &str = "METAHUB_PROBING";

/// The sources to query, and their time limits.
#[derive(Debug, Clone)]
pub struct Probe {
    /// Where tools are looked for, written as `$PATH` is; none are run without it, nor when
    /// this program was itself started by a tool that a probe runs ([`PROBING`]).
    pub path: Option<OsString>,
    /// The library to load for NVML; without one, wherever the system finds
    /// `libnvidia-ml.so.1`. A static program of musl loads none.
    pub nvml: Option<PathBuf>,
    /// The clouds' metadata services to ask, none unless told to.
    pub clouds: Vec<MetadataService>,
    /// How long one tool, or one service, may take in all.
    pub patience: Duration,
}

impl Default for Probe {
    /// The tools on `$PATH` and NVML; no cloud. No tools where one of them started this.
    fn default() -> Self {
        let probing = std::env::var_os(PROBING).is_some();
        Self {
            path: std::env::var_os("PATH").filter(|_| !probing),
            nvml: None,
            clouds: Vec::new(),
            patience: Duration::from_secs(5),
        }
    }
}

impl Probe {
    /// Asks all, and returns what detection takes.
    #[must_use]
    pub fn ask(&self) -> DetectOptions {
        let path = self.path.as_deref();
        let mut outputs = path.map_or_else(Default::default, |p| tools::ask(p, self.patience));
        #[cfg(not(target_env = "musl"))]
        {
            outputs.nvml = nvml::ask(self.nvml.as_deref());
        }
        DetectOptions {
            tools: outputs,
            cloud: !self.clouds.is_empty(),
            instance: cloud::ask(&self.clouds, self.patience),
            ..DetectOptions::default()
        }
    }
}
