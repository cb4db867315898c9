//! What annotations and labels say by the conventions of high-performance computing, and
//! what the OCI platform says beside `platform.features`. It reads what is written and
//! checks nothing against the image.

use crate::feature::Feature;
use crate::graph::Microarchitectures;
use crate::keys::Key;
use crate::target::Target;

/// Prefixes of the conventions' labels.
const PREFIXES: &[&str] = &["org.supercontainers.", "io.archspec."];

/// Label (after its prefix), the feature's key, and what stands before the value.
/// The conventions were never finished and their sources disagree, hence the aliases.
/// What only describes the image (its C library, its operating system) is no requirement.
pub(crate) const LABELS: &[(&str, &str, &str)] = &[
    ("cpu.target", "arch", ""),
    ("cpu.model", "arch", ""),
    ("hardware.cpu.target.microarch", "arch", ""),
    ("hardware.cpu.optimized.version", "arch", ""),
    ("hardware.gpu.cuda.version", "cuda", ""),
    ("hardware.gpu.driver.version", "driver", ""),
];

/// Labels of the image's MPI. They require something of the host only where the host's
/// library is put in its place, which [`MPI_MODE`] says.
pub(crate) const MPI_LABELS: &[(&str, &str)] = &[
    ("mpi.implementation", ""),
    ("mpi.provider", ""),
    ("openmpi.version", "openmpi-"),
    ("mpich.version", "mpich-"),
];

pub(crate) const MPI_MODE: &str = "mpi.portability.mode";
pub(crate) const HOSTS_MPI: &[&str] = &["mpi_replace", "mpi_system"];
pub(crate) const GPU_ARCHITECTURE: &str = "hardware.gpu.architecture";

/// A label of the conventions: what it requires, or that it cannot be read.
pub(crate) enum Label<'a> {
    Requires(&'a str, Feature),
    Unread(&'a str, &'a str),
}

/// Reads labels or annotations, in their order.
pub(crate) fn read<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Label<'a>> {
    let ours: Vec<(&str, &str, &str)> = labels
        .into_iter()
        .filter_map(|(label, value)| {
            let name = PREFIXES.iter().find_map(|p| label.strip_prefix(p))?;
            Some((label, name, value.trim()))
        })
        .collect();
    let takes_hosts_mpi = ours
        .iter()
        .any(|(_, name, value)| *name == MPI_MODE && HOSTS_MPI.contains(value));
    let mut found = Vec::new();
    for (label, name, value) in ours.into_iter().filter(|(.., value)| !value.is_empty()) {
        let mut features: Vec<(&str, String)> = LABELS
            .iter()
            .filter(|(known, ..)| *known == name)
            .map(|(_, key, before)| (*key, format!("{before}{value}")))
            .collect();
        if name == GPU_ARCHITECTURE {
            let amd = value.starts_with("gfx");
            features.push((if amd { "gfx" } else { "cc" }, value.to_owned()));
        }
        if takes_hosts_mpi {
            let mpi = MPI_LABELS.iter().filter(|(known, _)| *known == name);
            features.extend(mpi.map(|(_, before)| ("mpi", format!("{before}{value}"))));
        }
        for (key, value_read) in features {
            match Feature::new(key, &value_read) {
                Ok(feature) if feature.is_understood() => {
                    found.push(Label::Requires(label, feature));
                }
                _ => found.push(Label::Unread(label, value)),
            }
        }
    }
    found
}

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

/// The requirement that an OCI platform states by its variant (image-spec, `platform`); none
/// for the base of an architecture, which every machine of it runs. A variant of amd64 or
/// arm64 that nobody knows is a requirement that no machine is known to meet; variants of
/// other architectures count where archspec knows them (`ppc64le/power9`).
#[must_use]
pub fn from_platform(architecture: &str, variant: Option<&str>) -> Option<Feature> {
    let variant = variant?;
    let graph = Microarchitectures::builtin();
    let spelling = format!("{architecture}/{variant}");
    match graph.look_up(&spelling) {
        Some(Ok(target)) => (graph.depth(&target) > 0).then(|| Feature::of_target(&target)),
        _ if architecture == "arm64" && variant == "8" => None,
        _ if matches!(architecture, "amd64" | "arm64") => {
            Feature::new(Key::Arch.as_str(), &spelling).ok()
        }
        _ => None,
    }
}

/// The requirements that an OCI platform states in `os.features`. A feature is one as it
/// stands; another word requires the feature `os.feature:WORD`. `win32k` of Windows is none:
/// whatever runs Windows containers has it.
#[must_use]
pub fn from_os_features<'a>(
    os: &str,
    os_features: impl IntoIterator<Item = &'a str>,
) -> Vec<Feature> {
    os_features
        .into_iter()
        .filter(|word| !(os == "windows" && *word == "win32k"))
        .filter_map(|word| {
            Feature::parse(word)
                .or_else(|_| Feature::new("os.feature", word))
                .ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("amd64", Some("v3"), Some("arch:x86_64_v3"))]
    #[case("amd64", Some("v1"), None)]
    #[case("amd64", None, None)]
    #[case("amd64", Some("v5"), Some("arch:amd64/v5"))]
    #[case("arm64", Some("v8"), None)]
    #[case("arm64", Some("v8.0"), None)]
    #[case("arm64", Some("8"), None)]
    #[case("arm64", Some("v8.2"), Some("arch:armv8.2a"))]
    #[case("arm64", Some("v9"), Some("arch:armv9.0a"))]
    #[case("ppc64le", Some("power9"), Some("arch:power9le"))]
    #[case("arm", Some("v7"), None)]
    #[case("s390x", None, None)]
    fn a_platforms_variant_states_a_cpu_target(
        #[case] architecture: &str,
        #[case] variant: Option<&str>,
        #[case] feature: Option<&str>,
    ) {
        let stated = from_platform(architecture, variant).map(|f| f.to_string());
        assert_eq!(stated.as_deref(), feature);
    }

    #[rstest]
    #[case("windows", &["win32k"], &[])]
    #[case("linux", &["win32k"], &["os.feature:win32k"])]
    #[case("linux", &["arch:zen3", "hugepages", "kernel:5.14"],
           &["arch:zen3", "os.feature:hugepages", "kernel:5.14"])]
    fn a_platforms_os_features_are_requirements(
        #[case] os: &str,
        #[case] words: &[&str],
        #[case] features: &[&str],
    ) {
        let stated: Vec<String> = from_os_features(os, words.iter().copied())
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(stated, features);
    }

    fn requirements(labels: &[(&str, &str)]) -> Vec<String> {
        read(labels.iter().copied())
            .iter()
            .map(|label| match label {
                Label::Requires(_, feature) => feature.to_string(),
                Label::Unread(label, value) => format!("? {label}={value}"),
            })
            .collect()
    }

    #[test]
    fn labels_of_the_hpc_conventions_state_requirements() {
        let labels = [
            ("io.archspec.cpu.target", "zen3"),
            ("org.supercontainers.hardware.cpu.target.microarch", "zenn3"),
            ("org.supercontainers.hardware.gpu.cuda.version", "12.4"),
            ("org.supercontainers.hardware.gpu.architecture", "sm_80"),
            ("org.supercontainers.glibc.version", "2.39"),
            ("org.supercontainers.hardware.gpu.driver.version", " "),
            ("org.opencontainers.image.version", "1"),
        ];
        assert_eq!(
            requirements(&labels),
            [
                "arch:zen3",
                "? org.supercontainers.hardware.cpu.target.microarch=zenn3",
                "cuda:12.4",
                "cc:sm_80"
            ]
        );
    }

    #[rstest]
    #[case(None, &[])]
    #[case(Some("libfabric_inject"), &[])]
    #[case(Some("mpi_replace"), &["mpi:openmpi-4.1.5"])]
    #[case(Some("mpi_system"), &["mpi:openmpi-4.1.5"])]
    fn an_images_mpi_matters_only_where_the_hosts_takes_its_place(
        #[case] mode: Option<&str>,
        #[case] features: &[&str],
    ) {
        let mut labels = vec![("org.supercontainers.openmpi.version", "4.1.5")];
        labels.extend(mode.map(|mode| ("org.supercontainers.mpi.portability.mode", mode)));
        assert_eq!(requirements(&labels), features);
    }
}
