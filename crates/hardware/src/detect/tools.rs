//! Parses the output of a node's own tools into facts. Running the tools is up to the caller.

use super::facts::Facts;

/// What NVIDIA's management library (NVML) answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NvmlAnswers {
    /// Version of the driver.
    pub driver: Option<String>,
    /// The highest CUDA version that the driver runs, such as `12.4`.
    pub cuda: Option<String>,
    /// Compute capability of each GPU, such as `9.0`.
    pub capabilities: Vec<String>,
    /// Brand of each GPU as `NVIDIA_REQUIRE_*` calls it, such as `tesla`.
    pub brands: Vec<String>,
}

/// Outputs of tools; those that are absent are passed over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolOutputs {
    /// NVML.
    pub nvml: Option<NvmlAnswers>,
    /// `nvidia-smi --query-gpu=driver_version,compute_cap --format=csv,noheader`
    pub nvidia_smi: Option<String>,
    /// `fi_info --version`
    pub fi_info: Option<String>,
    /// `mpichversion`
    pub mpichversion: Option<String>,
    /// `ompi_info --version`
    pub ompi_info: Option<String>,
    /// `srun --mpi=list`
    pub srun_mpi_list: Option<String>,
    /// `ldd --version`
    pub ldd: Option<String>,
}

impl ToolOutputs {
    pub(crate) fn read(&self, facts: &mut Facts) {
        let lines = |text: &'_ Option<String>| -> Vec<String> {
            text.iter()
                .flat_map(|text| text.lines())
                .map(|line| line.trim().to_owned())
                .collect()
        };
        if let Some(nvml) = &self.nvml {
            nvml.read(facts);
        }
        for line in lines(&self.nvidia_smi) {
            let Some((driver, capability)) = line.split_once(',') else {
                continue;
            };
            if is_version(driver.trim()) && is_version(capability.trim()) {
                facts.add("gpu", "nvidia", "nvidia-smi");
                facts.add("driver", driver.trim(), "nvidia-smi");
                facts.add("cc", capability.trim(), "nvidia-smi");
            }
        }
        let after = |text: &Option<String>, mark: &str| {
            lines(text)
                .iter()
                .find_map(|line| line.strip_prefix(mark))
                .map(|rest| rest.trim().to_owned())
                .filter(|version| is_version(version))
        };
        if let Some(version) = after(&self.fi_info, "libfabric:") {
            facts.add("libfabric", &version, "fi_info");
        }
        if let Some(version) = after(&self.mpichversion, "MPICH Version:") {
            facts.add("mpi", &format!("mpich-{version}"), "mpichversion");
        }
        if let Some(version) = after(&self.ompi_info, "Open MPI v") {
            facts.add("mpi", &format!("openmpi-{version}"), "ompi_info");
        }
        for word in lines(&self.srun_mpi_list)
            .iter()
            .flat_map(|line| line.split([' ', ',', '\t']))
        {
            match word.strip_prefix("pmix_v") {
                Some(version) if is_version(version) => facts.add("pmix", version, "srun"),
                _ if matches!(word, "pmi2" | "pmix" | "cray_shasta") => {
                    facts.add("pmi", word, "srun");
                }
                _ => {}
            }
        }
        let first = lines(&self.ldd).into_iter().next().unwrap_or_default();
        let glibc = ["GLIBC", "GNU libc", "GNU C Library"]
            .iter()
            .any(|name| first.contains(name));
        if let (true, Some(version)) = (glibc, first.rsplit(' ').next().filter(|w| is_version(w))) {
            facts.add("glibc", version, "ldd");
        }
    }
}

impl NvmlAnswers {
    fn read(&self, facts: &mut Facts) {
        let Some(driver) = self.driver.as_deref().filter(|text| is_version(text)) else {
            return;
        };
        // The library answers also where its driver has no GPU.
        if self.capabilities.is_empty() && self.brands.is_empty() {
            return;
        }
        facts.add("gpu", "nvidia", "nvml");
        facts.add("driver", driver, "nvml");
        if let Some(cuda) = self.cuda.as_deref().filter(|text| is_version(text)) {
            facts.add("cuda", cuda, "nvml");
        }
        for capability in self.capabilities.iter().filter(|text| is_version(text)) {
            facts.add("cc", capability, "nvml");
        }
        for brand in &self.brands {
            facts.add("brand", brand, "nvml");
        }
    }
}

fn is_version(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-')
}
