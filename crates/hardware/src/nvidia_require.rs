//! `NVIDIA_REQUIRE_*`: the expression by which CUDA images state what they run on, as
//! NVIDIA's container runtime reads it: blank means or, comma means and. It decides by what
//! is provided; whether a driver could be made to run more is not asked here.

use std::fmt;

use crate::feature::{Feature, Meaning};
use crate::gpu::{ComputeCapability, cuda_reported_by_driver};
use crate::keys::Key;
use crate::provided::Provided;
use crate::version::Version;

/// Most constraints of one expression. NVIDIA's own images have about a hundred.
const MOST_CONSTRAINTS: usize = 512;

/// What stands on the left of a constraint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Property {
    /// The CUDA version that the driver reports.
    Cuda,
    /// The driver's version.
    Driver,
    /// A GPU's compute capability.
    Arch,
    /// A GPU's product line.
    Brand,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Bound {
    Version(Version),
    Text(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Constraint {
    property: Property,
    comparison: Comparison,
    bound: Bound,
}

/// An expression such as `cuda>=12.4 brand=tesla,driver>=470,driver<471`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NvidiaRequire {
    /// Any of them, each of whose constraints hold together.
    alternatives: Vec<Vec<Constraint>>,
}

impl NvidiaRequire {
    /// Reads the value of an `NVIDIA_REQUIRE_*` variable; `None` when it is not such an
    /// expression, or states nothing.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut alternatives = Vec::new();
        let mut count = 0;
        for alternative in text.split_ascii_whitespace() {
            let constraints: Vec<Constraint> = alternative
                .split(',')
                .filter(|factor| !factor.is_empty())
                .map(Constraint::parse)
                .collect::<Option<_>>()?;
            count += constraints.len();
            if !constraints.is_empty() {
                alternatives.push(constraints);
            }
        }
        (!alternatives.is_empty() && count <= MOST_CONSTRAINTS).then_some(Self { alternatives })
    }

    /// Whether a machine that provides `provided` meets it. Of several GPUs or drivers one
    /// is enough, the same for all constraints of an alternative on that property.
    pub(crate) fn is_met(&self, provided: &Provided) -> bool {
        let machine = Machine::of(provided);
        self.alternatives
            .iter()
            .any(|alternative| machine.meets(alternative))
    }
}

impl Constraint {
    fn parse(text: &str) -> Option<Self> {
        let at = text.find(['=', '!', '<', '>'])?;
        let (name, rest) = text.split_at_checked(at)?;
        let property = match name.to_ascii_lowercase().as_str() {
            "cuda" => Property::Cuda,
            "driver" => Property::Driver,
            "arch" => Property::Arch,
            "brand" => Property::Brand,
            _ => return None,
        };
        let operators = [
            ("!=", Comparison::Unequal),
            ("<=", Comparison::AtMost),
            (">=", Comparison::AtLeast),
            ("=", Comparison::Equal),
            ("<", Comparison::Less),
            (">", Comparison::More),
        ];
        let (comparison, value) = operators
            .iter()
            .find_map(|(sign, comparison)| Some((*comparison, rest.strip_prefix(sign)?)))?;
        let bound = match property {
            Property::Brand if !value.is_empty() => Bound::Text(value.to_ascii_lowercase()),
            Property::Brand => return None,
            _ => Bound::Version(Version::parse(value)?),
        };
        Some(Self {
            property,
            comparison,
            bound,
        })
    }

    fn holds<T: PartialOrd>(&self, found: &T, bound: &T) -> bool {
        match self.comparison {
            Comparison::Equal => found == bound,
            Comparison::Unequal => found != bound,
            Comparison::Less => found < bound,
            Comparison::AtMost => found <= bound,
            Comparison::More => found > bound,
            Comparison::AtLeast => found >= bound,
        }
    }

    fn allows(&self, found: &Bound) -> bool {
        match (found, &self.bound) {
            (Bound::Version(found), Bound::Version(bound)) => self.holds(found, bound),
            (Bound::Text(found), Bound::Text(bound)) => self.holds(found, bound),
            _ => false,
        }
    }
}

/// What is known of a machine's NVIDIA software and GPUs, by property.
struct Machine {
    cuda: Vec<Bound>,
    drivers: Vec<Bound>,
    capabilities: Vec<Bound>,
    brands: Vec<Bound>,
}

impl Machine {
    fn of(provided: &Provided) -> Self {
        let versions = |key: &Key| -> Vec<Version> {
            let group = provided.group(key).iter();
            group
                .filter_map(|feature| match feature.meaning() {
                    Meaning::Version(version) => Some(*version),
                    _ => None,
                })
                .collect()
        };
        let drivers = versions(&Key::Driver);
        let mut cuda = versions(&Key::Cuda);
        cuda.extend(drivers.iter().copied().filter_map(cuda_reported_by_driver));
        let capabilities: Vec<Bound> = provided
            .group(&Key::Cc)
            .iter()
            .flat_map(|feature| match feature.meaning() {
                Meaning::Capabilities(list) => list.as_slice(),
                _ => &[],
            })
            .map(|capability| Bound::Version(capability.number()))
            .collect();
        let mut brands: Vec<Bound> = provided
            .group(&Key::Other("brand".into()))
            .iter()
            .map(|feature| Bound::Text(feature.value().to_ascii_lowercase()))
            .collect();
        let known = !drivers.is_empty() || !cuda.is_empty() || !capabilities.is_empty();
        if brands.is_empty() && known {
            // As NVIDIA's runtime calls a GPU whose product line it cannot tell.
            brands.push(Bound::Text("unknown".to_owned()));
        }
        Self {
            cuda: cuda.into_iter().map(Bound::Version).collect(),
            drivers: drivers.into_iter().map(Bound::Version).collect(),
            capabilities,
            brands,
        }
    }

    /// What is not known meets no constraint.
    fn meets(&self, alternative: &[Constraint]) -> bool {
        let properties = [
            (Property::Cuda, &self.cuda),
            (Property::Driver, &self.drivers),
            (Property::Arch, &self.capabilities),
            (Property::Brand, &self.brands),
        ];
        properties.iter().all(|(property, known)| {
            let mut constraints = alternative
                .iter()
                .filter(|constraint| constraint.property == *property)
                .peekable();
            if constraints.peek().is_none() {
                return true;
            }
            let constraints: Vec<&Constraint> = constraints.collect();
            known
                .iter()
                .any(|value| constraints.iter().all(|c| c.allows(value)))
        })
    }
}

impl ComputeCapability {
    /// Major and minor as a version.
    fn number(&self) -> Version {
        let (major, minor) = self.parts();
        Version::of(u64::from(major), u64::from(minor))
    }
}

impl fmt::Display for NvidiaRequire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, alternative) in self.alternatives.iter().enumerate() {
            if place > 0 {
                f.write_str(" ")?;
            }
            for (place, constraint) in alternative.iter().enumerate() {
                if place > 0 {
                    f.write_str(",")?;
                }
                constraint.fmt(f)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.property {
            Property::Cuda => "cuda",
            Property::Driver => "driver",
            Property::Arch => "arch",
            Property::Brand => "brand",
        })?;
        f.write_str(match self.comparison {
            Comparison::Equal => "=",
            Comparison::Unequal => "!=",
            Comparison::Less => "<",
            Comparison::AtMost => "<=",
            Comparison::More => ">",
            Comparison::AtLeast => ">=",
        })?;
        match &self.bound {
            Bound::Version(version) => version.fmt(f),
            Bound::Text(text) => f.write_str(text),
        }
    }
}

/// The requirements that the environment of an image states. Every `NVIDIA_REQUIRE_*` must
/// hold, unless `NVIDIA_DISABLE_REQUIRE` says that none is to be looked at. What is no
/// expression is left out; it is named in the second list.
pub(crate) fn from_env<'a>(
    env: impl IntoIterator<Item = &'a str>,
) -> (Vec<(String, Feature)>, Vec<String>) {
    let mut stated = Vec::new();
    let mut unread = Vec::new();
    let mut disabled = false;
    for entry in env {
        let Some((name, value)) = entry.split_once('=') else {
            continue;
        };
        if name == "NVIDIA_DISABLE_REQUIRE" {
            let value = value.trim().to_ascii_lowercase();
            disabled |= matches!(value.as_str(), "1" | "t" | "true");
        }
        if !name.starts_with("NVIDIA_REQUIRE_") || value.trim().is_empty() {
            continue;
        }
        match Feature::new("nvidia-require", value) {
            Ok(feature) if feature.is_understood() => stated.push((name.to_owned(), feature)),
            _ => unread.push(entry.to_owned()),
        }
    }
    if disabled {
        return (Vec::new(), Vec::new());
    }
    (stated, unread)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fit;
    use rstest::rstest;

    /// As in NVIDIA's image for CUDA 12.4, shortened.
    const CUDA_12_4: &str = "cuda>=12.4 brand=tesla,driver>=470,driver<471 \
        brand=unknown,driver>=470,driver<471 brand=tesla,driver>=535,driver<536 \
        brand=unknown,driver>=535,driver<536";

    #[rstest]
    #[case::newer_driver(CUDA_12_4, "driver:550.54.15", true)]
    #[case::much_newer(CUDA_12_4, "driver:580.65", true)]
    #[case::compat_package_without_brand(CUDA_12_4, "driver:535.161.08", true)]
    #[case::compat_package(CUDA_12_4, "driver:535.161.08 brand:tesla", true)]
    #[case::no_compat_for_geforce(CUDA_12_4, "driver:535.161.08 brand:geforce", false)]
    #[case::between_the_branches(CUDA_12_4, "driver:530.30", false)]
    #[case::cuda_said(CUDA_12_4, "cuda:12.6", true)]
    #[case::cuda_said_lower(CUDA_12_4, "cuda:12.2", false)]
    #[case::no_gpu(CUDA_12_4, "arch:zen3", false)]
    #[case::capability("arch>=7.0,arch<9.0", "cc:8.6", true)]
    #[case::no_gpu_is_in_between("arch>=7.0,arch<9.0", "cc:6.0 cc:9.0", false)]
    #[case::one_gpu_is_in_between("arch>=7.0,arch<9.0", "cc:6.0 cc:8.0", true)]
    #[case::unequal("driver!=550.54.14", "driver:550.54.14", false)]
    #[case::unequal_holds("driver!=550.54.14", "driver:550.54.15", true)]
    #[case::unknown_is_not_unequal("driver!=550.54.14", "cc:8.0", false)]
    #[case::equal("driver=550", "driver:550.0", true)]
    #[case::more("cuda>12", "cuda:12.0", false)]
    #[case::at_most("cuda<=12.4", "cuda:12.4", true)]
    #[case::upper_case("CUDA>=12.3", "driver:550", true)]
    fn blanks_mean_or_and_commas_mean_and(
        #[case] expression: &str,
        #[case] machine: &str,
        #[case] met: bool,
    ) {
        let wanted = [Feature::new("nvidia-require", expression).unwrap()];
        let machine = Provided::new(machine.split(' ').map(|f| f.parse().unwrap()));
        let found = fit(&wanted, &machine);
        assert_eq!(found.fits(), met, "{found}");
    }

    #[rstest]
    #[case("")]
    #[case("  ")]
    #[case(",")]
    #[case("cuda")]
    #[case("cuda>=")]
    #[case("memory>=8")]
    #[case("cuda>=x")]
    #[case("brand=")]
    fn what_is_no_expression_is_not_read(#[case] text: &str) {
        assert_eq!(NvidiaRequire::parse(text), None);
    }

    #[test]
    fn an_expression_reads_back_as_it_is_printed() {
        let read = NvidiaRequire::parse(CUDA_12_4).unwrap();
        assert_eq!(NvidiaRequire::parse(&read.to_string()), Some(read));
    }

    #[test]
    fn every_variable_of_the_environment_must_hold() {
        let env = [
            "PATH=/bin",
            "NVIDIA_REQUIRE_CUDA=cuda>=12.4",
            "NVIDIA_REQUIRE_JETPACK=csv-mounts=all",
            "NVIDIA_REQUIRE_DRIVER=driver>=550",
            "NVIDIA_REQUIRE_EMPTY=",
        ];
        let (stated, unread) = from_env(env);
        let stated: Vec<String> = stated
            .iter()
            .map(|(name, feature)| format!("{name} {feature}"))
            .collect();
        assert_eq!(
            stated,
            [
                "NVIDIA_REQUIRE_CUDA nvidia-require:cuda>=12.4",
                "NVIDIA_REQUIRE_DRIVER nvidia-require:driver>=550",
            ]
        );
        assert_eq!(unread, ["NVIDIA_REQUIRE_JETPACK=csv-mounts=all"]);
    }

    #[test]
    fn an_image_may_say_that_its_requirements_are_not_to_be_looked_at() {
        let env = [
            "NVIDIA_REQUIRE_CUDA=cuda>=99",
            "NVIDIA_DISABLE_REQUIRE=true",
        ];
        assert_eq!(from_env(env), (Vec::new(), Vec::new()));
    }
}
