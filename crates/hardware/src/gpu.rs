//! Which GPU code runs where: NVIDIA compute capabilities, AMD gfx names, and the CUDA versions
//! that a driver runs. It knows rules, not products.

use std::fmt;

use crate::products::{accelerators, capability_of_product, gfx_of_product};
use crate::version::Version;

/// How much of a compute capability a binary is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Form {
    /// `8.0`: a cubin; runs on the same major with this or a later minor.
    Binary,
    /// `8.0+ptx`: carries PTX too, which the driver compiles for any later one.
    Ptx,
    /// `9.0a`: uses features of exactly this capability.
    Exact,
    /// `10.0f`: uses features of this family; the same major, this or a later minor.
    Family,
}

/// The vendor of a GPU, and so the kind of programs that it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GpuVendor {
    /// NVIDIA: CUDA.
    Nvidia,
    /// AMD: ROCm.
    Amd,
    /// Intel.
    Intel,
    /// Any: the image needs a GPU and does not state the vendor.
    Any,
}

impl GpuVendor {
    /// A vendor, or the software that only its GPUs run; `None` for any other word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.trim().to_ascii_lowercase().as_str() {
            "nvidia" | "cuda" => Self::Nvidia,
            "amd" | "rocm" | "hip" => Self::Amd,
            "intel" => Self::Intel,
            "any" => Self::Any,
            _ => return None,
        })
    }
}

impl fmt::Display for GpuVendor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nvidia => "nvidia",
            Self::Amd => "amd",
            Self::Intel => "intel",
            Self::Any => "any",
        })
    }
}

/// An NVIDIA compute capability: `8.0`, `80`, `sm_80`, `8.0+ptx`, `compute_80`, `9.0a`, or
/// a data-centre GPU's name: `a100`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ComputeCapability {
    major: u16,
    minor: u16,
    form: Form,
}

/// Integrated GPUs, whose binaries are not compatible with others of their major.
const TEGRA: &[(u16, u16)] = &[(3, 2), (5, 3), (6, 2), (7, 2), (8, 7), (10, 1), (11, 0)];

impl ComputeCapability {
    /// `None` when it is not written in one of the known forms.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let lower = text.trim().to_ascii_lowercase();
        if let Some(capability) = capability_of_product(&lower) {
            return Self::parse(capability);
        }
        let (lower, plus_ptx) = match lower.strip_suffix("+ptx") {
            Some(rest) => (rest.to_owned(), true),
            None => (lower, false),
        };
        let (digits, virtual_only) = match lower.strip_prefix("compute_") {
            Some(rest) => (rest, true),
            None => {
                let rest = lower
                    .strip_prefix("sm_")
                    .or_else(|| lower.strip_prefix("sm"));
                (
                    rest.or_else(|| lower.strip_prefix("cc")).unwrap_or(&lower),
                    false,
                )
            }
        };
        let (digits, suffix) = match digits.char_indices().next_back()? {
            (at, suffix @ ('a' | 'f')) => (digits.get(..at)?, Some(suffix)),
            _ => (digits, None),
        };
        let (major, minor) = match digits.split_once('.') {
            Some(pair) => pair,
            None => digits.split_at_checked(digits.len().checked_sub(1)?)?,
        };
        let form = match (plus_ptx || virtual_only, suffix) {
            (_, Some('a')) => Form::Exact,
            (_, Some(_)) => Form::Family,
            (true, None) => Form::Ptx,
            (false, None) => Form::Binary,
        };
        let number = |text: &str| -> Option<u16> {
            text.bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| text.parse().ok())?
        };
        Some(Self {
            major: number(major)?,
            minor: number(minor)?,
            form,
        })
    }

    /// Major and minor.
    pub(crate) fn parts(&self) -> (u16, u16) {
        (self.major, self.minor)
    }

    /// How code built for `self` runs on a GPU of capability `gpu`, if it does.
    #[must_use]
    pub fn runs_on(&self, gpu: &Self) -> Option<CodeForm> {
        let (mine, theirs) = ((self.major, self.minor), (gpu.major, gpu.minor));
        let tegra = TEGRA.contains(&mine) || TEGRA.contains(&theirs);
        let binary = match self.form {
            Form::Exact => mine == theirs,
            _ if tegra => mine == theirs,
            _ => self.major == gpu.major && self.minor <= gpu.minor,
        };
        match self.form {
            _ if binary => Some(CodeForm::Binary),
            Form::Ptx if mine <= theirs => Some(CodeForm::Ptx),
            _ => None,
        }
    }
}

/// The form of an image's GPU code that a GPU runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeForm {
    /// Machine code made for this GPU or an earlier minor.
    Binary,
    /// PTX that the driver compiles when the program starts.
    Ptx,
}

impl fmt::Display for ComputeCapability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        f.write_str(match self.form {
            Form::Binary => "",
            Form::Ptx => "+ptx",
            Form::Exact => "a",
            Form::Family => "f",
        })
    }
}

/// LLVM's generic AMD processors and the ones that run their code.
const GENERIC_GFX: &[(&str, &[&str])] = &[
    (
        "gfx9-generic",
        &["gfx900", "gfx902", "gfx904", "gfx906", "gfx909", "gfx90c"],
    ),
    ("gfx9-4-generic", &["gfx940", "gfx941", "gfx942", "gfx950"]),
    (
        "gfx10-1-generic",
        &["gfx1010", "gfx1011", "gfx1012", "gfx1013"],
    ),
    (
        "gfx10-3-generic",
        &[
            "gfx1030", "gfx1031", "gfx1032", "gfx1033", "gfx1034", "gfx1035", "gfx1036",
        ],
    ),
    (
        "gfx11-generic",
        &[
            "gfx1100", "gfx1101", "gfx1102", "gfx1103", "gfx1150", "gfx1151", "gfx1152", "gfx1153",
        ],
    ),
    ("gfx12-generic", &["gfx1200", "gfx1201"]),
];

/// An AMD GPU target: a processor, a generic one, and target-ID settings:
/// `gfx90a`, `gfx90a:sramecc+:xnack-`, `gfx11-generic`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Gfx {
    processor: String,
    settings: Vec<String>,
}

impl Gfx {
    /// `None` when it is not a gfx name (`gfx` may be left out: `90a`) nor the name of an
    /// accelerator (`mi250x`).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let lower = text.trim().to_ascii_lowercase();
        if let Some(processor) = gfx_of_product(&lower) {
            return Self::parse(processor);
        }
        let mut parts = lower.split(':');
        let first = parts.next()?;
        let bare = first.strip_prefix("gfx").unwrap_or(first);
        let starts_well = bare.starts_with(|c: char| c.is_ascii_digit());
        let plain = bare.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if !(starts_well && plain) {
            return None;
        }
        let mut settings: Vec<String> = parts.map(str::to_owned).collect();
        if settings
            .iter()
            .any(|s| s.len() < 2 || !s.ends_with(['+', '-']))
        {
            return None;
        }
        settings.sort();
        Some(Self {
            processor: format!("gfx{bare}"),
            settings,
        })
    }

    /// The processor without its settings, if it is known.
    pub(crate) fn known_processor(&self) -> Option<&'static str> {
        let members = GENERIC_GFX.iter().flat_map(|(_, members)| members.iter());
        let mut known = members.copied().chain(accelerators());
        known.find(|known| *known == self.processor)
    }

    /// Whether code for `self` runs on the GPU `gpu`, and whether as generic code.
    /// A setting that the code fixes must be one that the GPU states.
    #[must_use]
    pub fn runs_on(&self, gpu: &Self) -> Option<GfxMatch> {
        if !self
            .settings
            .iter()
            .all(|setting| gpu.settings.contains(setting))
        {
            return None;
        }
        if self.processor == gpu.processor {
            return Some(GfxMatch::Same);
        }
        let members = GENERIC_GFX
            .iter()
            .find(|(generic, _)| *generic == self.processor)?
            .1;
        members
            .contains(&gpu.processor.as_str())
            .then_some(GfxMatch::Generic)
    }
}

/// How AMD GPU code matches a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GfxMatch {
    /// Built for this processor.
    Same,
    /// Built for a generic processor that this one belongs to.
    Generic,
}

impl fmt::Display for Gfx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.processor)?;
        self.settings
            .iter()
            .try_for_each(|setting| write!(f, ":{setting}"))
    }
}

/// Major and minor.
type Numbers = (u64, u64);

/// First driver of a CUDA release, latest first. From CUDA 11 on, a driver runs every minor version
/// of its major (minor-version compatibility), CUDA 11 only from 450.80.02 on; before, only the
/// listed versions.
const CUDA_BY_DRIVER: &[((u64, u64, u64), Numbers)] = &[
    ((580, 0, 0), (13, u64::MAX)),
    ((525, 0, 0), (12, u64::MAX)),
    ((450, 80, 2), (11, u64::MAX)),
    ((450, 0, 0), (11, 0)),
    ((440, 33, 0), (10, 2)),
    ((418, 39, 0), (10, 1)),
    ((410, 48, 0), (10, 0)),
    ((396, 26, 0), (9, 2)),
    ((390, 46, 0), (9, 1)),
    ((384, 81, 0), (9, 0)),
    ((375, 26, 0), (8, 0)),
];

/// The highest CUDA version that an NVIDIA driver runs; a minor of `u64::MAX` means every minor.
/// `None` for drivers older than CUDA 8.
#[must_use]
pub fn cuda_of_driver(driver: Version) -> Option<Version> {
    CUDA_BY_DRIVER
        .iter()
        .find(|((major, minor, patch), _)| driver >= Version::of_three(*major, *minor, *patch))
        .map(|(_, (major, minor))| Version::of(*major, *minor))
}

/// First driver of a branch, and the CUDA version that it came with and reports, latest
/// first. A driver of a branch that is not here reports at least what the one before does.
const REPORTED_BY_DRIVER: &[(u64, Numbers)] = &[
    (590, (13, 1)),
    (580, (13, 0)),
    (575, (12, 9)),
    (570, (12, 8)),
    (565, (12, 7)),
    (560, (12, 6)),
    (555, (12, 5)),
    (550, (12, 4)),
    (545, (12, 3)),
    (535, (12, 2)),
    (530, (12, 1)),
    (525, (12, 0)),
    (520, (11, 8)),
    (515, (11, 7)),
    (510, (11, 6)),
    (495, (11, 5)),
    (470, (11, 4)),
    (465, (11, 3)),
    (460, (11, 2)),
    (455, (11, 1)),
    (450, (11, 0)),
];

/// The CUDA version that an NVIDIA driver says it is for, by which NVIDIA's container
/// runtime judges. Through minor-version compatibility it runs more: [`cuda_of_driver`].
pub(crate) fn cuda_reported_by_driver(driver: Version) -> Option<Version> {
    REPORTED_BY_DRIVER
        .iter()
        .find(|(first, _)| driver.major() >= *first)
        .map(|(_, (major, minor))| Version::of(*major, *minor))
        .or_else(|| cuda_of_driver(driver))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("8.0", "8.6", Some(CodeForm::Binary))]
    #[case("8.6", "8.0", None)]
    #[case("8.0", "9.0", None)]
    #[case("8.0+ptx", "9.0", Some(CodeForm::Ptx))]
    #[case("8.0+ptx", "8.9", Some(CodeForm::Binary))]
    #[case("9.0+ptx", "8.9", None)]
    #[case("9.0a", "9.0", Some(CodeForm::Binary))]
    #[case("sm_90a", "10.0", None)]
    #[case("10.0f", "10.3", Some(CodeForm::Binary))]
    #[case("10.0f", "12.0", None)]
    #[case("8.6", "8.7", None)] // Orin is a Tegra
    #[case("8.6+ptx", "8.7", Some(CodeForm::Ptx))]
    #[case("compute_70", "12.0", Some(CodeForm::Ptx))]
    fn gpu_code_runs_within_its_major_or_by_its_ptx(
        #[case] code: &str,
        #[case] gpu: &str,
        #[case] expected: Option<CodeForm>,
    ) {
        let parse = |text| ComputeCapability::parse(text).unwrap();
        assert_eq!(parse(code).runs_on(&parse(gpu)), expected);
    }

    #[rstest]
    #[case("sm_80", "8.0")]
    #[case("cc90", "9.0")]
    #[case("120", "12.0")]
    #[case("SM_90A", "9.0a")]
    #[case("8.0+PTX", "8.0+ptx")]
    #[case("a100", "8.0")]
    #[case("H100", "9.0")]
    fn compute_capabilities_have_many_spellings(#[case] text: &str, #[case] canonical: &str) {
        assert_eq!(
            ComputeCapability::parse(text).unwrap().to_string(),
            canonical
        );
    }

    #[rstest]
    #[case("")]
    #[case("8")]
    #[case("a")]
    #[case("hopper")]
    #[case("8.+1")]
    fn other_words_are_no_compute_capability(#[case] text: &str) {
        assert_eq!(ComputeCapability::parse(text), None);
    }

    #[rstest]
    #[case("gfx90a", "gfx90a:sramecc+:xnack-", Some(GfxMatch::Same))]
    #[case("gfx90a:xnack+", "gfx90a:sramecc+:xnack-", None)]
    #[case("gfx90a:xnack-", "gfx90a", None)]
    #[case("90A", "gfx90a", Some(GfxMatch::Same))]
    #[case("MI250X", "gfx90a", Some(GfxMatch::Same))]
    #[case("gfx11-generic", "gfx1151", Some(GfxMatch::Generic))]
    #[case("gfx10-3-generic", "gfx1010", None)]
    #[case("gfx942", "gfx90a", None)]
    fn amd_code_runs_on_its_processor_or_its_generic_family(
        #[case] code: &str,
        #[case] gpu: &str,
        #[case] expected: Option<GfxMatch>,
    ) {
        let parse = |text| Gfx::parse(text).unwrap();
        assert_eq!(parse(code).runs_on(&parse(gpu)), expected);
    }

    #[rstest]
    #[case("550.54.15", "12.9", true)]
    #[case("525.60.13", "12.4", true)]
    #[case("515.43", "12.0", false)]
    #[case("470.57", "11.8", true)]
    #[case("580.65", "13.1", true)]
    #[case("550.54.15", "13.0", false)]
    #[case("418.87", "10.1", true)]
    #[case("418.87", "10.2", false)]
    #[case("450.80.02", "11.8", true)]
    #[case("450.80.01", "11.1", false)]
    #[case("450.51.06", "11.0", true)]
    #[case("455.23", "11.8", true)]
    fn a_driver_runs_the_cuda_of_its_major(
        #[case] driver: &str,
        #[case] cuda: &str,
        #[case] runs: bool,
    ) {
        let highest = cuda_of_driver(Version::parse(driver).unwrap()).unwrap();
        assert_eq!(highest >= Version::parse(cuda).unwrap(), runs);
    }
}
