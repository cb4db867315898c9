//! `NVIDIA_REQUIRE_*`: the expression by which CUDA images state what they run on, as
//! NVIDIA's container runtime reads it: blank means or, comma means and. It decides by what
//! is provided; whether a driver could be made to run more is not asked here.

use std::collections::BTreeMap;
use std::fmt;

use crate::feature::{Feature, Meaning};
use crate::fit::Mismatch;
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
    /// expression, has a factor that nobody knows, or states nothing.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match Self::read(text) {
            (known, unknown) if unknown.is_empty() => known,
            _ => None,
        }
    }

    /// The expression of the factors that are known, which is what NVIDIA's runtime judges
    /// by, and those that are not: another property, no comparison, no version. An
    /// alternative without a known factor is none. Of more factors than the bound nothing is
    /// known.
    pub(crate) fn read(text: &str) -> (Option<Self>, Vec<&str>) {
        let mut alternatives = Vec::new();
        let mut unknown = Vec::new();
        let mut count = 0;
        for alternative in text.split_ascii_whitespace() {
            let mut constraints = Vec::new();
            for factor in alternative.split(',').filter(|factor| !factor.is_empty()) {
                count += 1;
                match Constraint::parse(factor) {
                    _ if count > MOST_CONSTRAINTS => return (None, vec![factor]),
                    Some(constraint) => constraints.push(constraint),
                    None => unknown.push(factor),
                }
            }
            if !constraints.is_empty() {
                alternatives.push(constraints);
            }
        }
        let known = (!alternatives.is_empty()).then_some(Self { alternatives });
        (known, unknown)
    }

    /// How certain it is that a machine which provides `provided` does not meet it; `None`
    /// when it does. Of several GPUs or drivers one is enough, the same for all constraints of
    /// an alternative on that property.
    pub(crate) fn mismatch(&self, provided: &Provided) -> Option<Mismatch> {
        let machine = Machine::of(provided);
        let meets = |alternative: &Vec<Constraint>| machine.meets(alternative);
        if self.alternatives.iter().any(meets) {
            return None;
        }
        let other_gpus = !machine.is_known && !provided.stated(&Key::NvidiaRequire).is_empty();
        let refuted = |alternative: &Vec<Constraint>| machine.refutes(alternative);
        if other_gpus || self.alternatives.iter().all(refuted) {
            Some(Mismatch::Proven)
        } else {
            Some(Mismatch::Unstated)
        }
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
    /// Whether brands are stated, and not `unknown` by default.
    has_brand: bool,
    /// Whether anything of NVIDIA's is stated.
    is_known: bool,
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
        let has_brand = !brands.is_empty();
        let is_known = !drivers.is_empty() || !cuda.is_empty() || !capabilities.is_empty();
        if brands.is_empty() && is_known {
            // As NVIDIA's runtime calls a GPU whose product line it cannot tell.
            brands.push(Bound::Text("unknown".to_owned()));
        }
        Self {
            cuda: cuda.into_iter().map(Bound::Version).collect(),
            drivers: drivers.into_iter().map(Bound::Version).collect(),
            capabilities,
            brands,
            has_brand,
            is_known: is_known || has_brand,
        }
    }

    /// The properties that the alternative is about, what is known of each, and whether one of
    /// its values meets all constraints on it.
    fn judge(&self, alternative: &[Constraint]) -> impl Iterator<Item = (Property, bool, bool)> {
        let properties = [
            (Property::Cuda, &self.cuda),
            (Property::Driver, &self.drivers),
            (Property::Arch, &self.capabilities),
            (Property::Brand, &self.brands),
        ];
        properties.into_iter().filter_map(|(property, known)| {
            let mut constraints = alternative
                .iter()
                .filter(|constraint| constraint.property == property)
                .peekable();
            constraints.peek()?;
            let constraints: Vec<&Constraint> = constraints.collect();
            let met = known
                .iter()
                .any(|value| constraints.iter().all(|c| c.allows(value)));
            Some((property, !known.is_empty(), met))
        })
    }

    /// What is not known meets no constraint.
    fn meets(&self, alternative: &[Constraint]) -> bool {
        self.judge(alternative).all(|(.., met)| met)
    }

    /// Whether something that is stated does not meet its constraints.
    fn refutes(&self, alternative: &[Constraint]) -> bool {
        self.judge(alternative).any(|(property, known, met)| {
            let stated = known && (property != Property::Brand || self.has_brand);
            stated && !met
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

/// A variable by which an image says what its CUDA needs.
#[derive(Debug, PartialEq)]
pub(crate) enum Variable<'a> {
    Requires(&'a str, Feature),
    /// Its name, what of it cannot be read, and what was expected.
    Unread(&'a str, &'a str, &'static str),
}

const FACTOR: &str = "cuda, driver, arch or brand, a comparison and a version, e.g. cuda>=12.4";
const CUDA: &str = "the version of CUDA, e.g. 12.4.1";
/// The variable by which images from before `NVIDIA_REQUIRE_CUDA` state their CUDA.
const LEGACY: &str = "CUDA_VERSION";

/// What the environment of an image states, as NVIDIA's container toolkit reads it. Every
/// `NVIDIA_REQUIRE_*` must hold, except those that begin with `NVIDIA_REQUIRE_JETPACK`, which
/// say what is mounted. `CUDA_VERSION` without `NVIDIA_REQUIRE_CUDA` requires that CUDA.
/// `NVIDIA_DISABLE_REQUIRE` says that none is to be looked at. Of a variable that stands
/// twice the last counts.
pub(crate) fn from_env<'a>(env: impl IntoIterator<Item = &'a str>) -> Vec<Variable<'a>> {
    let ours = [LEGACY, "NVIDIA_DISABLE_REQUIRE"];
    let variables: BTreeMap<&str, &str> = env
        .into_iter()
        .filter_map(|entry| entry.split_once('='))
        .filter(|(name, _)| ours.contains(name) || name.starts_with("NVIDIA_REQUIRE_"))
        .collect();
    let value = |wanted: &str| variables.get(wanted).map_or("", |value| value.trim());
    let disabled = value("NVIDIA_DISABLE_REQUIRE").to_ascii_lowercase();
    if matches!(disabled.as_str(), "1" | "t" | "true") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (name, value) in &variables {
        if name.starts_with("NVIDIA_REQUIRE_") && !name.starts_with("NVIDIA_REQUIRE_JETPACK") {
            let (known, unknown) = NvidiaRequire::read(value);
            let text = match unknown.as_slice() {
                [] => known.map(|_| (*value).to_owned()),
                _ => known.map(|known| known.to_string()),
            };
            found.extend(text.and_then(|text| required(name, &text)));
            let unread = unknown.into_iter();
            found.extend(unread.map(|factor| Variable::Unread(name, factor, FACTOR)));
        }
    }
    let legacy = value(LEGACY);
    if !legacy.is_empty() && value("NVIDIA_REQUIRE_CUDA").is_empty() {
        let cuda = major_and_minor(legacy);
        let stated = cuda.and_then(|cuda| required(LEGACY, &format!("cuda>={cuda}")));
        found.push(stated.unwrap_or(Variable::Unread(LEGACY, legacy, CUDA)));
    }
    found
}

fn required<'a>(name: &'a str, expression: &str) -> Option<Variable<'a>> {
    let feature = Feature::new(Key::NvidiaRequire.as_str(), expression).ok()?;
    Some(Variable::Requires(name, feature))
}

/// NVIDIA's toolkit looks at the major and the minor version only.
fn major_and_minor(version: &str) -> Option<String> {
    Version::parse(version)?;
    let mut numbers = version.trim_start_matches(['v', 'V']).splitn(3, '.');
    let mut number = || {
        let word = numbers.next()?;
        let digits = word.split(|c: char| !c.is_ascii_digit()).next()?;
        (!digits.is_empty()).then_some(digits)
    };
    let major = number()?;
    Some(format!("{major}.{}", number().unwrap_or("0")))
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

    /// `NAME requires FEATURE` and `NAME? TEXT`.
    fn read(env: &[&str]) -> Vec<String> {
        from_env(env.iter().copied())
            .iter()
            .map(|variable| match variable {
                Variable::Requires(name, feature) => format!("{name} requires {feature}"),
                Variable::Unread(name, text, expected) => {
                    assert!(expected.contains("e.g."));
                    format!("{name}? {text}")
                }
            })
            .collect()
    }

    #[test]
    fn every_variable_of_the_environment_must_hold() {
        let env = [
            "PATH=/bin",
            "NVIDIA_REQUIRE_CUDA=cuda>=12.4",
            "NVIDIA_REQUIRE_DRIVER=driver>=550",
            "NVIDIA_REQUIRE_EMPTY=",
        ];
        assert_eq!(
            read(&env),
            [
                "NVIDIA_REQUIRE_CUDA requires nvidia-require:cuda>=12.4",
                "NVIDIA_REQUIRE_DRIVER requires nvidia-require:driver>=550",
            ]
        );
    }

    #[rstest]
    #[case::one_factor("cuda>=12.4,memory>=8", &["requires nvidia-require:cuda>=12.4", "? memory>=8"])]
    #[case::one_alternative("memory>=8 cuda>=12.4", &["requires nvidia-require:cuda>=12.4", "? memory>=8"])]
    #[case::all("memory>=8", &["? memory>=8"])]
    #[case::no_version("cuda>=x", &["? cuda>=x"])]
    #[case::no_comparison("cuda", &["? cuda"])]
    #[case::other_comparison("cuda==12.4,driver>=535", &["requires nvidia-require:driver>=535.0", "? cuda==12.4"])]
    #[case::several("cuda>=12.4,a=1,b=2", &["requires nvidia-require:cuda>=12.4", "? a=1", "? b=2"])]
    fn a_factor_that_nobody_knows_is_named_and_the_others_count(
        #[case] value: &str,
        #[case] found: &[&str],
    ) {
        let variable = format!("NVIDIA_REQUIRE_CUDA={value}");
        let expected: Vec<String> = found
            .iter()
            .map(|found| {
                let blank = if found.starts_with('?') { "" } else { " " };
                format!("NVIDIA_REQUIRE_CUDA{blank}{found}")
            })
            .collect();
        assert_eq!(read(&[&variable]), expected);
    }

    #[test]
    fn what_is_beyond_the_bound_is_not_known() {
        let many = vec!["cuda>=12.4"; MOST_CONSTRAINTS + 1].join(",");
        let variable = format!("NVIDIA_REQUIRE_CUDA={many}");
        assert_eq!(read(&[&variable]), ["NVIDIA_REQUIRE_CUDA? cuda>=12.4"]);
    }

    #[rstest]
    #[case::patch(&["CUDA_VERSION=10.0.130"], &["CUDA_VERSION requires nvidia-require:cuda>=10.0"])]
    #[case::major(&["CUDA_VERSION=11"], &["CUDA_VERSION requires nvidia-require:cuda>=11.0"])]
    #[case::v(&["CUDA_VERSION=v9.2"], &["CUDA_VERSION requires nvidia-require:cuda>=9.2"])]
    #[case::blank(&["CUDA_VERSION="], &[])]
    #[case::no_version(&["CUDA_VERSION=cu121"], &["CUDA_VERSION? cu121"])]
    #[case::operator(&["CUDA_VERSION=>=12"], &["CUDA_VERSION? >=12"])]
    #[case::not_legacy(
        &["CUDA_VERSION=12.4.1", "NVIDIA_REQUIRE_CUDA=cuda>=12.4"],
        &["NVIDIA_REQUIRE_CUDA requires nvidia-require:cuda>=12.4"]
    )]
    #[case::emptied(
        &["CUDA_VERSION=12.4.1", "NVIDIA_REQUIRE_CUDA="],
        &["CUDA_VERSION requires nvidia-require:cuda>=12.4"]
    )]
    #[case::other_requirements(
        &["CUDA_VERSION=12.4.1", "NVIDIA_REQUIRE_DRIVER=driver>=550"],
        &[
            "NVIDIA_REQUIRE_DRIVER requires nvidia-require:driver>=550",
            "CUDA_VERSION requires nvidia-require:cuda>=12.4",
        ]
    )]
    #[case::disabled(&["CUDA_VERSION=12.4.1", "NVIDIA_DISABLE_REQUIRE=1"], &[])]
    fn a_legacy_image_requires_its_cuda(#[case] env: &[&str], #[case] found: &[&str]) {
        assert_eq!(read(env), found);
    }

    #[test]
    fn what_jetpack_mounts_is_no_requirement() {
        let env = [
            "NVIDIA_REQUIRE_JETPACK=csv-mounts=all",
            "NVIDIA_REQUIRE_JETPACK_HOST_MOUNTS=base-only",
        ];
        assert_eq!(read(&env), [""; 0]);
    }

    #[test]
    fn of_a_variable_that_stands_twice_the_last_counts() {
        let env = [
            "NVIDIA_REQUIRE_CUDA=cuda>=99",
            "NVIDIA_REQUIRE_CUDA=cuda>=12.4",
        ];
        assert_eq!(
            read(&env),
            ["NVIDIA_REQUIRE_CUDA requires nvidia-require:cuda>=12.4"]
        );
    }

    #[test]
    fn an_image_may_say_that_its_requirements_are_not_to_be_looked_at() {
        let env = [
            "NVIDIA_REQUIRE_CUDA=cuda>=99",
            "NVIDIA_DISABLE_REQUIRE=true",
        ];
        assert_eq!(read(&env), [""; 0]);
    }

    #[rstest]
    #[case::met(CUDA_12_4, "driver:550", None)]
    #[case::no_gpu(CUDA_12_4, "arch:zen3", Some(Mismatch::Unstated))]
    #[case::old_driver(CUDA_12_4, "driver:530.30", Some(Mismatch::Proven))]
    #[case::old_cuda(CUDA_12_4, "cuda:12.2", Some(Mismatch::Unstated))]
    #[case::only_cuda("cuda>=12.4", "cuda:12.2", Some(Mismatch::Proven))]
    #[case::capability_only(CUDA_12_4, "cc:8.0", Some(Mismatch::Unstated))]
    #[case::brand_not_stated("brand=tesla", "driver:550", Some(Mismatch::Unstated))]
    #[case::other_brand("brand=tesla", "driver:550 brand:geforce", Some(Mismatch::Proven))]
    #[case::amd(CUDA_12_4, "gpu:amd", Some(Mismatch::Proven))]
    #[case::amd_by_its_processor(CUDA_12_4, "gfx:gfx90a", Some(Mismatch::Proven))]
    #[case::both(CUDA_12_4, "gpu:amd gpu:nvidia", Some(Mismatch::Unstated))]
    fn what_is_not_stated_is_another_thing_than_what_is_not_met(
        #[case] expression: &str,
        #[case] machine: &str,
        #[case] mismatch: Option<Mismatch>,
    ) {
        let wanted = [Feature::new("nvidia-require", expression).unwrap()];
        let machine = Provided::new(machine.split(' ').map(|f| f.parse().unwrap()));
        let found = fit(&wanted, &machine);
        assert_eq!(found.mismatch(), mismatch, "{found}");
    }
}
