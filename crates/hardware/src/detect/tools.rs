//! What a node's own tools print, read into facts. Whoever calls runs the tools (or does
//! not); here are only texts.

use super::node::Facts;

/// Outputs of tools; those that are absent are passed over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolOutputs {
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

fn is_version(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-')
}
