//! `Provided`: what a machine or a profile offers, prepared so that many images are compared with
//! it quickly. It holds facts; `fit` judges by them.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use serde::{Serialize, Serializer};

use crate::feature::Feature;
use crate::gpu::{GpuVendor, cuda_reported_by_driver};
use crate::graph::Microarchitectures;
use crate::keys::Key;
use crate::meaning::Meaning;
use crate::nfd::node_features::NodeFeatures;
use crate::target::Target;
use crate::version::Version;

/// The features of a machine or a profile. A key may have several values (two GPUs,
/// several MPI libraries): a requirement is met when one of them meets it.
#[derive(Debug, Clone)]
pub struct Provided {
    graph: Arc<Microarchitectures>,
    groups: Vec<(Key, Vec<Feature>)>,
    /// What speaks for CUDA: its versions, and drivers.
    cuda: Vec<Feature>,
    /// What an expression over NVIDIA's software and GPUs looks at.
    nvidia: Vec<Feature>,
    /// What states a GPU, each with the vendor that it states.
    gpus: Vec<Feature>,
    vendors: Vec<GpuVendor>,
    /// The CUDA version that the driver itself is of.
    own_cuda: Option<Version>,
    /// The same as Node Feature Discovery would find it; made when first used.
    nfd: OnceLock<NodeFeatures>,
    /// The CPU targets, without those that another one descends from.
    targets: Vec<(Target, Feature)>,
    fallbacks: Vec<(Target, Feature)>,
}

impl Provided {
    /// What the features say, by archspec's targets.
    pub fn new(features: impl IntoIterator<Item = Feature>) -> Self {
        Self::in_graph(Microarchitectures::builtin(), features)
    }

    /// What the features say, by a site's targets.
    pub fn in_graph(
        graph: Arc<Microarchitectures>,
        features: impl IntoIterator<Item = Feature>,
    ) -> Self {
        let mut all: Vec<Feature> = features.into_iter().collect();
        all.sort();
        all.dedup();
        let mut groups: Vec<(Key, Vec<Feature>)> = Vec::new();
        for feature in &all {
            match groups.iter_mut().find(|(key, _)| key == feature.key()) {
                Some((_, group)) => group.push(feature.clone()),
                None => groups.push((feature.key().clone(), vec![feature.clone()])),
            }
        }
        let known: Vec<(Target, Feature)> = all
            .iter()
            .filter_map(|f| Some((target_of(&graph, f)?.into_owned(), f.clone())))
            .collect();
        let targets = known
            .iter()
            .filter(|(mine, _)| {
                !known
                    .iter()
                    .any(|(other, _)| other != mine && graph.runs(other, mine))
            })
            .cloned()
            .collect();
        let chosen = |wanted: fn(&Key) -> bool| -> Vec<Feature> {
            all.iter().filter(|f| wanted(f.key())).cloned().collect()
        };
        Self {
            graph,
            cuda: chosen(|key| matches!(key, Key::Cuda | Key::Driver)),
            nvidia: chosen(|key| match key {
                Key::Cuda | Key::Driver | Key::Cc => true,
                Key::Other(name) => &**name == "brand",
                _ => false,
            }),
            gpus: all
                .iter()
                .filter(|f| f.states_gpu_of().is_some())
                .cloned()
                .collect(),
            vendors: all.iter().filter_map(Feature::states_gpu_of).collect(),
            own_cuda: all.iter().filter_map(own_cuda).max(),
            nfd: OnceLock::new(),
            groups,
            targets,
            fallbacks: Vec::new(),
        }
    }

    /// Targets whose images may be taken when none for the machine's own line fits, in
    /// order of preference: the profile vouches that they run.
    #[must_use]
    pub fn with_fallbacks(mut self, targets: impl IntoIterator<Item = Target>) -> Self {
        self.fallbacks = targets
            .into_iter()
            .map(|t| (t.clone(), Feature::of_target(&t)))
            .collect();
        self
    }

    /// The same with `features` in place of all that is provided of their keys.
    #[must_use]
    pub fn overridden_by(&self, features: &[Feature]) -> Self {
        let kept = self
            .features()
            .filter(|own| !features.iter().any(|over| over.key() == own.key()));
        let all = kept.chain(features).cloned();
        let fallbacks = self.fallbacks.iter().map(|(target, _)| target.clone());
        Self::in_graph(Arc::clone(&self.graph), all).with_fallbacks(fallbacks)
    }

    /// All features, in canonical order.
    pub fn features(&self) -> impl Iterator<Item = &Feature> {
        self.groups.iter().flat_map(|(_, group)| group.iter())
    }

    /// The CPU targets provided, without those implied by another.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.targets.iter().map(|(target, _)| target)
    }

    /// Whether nothing is provided.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The graph by which CPU targets are judged.
    #[must_use]
    pub fn graph(&self) -> &Arc<Microarchitectures> {
        &self.graph
    }

    /// The features with this key.
    pub(crate) fn group(&self, key: &Key) -> &[Feature] {
        self.groups
            .iter()
            .find(|(k, _)| k == key)
            .map_or(&[], |(_, group)| group.as_slice())
    }

    /// The features that make an unmet requirement of this key certainly unmet. What a driver runs
    /// counts for CUDA. A login that states only GPUs of other vendors states that there is none of
    /// this one.
    pub(crate) fn stated(&self, key: &Key) -> &[Feature] {
        let own = match key {
            Key::Cuda => &self.cuda,
            Key::NvidiaRequire => &self.nvidia,
            Key::Gpu => &self.gpus,
            _ => self.group(key),
        };
        let vendor = match key {
            Key::Cuda | Key::Driver | Key::Cc | Key::NvidiaRequire => GpuVendor::Nvidia,
            Key::Rocm | Key::Gfx => GpuVendor::Amd,
            _ => return own,
        };
        let others_only =
            !self.vendors.contains(&vendor) && !self.vendors.contains(&GpuVendor::Any);
        if own.is_empty() && others_only {
            return &self.gpus;
        }
        own
    }

    /// What states a GPU of this vendor.
    /// The vendors of the GPUs that are stated, as far as they are.
    pub(crate) fn gpu_vendors(&self) -> &[GpuVendor] {
        &self.vendors
    }

    pub(crate) fn gpu_of(&self, vendor: GpuVendor) -> Option<&Feature> {
        let mut gpus = self.gpus.iter().zip(&self.vendors);
        gpus.find(|(_, of)| vendor == GpuVendor::Any || **of == vendor)
            .map(|(gpu, _)| gpu)
    }

    /// The CUDA version that the machine's driver is of: beyond minor-version compatibility,
    /// the one whose PTX it compiles. The latest of several.
    pub(crate) fn own_cuda(&self) -> Option<Version> {
        self.own_cuda
    }

    pub(crate) fn nfd(&self) -> &NodeFeatures {
        let of = || NodeFeatures::of(&self.graph, self.targets(), self.features());
        self.nfd.get_or_init(of)
    }

    pub(crate) fn own_targets(&self) -> &[(Target, Feature)] {
        &self.targets
    }

    pub(crate) fn fallbacks(&self) -> &[(Target, Feature)] {
        &self.fallbacks
    }
}

fn own_cuda(feature: &Feature) -> Option<Version> {
    match (feature.key(), feature.meaning()) {
        (Key::Cuda, Meaning::Version(version)) => Some(*version),
        (Key::Driver, Meaning::Version(version)) => cuda_reported_by_driver(*version),
        _ => None,
    }
}

impl Feature {
    /// The vendor of the GPU that a machine has which provides this. Versions of CUDA and
    /// ROCm state none: they are installed on machines without a GPU, too.
    fn states_gpu_of(&self) -> Option<GpuVendor> {
        match (self.key(), self.meaning()) {
            (Key::Gpu, Meaning::Gpu(vendor)) => Some(*vendor),
            (Key::Driver | Key::Cc, _) => Some(GpuVendor::Nvidia),
            (Key::Gfx, _) => Some(GpuVendor::Amd),
            (Key::Other(name), _) if &**name == "brand" => Some(GpuVendor::Nvidia),
            _ => None,
        }
    }
}

/// The target that an `arch:` feature names in this graph, a site's own names included.
pub(crate) fn target_of<'a>(
    graph: &Microarchitectures,
    feature: &'a Feature,
) -> Option<Cow<'a, Target>> {
    match feature.target() {
        Some(target) => Some(Cow::Borrowed(target)),
        None if *feature.key() == Key::Arch => graph.look_up(feature.value())?.ok().map(Cow::Owned),
        None => None,
    }
}

impl Serialize for Provided {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.features())
    }
}
