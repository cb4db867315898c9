//! The CPU target that an image is built for, and which of the remaining images is for a machine.

use metahub_hardware::{Feature, Key, Microarchitectures, Target, from_platform};
use metahub_oci::{Descriptor, Platform};

/// The CPU target that an entry is built for: the one that demands most of those that it names,
/// else the one that its variant means. Nothing for one that states none.
#[must_use]
pub fn built_for(graph: &Microarchitectures, entry: &Descriptor) -> Option<Target> {
    let platform = entry.platform()?;
    let named = platform
        .features
        .iter()
        .filter_map(|text| target_named(graph, &Feature::parse(text).ok()?))
        .max_by_key(|target| graph.depth(target));
    named.or_else(|| {
        let feature = from_platform(&platform.architecture, platform.variant.as_deref())?;
        target_named(graph, &feature)
    })
}

/// The CPU target that a feature names.
#[must_use]
pub fn target_named(graph: &Microarchitectures, feature: &Feature) -> Option<Target> {
    (*feature.key() == Key::Arch)
        .then(|| graph.look_up(feature.value())?.ok())
        .flatten()
}

/// Of the candidates chosen for each machine, the one for `machine`.
#[must_use]
pub fn chosen_for<'d>(chosen: &'d [Descriptor], machine: &Platform) -> Option<&'d Descriptor> {
    let is_for = |platform: Option<Platform>| platform.is_none_or(|p| p.same_machine(machine));
    chosen.iter().find(|entry| is_for(entry.platform()))
}
