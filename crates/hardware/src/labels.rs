//! Requirements that a publisher wrote elsewhere than in `platform.features`: the OCI
//! platform itself, and annotations or labels by the HPC conventions. It reads what is
//! written and checks nothing against the image.

use serde::Serialize;

use crate::feature::Feature;
use crate::graph::Microarchitectures;
use crate::target::Target;

/// A requirement and where it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stated {
    /// The requirement.
    pub feature: Feature,
    /// The label's key, or `platform.variant`.
    pub at: String,
}

/// Label (after its prefix), the feature's key, and what stands before the value.
/// The conventions were never finished and their sources disagree, hence the aliases.
const LABELS: &[(&str, &str, &str)] = &[
    ("cpu.target", "arch", ""),
    ("cpu.model", "arch", ""),
    ("hardware.cpu.target.microarch", "arch", ""),
    ("hardware.cpu.optimized.version", "arch", ""),
    ("hardware.gpu.cuda.version", "cuda", ""),
    ("hardware.gpu.driver.version", "driver", ""),
    ("mpi.implementation", "mpi", ""),
    ("mpi.provider", "mpi", ""),
    ("openmpi.version", "mpi", "openmpi-"),
    ("mpich.version", "mpi", "mpich-"),
    ("glibc.version", "glibc", ""),
];

const PREFIXES: &[&str] = &["org.supercontainers.", "io.archspec."];

impl Microarchitectures {
    /// The target that an OCI platform names: `amd64` with variant `v3` is `x86_64_v3`,
    /// without one `x86_64`. A variant that names no target leaves the architecture's.
    /// `None` when the architecture is unknown.
    #[must_use]
    pub fn of_oci_platform(&self, architecture: &str, variant: Option<&str>) -> Option<Target> {
        variant
            .and_then(|variant| self.look_up(&format!("{architecture}/{variant}"))?.ok())
            .or_else(|| self.look_up(architecture)?.ok())
    }
}

/// The requirements that an OCI platform states by its variant (image-spec, `platform`);
/// none for the base of an architecture, which every machine of it runs.
#[must_use]
pub fn from_platform(architecture: &str, variant: Option<&str>) -> Option<Stated> {
    let graph = Microarchitectures::builtin();
    let target = graph.of_oci_platform(architecture, variant)?;
    (graph.depth(&target) > 0).then(|| Stated {
        feature: Feature::of_target(&target),
        at: "platform.variant".to_owned(),
    })
}

/// The requirements that annotations or labels state, in the labels' order. What cannot
/// be read as its key demands (a CPU that archspec does not know) is left out.
pub fn from_labels<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Stated> {
    let mut stated: Vec<Stated> = Vec::new();
    for (label, value) in labels {
        let Some(name) = PREFIXES
            .iter()
            .find_map(|prefix| label.strip_prefix(prefix))
        else {
            continue;
        };
        if name == "hardware.gpu.architecture" {
            let key = if value.starts_with("gfx") {
                "gfx"
            } else {
                "cc"
            };
            stated.extend(read(key, value, label));
        }
        for (_, key, before) in LABELS.iter().filter(|(known, ..)| *known == name) {
            stated.extend(read(key, &format!("{before}{}", value.trim()), label));
        }
    }
    stated.dedup_by(|a, b| a.feature == b.feature);
    stated
}

fn read(key: &str, value: &str, at: &str) -> Option<Stated> {
    let feature = Feature::new(key, value)
        .ok()
        .filter(Feature::is_understood)?;
    Some(Stated {
        feature,
        at: at.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("amd64", Some("v3"), Some("arch:x86_64_v3"))]
    #[case("amd64", Some("v1"), None)]
    #[case("amd64", None, None)]
    #[case("arm64", Some("v8"), None)]
    #[case("arm64", Some("v8.2"), Some("arch:armv8.2a"))]
    #[case("arm64", Some("v9"), Some("arch:armv9.0a"))]
    #[case("ppc64le", Some("power9"), Some("arch:power9le"))]
    #[case("s390x", None, None)]
    fn a_platforms_variant_states_a_cpu_target(
        #[case] architecture: &str,
        #[case] variant: Option<&str>,
        #[case] feature: Option<&str>,
    ) {
        let stated = from_platform(architecture, variant).map(|s| s.feature.to_string());
        assert_eq!(stated.as_deref(), feature);
    }

    #[test]
    fn labels_of_the_hpc_conventions_state_requirements() {
        let labels = [
            ("io.archspec.cpu.target", "zen3"),
            (
                "org.supercontainers.hardware.cpu.target.microarch",
                "znver3",
            ),
            ("org.supercontainers.hardware.gpu.cuda.version", "12.4"),
            ("org.supercontainers.hardware.gpu.architecture", "sm_80"),
            ("org.supercontainers.openmpi.version", "4.1.5"),
            ("org.supercontainers.mpi.implementation", "something"),
            ("org.opencontainers.image.version", "1"),
        ];
        let stated: Vec<String> = from_labels(labels)
            .iter()
            .map(|stated| stated.feature.to_string())
            .collect();
        assert_eq!(
            stated,
            ["arch:zen3", "cuda:12.4", "cc:sm_80", "mpi:openmpi-4.1.5"]
        );
    }
}
