//! Annotations and labels that follow the conventions of high-performance computing, and what the
//! OCI platform states besides `platform.features`. It parses the texts and checks nothing against
//! the image.

use crate::feature::Feature;
use crate::graph::Microarchitectures;
use crate::keys::Key;
use crate::mpi::Mpi;
use crate::target::Target;

/// Prefixes of the conventions' labels.
const PREFIXES: &[&str] = &["org.supercontainers.", "io.archspec."];

/// Label (after its prefix), and the feature's key.
/// The conventions were never finished and their sources disagree, hence the aliases.
pub(crate) const LABELS: &[(&str, Key)] = &[
    ("cpu.target", Key::Arch),
    ("cpu.model", Key::Arch),
    ("hardware.cpu.target.microarch", Key::Arch),
    ("hardware.cpu.optimized.version", Key::Arch),
    ("hardware.gpu.cuda.version", Key::Cuda),
    ("hardware.gpu.rocm.version", Key::Rocm),
    ("hardware.gpu.driver.version", Key::Driver),
];

/// Labels by which an image says whether it needs a GPU at all.
pub(crate) const GPU_NEEDED: &[&str] = &["hardware.gpu.available", "hardware.gpu.enabled"];
/// What the first draft of the conventions (2019) called a GPU's software and the MPI.
pub(crate) const DRAFT_GPU: &str = "gpu";
pub(crate) const DRAFT_MPI: &str = "mpi";

/// Labels of the image's MPI, in addition to `NAME.version` for every known library. They require
/// something of the host only where the host's library replaces the image's, as [`MPI_MODE`] says;
/// the draft's label was meant for that only.
pub(crate) const MPI_LABELS: &[&str] = &["mpi.implementation", "mpi.provider"];

pub(crate) const MPI_MODE: &str = "mpi.portability.mode";
pub(crate) const HOSTS_MPI: &[&str] = &["mpi_replace", "mpi_system"];
/// The other mode: the image keeps its MPI.
const OWN_MPI: &str = "libfabric_inject";
pub(crate) const GPU_ARCHITECTURE: &str = "hardware.gpu.architecture";

/// Labels of these groups state what hardware is needed, so one of them that is not known
/// requires something unknown. Others only describe the image: its C library, its operating
/// system, its PMI.
pub(crate) const GROUPS: &[&str] = &["hardware.", "cpu.", "gpu.", "mpi."];
/// Labels of those groups that describe the image or the machine that built it.
pub(crate) const DESCRIBING: &[&str] = &[
    "cpu.family",
    "cpu.vendor",
    "hardware.cpu.optimized.mode",
    "mpi.portability.optimized",
];

const YES: &[&str] = &["yes", "true", "1", "required"];
const NO: &[&str] = &["no", "false", "0", "none", "optional"];

/// A label of the conventions: what it requires, or that it cannot be read.
pub(crate) enum Label<'a> {
    Requires(&'a str, Feature),
    /// The label, its value, and what was expected.
    Unread(&'a str, &'a str, String),
}

/// Reads labels or annotations, in their order.
pub(crate) fn read<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Label<'a>> {
    let ours: Vec<(&str, &str, &str)> = labels
        .into_iter()
        .filter_map(|(label, value)| {
            let name = PREFIXES.iter().find_map(|p| label.strip_prefix(p))?;
            Some((label, name, value.trim()))
        })
        .filter(|(.., value)| !value.is_empty())
        .collect();
    let mode = ours.iter().find(|(_, name, _)| *name == MPI_MODE);
    let host_mpi = mode.map(|(.., value)| one_of(HOSTS_MPI, value));
    let mut found = Vec::new();
    for (label, name, value) in &ours {
        match statement(name, value, host_mpi) {
            Statement::Requires(feature) => found.push(Label::Requires(label, feature)),
            Statement::Unknown(expected) => found.push(Label::Unread(label, value, expected)),
            Statement::Describes => {}
        }
    }
    let names_mpi = ours
        .iter()
        .any(|(_, name, value)| *name == DRAFT_MPI || mpi(name, value).is_some());
    if let (Some((label, _, value)), Some(true), false) = (mode, host_mpi, names_mpi) {
        let expected = format!(
            "a label such as {} that says which MPI",
            MPI_LABELS.join(" or ")
        );
        found.push(Label::Unread(label, value, expected));
    }
    found
}

/// What one label says.
enum Statement {
    Requires(Feature),
    /// It cannot be read; what was expected.
    Unknown(String),
    Describes,
}

fn one_of(words: &[&str], value: &str) -> bool {
    words.iter().any(|word| word.eq_ignore_ascii_case(value))
}

/// `host_mpi`: whether the portability mode says that the host's MPI takes the image's place;
/// none when there is no mode.
fn statement(name: &str, value: &str, host_mpi: Option<bool>) -> Statement {
    if let Some((_, key)) = LABELS.iter().find(|(known, _)| *known == name) {
        // A model's number is no target's name.
        let number = value.bytes().all(|byte| byte.is_ascii_digit());
        if name == "cpu.model" && number {
            return Statement::Describes;
        }
        return required(key, value);
    }
    if let Some(mpi) = mpi(name, value) {
        return match host_mpi {
            Some(true) => required(&Key::Mpi, &mpi),
            _ => Statement::Describes,
        };
    }
    match name {
        GPU_ARCHITECTURE => architecture(value),
        DRAFT_GPU if one_of(NO, value) => Statement::Describes,
        DRAFT_GPU => gpu(value),
        DRAFT_MPI if host_mpi == Some(false) => Statement::Describes,
        DRAFT_MPI => required(&Key::Mpi, value),
        MPI_MODE if one_of(HOSTS_MPI, value) || value.eq_ignore_ascii_case(OWN_MPI) => {
            Statement::Describes
        }
        MPI_MODE => Statement::Unknown(format!("{} or {OWN_MPI}", HOSTS_MPI.join(", "))),
        _ if GPU_NEEDED.contains(&name) => match () {
            () if one_of(NO, value) => Statement::Describes,
            () if one_of(YES, value) => required(&Key::Gpu, "any"),
            () => Statement::Unknown("yes or no".to_owned()),
        },
        _ if DESCRIBING.contains(&name) => Statement::Describes,
        _ if GROUPS.iter().any(|group| name.starts_with(group)) => {
            Statement::Unknown("a label of this convention; none is called that".to_owned())
        }
        _ => Statement::Describes,
    }
}

fn required(key: &Key, value: &str) -> Statement {
    // Some write the whole feature: `arch:zen3`.
    let whole = Feature::parse(value)
        .ok()
        .filter(|feature| feature.key() == key);
    match whole.map_or_else(|| Feature::new(key.as_str(), value), Ok) {
        Ok(feature) if feature.is_understood() => Statement::Requires(feature),
        _ => Statement::Unknown(key.expects().to_owned()),
    }
}

/// The MPI that a label states, with its version where the label is called by its name.
fn mpi(name: &str, value: &str) -> Option<String> {
    if MPI_LABELS.contains(&name) {
        return Some(value.to_owned());
    }
    let library = name.strip_suffix(".version")?;
    let known = Mpi::parse(library).is_some() && !library.contains('.');
    known.then(|| format!("{library}-{value}"))
}

/// The processors that GPU code was made for, or the vendor alone.
fn architecture(value: &str) -> Statement {
    let starts = value.get(..3).unwrap_or_default();
    let processors = if starts.eq_ignore_ascii_case("gfx") {
        Key::Gfx
    } else {
        Key::Cc
    };
    [processors, Key::Gpu, Key::Gfx]
        .iter()
        .filter_map(|key| Feature::new(key.as_str(), value).ok())
        // Digits alone are NVIDIA's: `90` is no AMD processor.
        .find(|feature| feature.is_understood() && !is_bare_gfx(feature))
        .map_or_else(
            || {
                let (cc, gfx) = (Key::Cc.expects(), Key::Gfx.expects());
                Statement::Unknown(format!("{cc}, or {gfx}"))
            },
            Statement::Requires,
        )
}

fn is_bare_gfx(feature: &Feature) -> bool {
    let digit = feature.value().starts_with(|c: char| c.is_ascii_digit());
    *feature.key() == Key::Gfx && digit
}

/// `cuda`, `rocm`, `nvidia`; and with a version, `cuda-12.4`.
fn gpu(value: &str) -> Statement {
    let lower = value.to_ascii_lowercase();
    let versions = [("cuda", Key::Cuda), ("rocm", Key::Rocm)];
    let versioned = versions.iter().find_map(|(word, key)| {
        let version = lower
            .strip_prefix(word)?
            .trim_start_matches(['-', '=', ' ']);
        (!version.is_empty()).then(|| required(key, version))
    });
    versioned.unwrap_or_else(|| required(&Key::Gpu, value))
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

/// The requirement that an OCI platform states by its variant (image-spec, `platform`); none for
/// the base of an architecture, which every machine of it runs. An unknown variant of amd64 or
/// arm64 is a requirement that no machine is known to meet; variants of other architectures count
/// where archspec knows them (`ppc64le/power9`).
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

/// The requirements that an OCI platform states in `os.features`. A feature is used unchanged;
/// another word requires the feature `os.feature:WORD`. `win32k` of Windows is none: whatever runs
/// Windows containers has it.
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
                Label::Unread(label, value, _) => format!("? {label}={value}"),
            })
            .collect()
    }

    #[test]
    fn labels_of_the_hpc_conventions_state_requirements() {
        let labels = [
            ("io.archspec.cpu.target", "zen3"),
            ("org.supercontainers.cpu.target", "arch:zen2"),
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
                "arch:zen2",
                "? org.supercontainers.hardware.cpu.target.microarch=zenn3",
                "cuda:12.4",
                "cc:sm_80"
            ]
        );
    }

    const UNREAD: &str = "?";

    #[rstest]
    #[case("cpu.target", "zen3", &["arch:zen3"])]
    #[case("cpu.target", "zen33", &[UNREAD])]
    #[case("cpu.target", "zen3,zen4", &[UNREAD])]
    #[case("cpu.target", ">=zen3", &[UNREAD])]
    #[case("cpu.model", "85", &[])]
    #[case("cpu.model", "Xeon Gold", &[UNREAD])]
    #[case("cpu.family", "6", &[])]
    #[case("cpu.vendor", "AuthenticAMD", &[])]
    #[case("cpu.targt", "zen3", &[UNREAD])]
    #[case("hardware.cpu.optimized.mode", "microarch", &[])]
    #[case("hardware.cpu.optimized.version", "x86-64-v9", &[UNREAD])]
    #[case("hardware.gpu.cuda.version", ">=12.4", &[UNREAD])]
    #[case("hardware.gpu.cuda.version", "12.x", &[UNREAD])]
    #[case("hardware.gpu.cuda.version", "12.4,13.0", &[UNREAD])]
    #[case("hardware.gpu.cuda.version", "latest", &[UNREAD])]
    #[case("hardware.gpu.rocm.version", "6.2", &["rocm:6.2"])]
    #[case("hardware.gpu.driver.version", "^550", &[UNREAD])]
    #[case("hardware.gpu.architecture", "8.0;9.0+PTX", &["cc:8.0;9.0+PTX"])]
    #[case("hardware.gpu.architecture", "sm_80 sm_90", &["cc:sm_80 sm_90"])]
    #[case("hardware.gpu.architecture", "sm_80,smm_90", &[UNREAD])]
    #[case("hardware.gpu.architecture", "GFX90A", &["gfx:GFX90A"])]
    #[case("hardware.gpu.architecture", "mi250x", &["gfx:mi250x"])]
    #[case("hardware.gpu.architecture", "a100", &["cc:a100"])]
    #[case("hardware.gpu.architecture", "nvidia", &["gpu:nvidia"])]
    #[case("hardware.gpu.architecture", "ampere", &[UNREAD])]
    #[case("hardware.gpu.architecture", "90", &["cc:90"])]
    #[case("hardware.gpu.architecture", "9x0", &[UNREAD])]
    #[case("hardware.gpu.available", "yes", &["gpu:any"])]
    #[case("hardware.gpu.available", "No", &[])]
    #[case("hardware.gpu.enabled", "TRUE", &["gpu:any"])]
    #[case("hardware.gpu.enabled", "maybe", &[UNREAD])]
    #[case("hardware.gpu.memory", "80G", &[UNREAD])]
    #[case("gpu", "cuda", &["gpu:cuda"])]
    #[case("gpu", "rocm", &["gpu:rocm"])]
    #[case("gpu", "CUDA-12.4", &["cuda:12.4"])]
    #[case("gpu", "cuda>=12", &[UNREAD])]
    #[case("gpu", "none", &[])]
    #[case("gpu", "opencl", &[UNREAD])]
    #[case("mpi", "openmpi", &["mpi:openmpi"])]
    #[case("mpi", "mpich-3.4", &["mpi:mpich-3.4"])]
    #[case("mpi", "spectrum", &[UNREAD])]
    #[case("mpi.portability.mode", "mpi_replase", &[UNREAD])]
    #[case("mpi.portability.mode", "libfabric_inject", &[])]
    #[case("mpi.portability.mode", "mpi_replace", &[UNREAD])]
    #[case("mpi.implementation", "spectrum", &[])]
    #[case("mpi.flavour", "mpich", &[UNREAD])]
    #[case("libfabric.abi.version", "1.5", &[])]
    #[case("os.name", "rocky", &[])]
    #[case("libc.provider", "musl", &[])]
    #[case("pmi.version", ">=2", &[])]
    #[case("communication.framework", "ucx", &[])]
    fn every_statement_is_read_or_named(
        #[case] name: &str,
        #[case] value: &str,
        #[case] features: &[&str],
    ) {
        for prefix in PREFIXES {
            let label = format!("{prefix}{name}");
            let expected: Vec<String> = features
                .iter()
                .map(|feature| match *feature {
                    UNREAD => format!("? {label}={value}"),
                    feature => feature.to_owned(),
                })
                .collect();
            assert_eq!(requirements(&[(&label, value)]), expected);
        }
    }

    #[rstest]
    #[case(None, &[])]
    #[case(Some("libfabric_inject"), &[])]
    #[case(Some("mpi_replace"), &["mpi:openmpi-4.1.5"])]
    #[case(Some("MPI_Replace"), &["mpi:openmpi-4.1.5"])]
    #[case(Some("mpi_system"), &["mpi:openmpi-4.1.5"])]
    fn an_images_mpi_matters_only_where_the_hosts_takes_its_place(
        #[case] mode: Option<&str>,
        #[case] features: &[&str],
    ) {
        let mut labels = vec![("org.supercontainers.openmpi.version", "4.1.5")];
        labels.extend(mode.map(|mode| ("org.supercontainers.mpi.portability.mode", mode)));
        assert_eq!(requirements(&labels), features);
    }

    #[rstest]
    #[case("mpi.implementation", "spectrum-mpi")]
    #[case("mpi.provider", "mpt")]
    #[case("mvapich2.version", ">=2.3")]
    #[case("openmpi.version", "latest")]
    fn an_mpi_that_nobody_knows_cannot_be_replaced(#[case] name: &str, #[case] value: &str) {
        let label = format!("org.supercontainers.{name}");
        let mode = ("org.supercontainers.mpi.portability.mode", "mpi_replace");
        let labels = [mode, (&label, value)];
        assert_eq!(requirements(&labels), [format!("? {label}={value}")]);
    }

    #[rstest]
    #[case(None, &["mpi:openmpi"])]
    #[case(Some("mpi_system"), &["mpi:openmpi"])]
    #[case(Some("libfabric_inject"), &[])]
    fn the_drafts_mpi_is_the_hosts_unless_the_mode_says_otherwise(
        #[case] mode: Option<&str>,
        #[case] features: &[&str],
    ) {
        let mut labels = vec![("org.supercontainers.mpi", "openmpi")];
        labels.extend(mode.map(|mode| ("org.supercontainers.mpi.portability.mode", mode)));
        assert_eq!(requirements(&labels), features);
    }
}
