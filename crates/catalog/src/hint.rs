//! Warns about features that are compared as text though they were probably meant as a built-in
//! key: a misspelled key (`acrh:zen3`), another program's key (`target=zen4`), or a GPU by its
//! product's name (`gpu=h100`). It only suggests; it never changes how a feature is read.

use metahub_hardware::{Feature, KEYS, Key, Microarchitectures, TargetError};

use crate::suggestions::fold;

/// What a feature was probably meant to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hint {
    /// The built-in key.
    key: &'static str,
    /// The value; an empty one stands for a value that is not known.
    value: String,
}

impl Hint {
    /// As it is written with `separator` between key and value.
    pub(crate) fn written(&self, separator: char) -> String {
        let Self { key, value } = self;
        if value.is_empty() {
            format!("{key}{separator}…")
        } else {
            format!("{key}{separator}{value}")
        }
    }
}

/// Keys of other programs, folded, and the built-in keys for the same.
const OTHER_KEYS: &[(&str, &str)] = &[
    ("target", "cpu"),
    ("cputarget", "cpu"),
    ("cpuarch", "cpu"),
    ("march", "cpu"),
    ("mcpu", "cpu"),
    ("mtune", "cpu"),
    ("microarch", "cpu"),
    ("microarchitecture", "cpu"),
    ("uarch", "cpu"),
    ("archspec", "cpu"),
    ("processor", "cpu"),
    ("isa", "cpu"),
    ("computecapability", "cc"),
    ("sm", "cc"),
    ("cudaarch", "cc"),
    ("cudaarchitectures", "cc"),
    ("gpuarch", "cc"),
    ("amdgpu", "gfx"),
    ("amdgputarget", "gfx"),
    ("hiparch", "gfx"),
    ("nvidia", "driver"),
    ("nvidiadriver", "driver"),
    ("cudaversion", "cuda"),
    ("cudatoolkit", "cuda"),
    ("hip", "rocm"),
    ("ofi", "libfabric"),
    ("fabric", "libfabric"),
    ("libc", "glibc"),
    ("linux", "kernel"),
];

/// Keys under which people name a GPU by its product.
const GPU_KEYS: &[&str] = &["gpus", "gputype", "gpumodel", "accelerator", "accel"];

/// The feature that a GPU's product name stands for.
pub(crate) fn of_gpu(product: &str) -> Option<Hint> {
    let feature = Feature::of_product(product)?;
    let key = KEYS.iter().find(|row| row.name == feature.key().as_str())?;
    Some(Hint {
        key: key.name,
        value: feature.value().to_owned(),
    })
}

/// The feature that states a GPU by the code that it runs.
fn by_code(graph: &Microarchitectures, value: &str) -> Option<Hint> {
    // A number is how many there are.
    if value.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let key = ["cc", "gfx"]
        .into_iter()
        .find(|key| reads(graph, key, value))?;
    Some(Hint {
        key,
        value: value.to_owned(),
    })
}

/// What a feature that is compared as text was probably meant to be; nothing for one of a
/// built-in key, and for one that resembles none.
pub(crate) fn of(graph: &Microarchitectures, feature: &Feature) -> Option<Hint> {
    if *feature.key() == Key::Gpu && !feature.is_understood() {
        return of_gpu(feature.value()).or_else(|| by_code(graph, feature.value()));
    }
    let Key::Other(key) = feature.key() else {
        return None;
    };
    let (folded, value) = (fold(key), feature.value());
    let hint = |key: &'static str| Hint {
        key,
        value: value.to_owned(),
    };
    if GPU_KEYS.contains(&folded.as_str()) {
        return of_gpu(value).or_else(|| by_code(graph, value));
    }
    if let Some((_, key)) = OTHER_KEYS.iter().find(|(other, _)| *other == folded) {
        if reads(graph, key, value) {
            return Some(hint(key));
        }
        // A site may mean something of its own by the other words.
        return (*key == "cpu").then(|| Hint {
            key,
            value: String::new(),
        });
    }
    // `openmpi=4.1` is `mpi=openmpi-4.1`.
    if reads(graph, "mpi", &folded) {
        return Some(Hint {
            key: "mpi",
            value: key.to_string(),
        });
    }
    let names = KEYS
        .iter()
        .flat_map(|row| row.aliases.iter().chain([&row.name]).copied());
    let mut near: Vec<(usize, &'static str)> = names
        .filter_map(|name| {
            Some((
                misspelled(&folded, name, || reads(graph, name, value))?,
                name,
            ))
        })
        .collect();
    near.sort_unstable();
    near.first().map(|(_, key)| hint(key))
}

/// How many slips lead from a built-in key to `written`, if that is few enough. A slip that makes
/// another word (`room` for `rocm`) counts only if the value `fits` the key.
fn misspelled(written: &str, key: &str, fits: impl FnOnce() -> bool) -> Option<usize> {
    let key = fold(key);
    let slips = strsim::osa_distance(written, &key);
    let most = if key.len() >= 6 { 2 } else { 1 };
    if slips > most {
        return None;
    }
    let certain = key.len() >= 4
        && (slips == 0 || sorted(written) == sorted(&key) || {
            let mut once: Vec<char> = written.chars().collect();
            once.dedup();
            once.iter().copied().eq(key.chars())
        });
    (certain || fits()).then_some(slips)
}

fn sorted(text: &str) -> Vec<char> {
    let mut letters: Vec<char> = text.chars().collect();
    letters.sort_unstable();
    letters
}

/// Whether `value` is one that `key` takes, or nearly one.
fn reads(graph: &Microarchitectures, key: &str, value: &str) -> bool {
    let Ok(feature) = Feature::new(key, value) else {
        return false;
    };
    if *feature.key() == Key::Arch {
        return match graph.find(value) {
            Ok(_) => true,
            Err(TargetError::Unknown { near, .. }) => !near.is_empty(),
            Err(_) => true,
        };
    }
    feature.is_understood()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn hint(feature: &str) -> Option<String> {
        let graph = Microarchitectures::builtin();
        of(&graph, &feature.parse().unwrap()).map(|hint| hint.written(':'))
    }

    #[rstest]
    #[case("acrh:zen3", "arch:zen3")]
    #[case("acrh:no-such-thing", "arch:no-such-thing")]
    #[case("rach:zen3", "arch:zen3")]
    #[case("arhc:zen3", "arch:zen3")]
    #[case("ach:zen3", "arch:zen3")]
    #[case("cpus:zen3", "cpu:zen3")]
    #[case("cpi:zen3", "cpu:zen3")]
    #[case("cudda:12.4", "cuda:12.4")]
    #[case("cudda:new", "cuda:new")]
    #[case("cudq:12.4", "cuda:12.4")]
    #[case("ccc:9.0", "cc:9.0")]
    #[case("gxf:gfx90a", "gfx:gfx90a")]
    #[case("pmi:mpich", "mpi:mpich")]
    #[case("lib-fabric:1.20", "libfabric:1.20")]
    #[case("libfabrik:1.20", "libfabric:1.20")]
    #[case("glib:2.34", "glibc:2.34")]
    #[case("kernle:5.14", "kernel:5.14")]
    #[case("drivr:550", "driver:550")]
    #[case("target:zen4", "cpu:zen4")]
    #[case("target:Frontier", "cpu:…")]
    #[case("march:znver4", "cpu:znver4")]
    #[case("sm:90", "cc:90")]
    #[case("compute-capability:8.0", "cc:8.0")]
    #[case("nvidia:550.54", "driver:550.54")]
    #[case("gpu:h100", "cc:9.0")]
    #[case("gpu:NVIDIA-H100", "cc:9.0")]
    #[case("gpu:mi250x", "gfx:gfx90a")]
    #[case("gpu:Tesla-V100", "cc:7.0")]
    #[case("accelerator:mi355x", "gfx:gfx950")]
    #[case("gpu:gfx942", "gfx:gfx942")]
    #[case("gpu:sm_90", "cc:sm_90")]
    #[case("openmpi:4.1", "mpi:openmpi")]
    fn a_near_miss_of_a_built_in_key_is_told(#[case] written: &str, #[case] meant: &str) {
        assert_eq!(hint(written).as_deref(), Some(meant));
    }

    #[rstest]
    #[case("site:blue")]
    #[case("room:b12")]
    #[case("rack:7")]
    #[case("drive:ssd")]
    #[case("role:login")]
    #[case("queue:gpu")]
    #[case("gpu:yes")]
    #[case("gpus:4")]
    #[case("brand:tesla")]
    #[case("ci:blue")]
    #[case("os.feature:win32k")]
    #[case("fabric:slingshot")]
    #[case("linux:amd64")]
    #[case("glow:1.6")]
    #[case("arch:zen3")]
    #[case("cuda:12.4")]
    fn what_resembles_no_built_in_key_is_left_alone(#[case] written: &str) {
        assert_eq!(hint(written), None);
    }
}
