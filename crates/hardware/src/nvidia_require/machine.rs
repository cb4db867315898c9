//! Evaluates an expression against a machine's features. Whether a driver could be made to run more
//! is not considered.

use super::{Bound, Constraint, NvidiaRequire, Property};
use crate::gpu::{ComputeCapability, cuda_reported_by_driver};
use crate::keys::Key;
use crate::meaning::Meaning;
use crate::mismatch::Mismatch;
use crate::provided::Provided;
use crate::version::Version;

impl NvidiaRequire {
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

/// The known facts of a machine's NVIDIA software and GPUs, by property.
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

    /// The properties in the alternative, the known values of each, and whether one of them meets
    /// all its constraints.
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

    /// An unknown value meets no constraint.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Feature, fit};
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
